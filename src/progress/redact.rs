//! Takes secrets out of text that is about to be shown.

use std::sync::{Arc, PoisonError, RwLock};

use crate::secret::Secret;

/// What is shown instead.
const MASK: &str = "***";
/// Shorter values would blank out half of every log and are no secrets worth the name.
const SHORTEST: usize = 4;

/// Replaces the values (and each line of a longer one) by `***`.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// shared by clones: what becomes known during a run is hidden everywhere from then on
    needles: Arc<RwLock<Vec<Secret>>>,
}

impl Redactor {
    /// Hides these values.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let redactor = Self::default();
        redactor.add(secrets);
        redactor
    }

    /// Hides these values too.
    pub fn add(&self, secrets: impl IntoIterator<Item = Secret>) {
        let mut needles = self.needles.write().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets {
            needles.extend(lines(&secret));
        }
        // the longest first, so that a value that holds another is hidden whole
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.expose().len()));
    }

    /// `text` without the secrets.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let needles = self.needles.read().unwrap_or_else(PoisonError::into_inner);
        for needle in needles.iter() {
            if let Some(needle) = needle.expose_str()
                && text.contains(needle)
            {
                text = text.replace(needle, MASK);
            }
        }
        text
    }
}

/// The lines of a secret that are worth hiding, without the blanks around them.
pub(super) fn lines(secret: &Secret) -> Vec<Secret> {
    let lines = secret.expose().split(|&b| b == b'\n' || b == b'\r');
    lines
        .map(<[u8]>::trim_ascii)
        .filter(|line| line.len() >= SHORTEST)
        .map(Secret::new)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Redactor, Secret};

    #[test]
    fn values_and_their_lines_are_hidden_the_longest_first() {
        let redactor =
            Redactor::new([Secret::new("hunter22"), Secret::new("hunter22-more\nline2")]);
        assert_eq!(
            redactor.redact("a hunter22-more b line2 c hunter22"),
            "a *** b *** c ***"
        );
        assert_eq!(Redactor::new([Secret::new("abc")]).redact("abc"), "abc");
    }
}
