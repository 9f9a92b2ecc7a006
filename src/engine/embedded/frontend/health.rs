//! `HEALTHCHECK`, and durations as Go reads and writes them.

use serde::{Deserialize, Serialize};

use super::{
    flags::Flags,
    problem::Problem,
    words::{go_quoted, go_rune},
};

/// `Healthcheck` of the configuration; durations in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Health {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) test: Vec<String>,
    #[serde(skip_serializing_if = "zero")]
    pub(super) interval: i64,
    #[serde(skip_serializing_if = "zero")]
    pub(super) timeout: i64,
    #[serde(skip_serializing_if = "zero")]
    pub(super) start_period: i64,
    #[serde(skip_serializing_if = "zero")]
    pub(super) start_interval: i64,
    #[serde(skip_serializing_if = "zero")]
    pub(super) retries: i64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn zero(value: &i64) -> bool {
    *value == 0
}

impl std::fmt::Display for Health {
    /// As Go's `%q` writes a pointer to the structure, which is how it stands in the history.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "&{{{}", go_quoted(&self.test))?;
        let durations = [
            self.interval,
            self.timeout,
            self.start_period,
            self.start_interval,
        ];
        for duration in durations {
            write!(f, " \"{}\"", go_duration(duration))?;
        }
        write!(f, " {}}}", go_rune(self.retries))
    }
}

/// Reads what stands behind `HEALTHCHECK` and its flags.
pub(super) fn parse(text: &str, flags: &Flags) -> Result<Health, Problem> {
    let (kind, rest) = match text.split_once(char::is_whitespace) {
        Some((kind, rest)) => (kind, rest.trim()),
        None => (text, ""),
    };
    match kind.to_uppercase().as_str() {
        "NONE" if rest.is_empty() => Ok(Health {
            test: vec!["NONE".to_owned()],
            ..Health::default()
        }),
        "NONE" => Err(Problem::fault(
            "HEALTHCHECK NONE takes no arguments",
            "take them away",
        )),
        "CMD" => Ok(Health {
            test: test(rest)?,
            interval: interval(flags, "interval")?,
            timeout: interval(flags, "timeout")?,
            start_period: interval(flags, "start-period")?,
            start_interval: interval(flags, "start-interval")?,
            retries: retries(&flags.text("retries"))?,
        }),
        _ => Err(Problem::fault(
            format!("HEALTHCHECK has no type `{kind}`"),
            "write HEALTHCHECK CMD command, or HEALTHCHECK NONE",
        )),
    }
}

fn test(rest: &str) -> Result<Vec<String>, Problem> {
    let mut test = match super::parse::json(rest)? {
        Some(list) if !list.is_empty() => list,
        None if !rest.is_empty() => return Ok(vec!["CMD-SHELL".to_owned(), rest.to_owned()]),
        _ => {
            return Err(Problem::fault(
                "HEALTHCHECK CMD has no command",
                "name the command",
            ));
        }
    };
    test.insert(0, "CMD".to_owned());
    Ok(test)
}

fn retries(text: &str) -> Result<i64, Problem> {
    match text.parse::<i32>() {
        _ if text.is_empty() => Ok(0),
        Ok(number) if number >= 0 => Ok(i64::from(number)),
        _ => Err(Problem::fault(
            format!("--retries is `{text}`, it may be a number from 0 on"),
            "write a number, such as --retries=3",
        )),
    }
}

fn interval(flags: &Flags, name: &str) -> Result<i64, Problem> {
    let text = flags.text(name);
    if text.is_empty() {
        return Ok(0);
    }
    match parse_duration(&text) {
        Some(duration) if duration == 0 || duration >= 1_000_000 => Ok(duration),
        Some(_) => Err(Problem::fault(
            format!("--{name} is `{text}`, the least is 1ms"),
            "give it a longer time",
        )),
        None => Err(Problem::fault(
            format!("--{name} is `{text}`, which is no duration"),
            format!("write it with a unit, such as --{name}=30s"),
        )),
    }
}

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// `1h2.5m`: `time.ParseDuration`.
fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: u128 = 0;
    while !rest.is_empty() || total == 0 && text.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, next) = after.split_at(unit.unwrap_or(after.len()));
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 19 {
            return None;
        }
        let number = |text: &str| text.parse::<u128>().unwrap_or(0);
        let fraction = fraction.get(..fraction.len().min(18)).unwrap_or("");
        let parts = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        total = total.checked_add(number(whole) * scale + number(fraction) * scale / parts)?;
        rest = next;
    }
    let total = i64::try_from(total).ok()?;
    (!text.is_empty() && !rest_is_sign(text)).then_some(if negative { -total } else { total })
}

fn rest_is_sign(text: &str) -> bool {
    matches!(text, "-" | "+")
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// `1m30s`, `1.5s`, `100ms`: `time.Duration.String`.
fn go_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    let decimal = |value: u64, scale: u64, unit: &str| {
        let (whole, rest) = (value / scale, value % scale);
        let width = scale.ilog10() as usize;
        let fraction = format!("{rest:0width$}");
        match fraction.trim_end_matches('0') {
            "" => format!("{whole}{unit}"),
            fraction => format!("{whole}.{fraction}{unit}"),
        }
    };
    let text = match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{total}ns"),
        1_000..1_000_000 => decimal(total, 1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(total, 1_000_000, "ms"),
        _ => {
            const MINUTE: u64 = 60_000_000_000;
            let minutes = total / MINUTE;
            let seconds = decimal(total % MINUTE, 1_000_000_000, "s");
            match minutes {
                0 => seconds,
                1..60 => format!("{minutes}m{seconds}"),
                _ => format!("{}h{}m{seconds}", minutes / 60, minutes % 60),
            }
        }
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::{go_duration, parse_duration};

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        for (text, nanoseconds, written) in [
            ("0", 0, "0s"),
            ("30s", 30_000_000_000, "30s"),
            ("1h2m3.5s", 3_723_500_000_000, "1h2m3.5s"),
            ("90s", 90_000_000_000, "1m30s"),
            ("1h", 3_600_000_000_000, "1h0m0s"),
            ("100ms", 100_000_000, "100ms"),
            ("1.5ms", 1_500_000, "1.5ms"),
            (".5s", 500_000_000, "500ms"),
            ("-1s", -1_000_000_000, "-1s"),
            ("15µs", 15_000, "15µs"),
        ] {
            assert_eq!(parse_duration(text), Some(nanoseconds), "{text}");
            assert_eq!(go_duration(nanoseconds), written, "{text}");
        }
        for text in [
            "",
            "1",
            "s",
            "-",
            ".s",
            "1x",
            "1s2",
            "99999999999999999999h",
            "3000000h",
            "1 s",
        ] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }
}
