//! When to try again, and when to give up.

use std::time::Duration;

use reqwest::{
    StatusCode,
    header::{DATE, HeaderMap, RETRY_AFTER},
};

use super::Retry;

/// Counts tries and waits of one piece of work.
#[derive(Debug)]
pub(crate) struct Tries {
    rules: Retry,
    done: u32,
    waited: Duration,
}

impl Tries {
    pub(crate) fn new(rules: Retry) -> Self {
        Self {
            rules,
            done: 0,
            waited: Duration::ZERO,
        }
    }

    /// After a failure: how long to wait before the next try; `None` when it is time to give up.
    pub(crate) fn next_wait(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.done += 1;
        if self.done >= self.rules.attempts {
            return None;
        }
        let doubled = self.rules.first_wait * 2u32.saturating_pow(self.done - 1).min(1 << 16);
        let wait = asked
            .unwrap_or(doubled)
            .max(doubled.min(Duration::from_secs(1)));
        let total = self.waited.checked_add(wait)?;
        if total > self.rules.total_wait {
            return None;
        }
        self.waited = total;
        Some(wait)
    }

    /// Waits before the next try, or gives up with the reason and the count of tries.
    pub(crate) async fn pause(
        &mut self,
        asked: Option<Duration>,
        reason: String,
    ) -> Result<(), String> {
        let Some(wait) = self.next_wait(asked) else {
            return Err(format!("{reason} ({} tries)", self.done));
        };
        tracing::debug!(%reason, ?wait, "trying again");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    pub(crate) fn count(&self) -> u32 {
        self.done
    }

    /// Progress was made, so the count of tries starts anew; the time does not.
    pub(crate) fn progress(&mut self) {
        self.done = 0;
    }
}

/// Whether the same request may succeed later.
pub(crate) fn worth_retrying(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}

/// `Retry-After` in seconds or as a date, which is taken relative to the answer's own `Date`.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let parse = |text: &str| jiff::fmt::rfc2822::parse(text).ok();
    let then = parse(text)?.timestamp();
    let now = parse(headers.get(DATE)?.to_str().ok()?)?.timestamp();
    Duration::try_from(then.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

    use super::{Tries, retry_after};
    use crate::registry::Retry;

    #[test]
    fn waiting_doubles_and_is_bounded_in_count_and_time() {
        let rules = Retry {
            attempts: 4,
            first_wait: Duration::from_millis(500),
            total_wait: Duration::from_secs(10),
        };
        let mut tries = Tries::new(rules);
        let waits: Vec<_> = std::iter::from_fn(|| tries.next_wait(None)).collect();
        assert_eq!(waits, [500, 1000, 2000].map(Duration::from_millis));

        let mut tries = Tries::new(rules);
        assert_eq!(tries.next_wait(Some(Duration::from_hours(1))), None);
        let mut tries = Tries::new(rules);
        assert_eq!(tries.next_wait(Some(Duration::MAX)), None);
        let mut tries = Tries::new(rules);
        let zero = tries.next_wait(Some(Duration::ZERO)).unwrap();
        assert!(
            zero >= Duration::from_millis(500),
            "never a hot loop: {zero:?}"
        );
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_date() {
        let headers = |after: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(after));
            headers.insert(
                DATE,
                HeaderValue::from_static("Wed, 21 Oct 2015 07:28:00 GMT"),
            );
            headers
        };
        for (text, want) in [
            ("7", Some(7)),
            ("Wed, 21 Oct 2015 07:28:30 GMT", Some(30)),
            ("Wed, 21 Oct 2015 07:27:30 GMT", None),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(
                retry_after(&headers(text)),
                want.map(Duration::from_secs),
                "{text}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
