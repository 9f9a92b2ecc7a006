//! Small readings: signals, file modes, paths, Go's quoting.

use super::problem::Problem;

const SIGNALS: [&str; 37] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
    "UNUSED",
];

/// Checks a `STOPSIGNAL`.
pub(super) fn signal(text: &str) -> Result<(), Problem> {
    let number = text.parse::<i64>().is_ok_and(|number| number != 0);
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |prefix: &str, most: u32| {
        let steps = name
            .strip_prefix(prefix)
            .and_then(|steps| steps.parse().ok());
        steps.is_some_and(|steps: u32| (1..=most).contains(&steps))
    };
    if number || SIGNALS.contains(&name) || real_time("RTMIN+", 15) || real_time("RTMAX-", 14) {
        return Ok(());
    }
    Err(Problem::fault(
        format!("STOPSIGNAL names no signal: `{text}`"),
        "write a name such as SIGTERM, or a number",
    ))
}

/// Checks a `--chmod`: octal, or symbolic as `chmod` takes it.
pub(super) fn mode(text: &str) -> Result<(), Problem> {
    let wrong = || {
        Problem::fault(
            format!("--chmod is `{text}`"),
            "write an octal mode from 0 to 7777, or a symbolic one such as u=rwx,go=rx",
        )
    };
    let octal = text.trim_start_matches('0');
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let digits = text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        return if digits && octal.len() <= 4 {
            Ok(())
        } else {
            Err(wrong())
        };
    }
    let clause = |clause: &str| {
        let rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
        let operators = |c: char| matches!(c, '+' | '-' | '=');
        let letters = |c: char| matches!(c, 'r' | 'w' | 'x' | 'X' | 's' | 't' | 'u' | 'g' | 'o');
        rest.starts_with(operators) && rest.chars().all(|c| operators(c) || letters(c))
    };
    if text.split(',').all(clause) {
        Ok(())
    } else {
        Err(wrong())
    }
}

/// An absolute path without `.`, `..` and doubled slashes; the root has no parent.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A path below a directory, cleaned; an absolute one stays as it is written.
pub(super) fn below(directory: &str, path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        clean(&format!("/{directory}/{path}"))
    }
}

/// The last component: Go's `path.Base`.
pub(super) fn base(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

/// A list as Go's `%q` writes it: `["a" "b"]`.
pub(super) fn go_quoted(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|text| quote(text)).collect();
    format!("[{}]", quoted.join(" "))
}

/// Go's `strconv.Quote`.
fn quote(text: &str) -> String {
    let inner: String = text.chars().map(|c| escaped(c, '"')).collect();
    format!("\"{inner}\"")
}

/// A number as Go's `%q` writes it: the character of that number in single quotes.
pub(super) fn go_rune(number: i64) -> String {
    let c = u32::try_from(number).ok().and_then(char::from_u32);
    format!("'{}'", escaped(c.unwrap_or('\u{fffd}'), '\''))
}

fn escaped(c: char, quote: char) -> String {
    match c {
        c if c == quote => format!("\\{c}"),
        '\\' => "\\\\".to_owned(),
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        c if c < ' ' || c == '\u{7f}' => format!("\\x{:02x}", u32::from(c)),
        c if printable(c) => c.to_string(),
        c if u32::from(c) < 0x1_0000 => format!("\\u{:04x}", u32::from(c)),
        c => format!("\\U{:08x}", u32::from(c)),
    }
}

fn printable(c: char) -> bool {
    // Behind another character, so that a combining mark is told as printable, as Go tells it.
    matches!(c, '\'' | '"') || format!("a{c}").escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::{base, below, clean, go_quoted, mode, signal};

    #[test]
    fn modes_and_signals_are_checked() {
        for text in [
            "0",
            "755",
            "04755",
            "u+x",
            "a=rX,go-w",
            "=rw,+X",
            "go=u-w",
            "+t",
            "u=rwx,go=",
        ] {
            assert!(mode(text).is_ok(), "{text}");
        }
        for text in ["8", "77777", "rwx", "u", "u+q", "0o7", "755 ", ",", "-1"] {
            assert!(mode(text).is_err(), "{text}");
        }
        for text in ["9", "SIGKILL", "term", "SIGRTMIN+3", "rtmax-14"] {
            assert!(signal(text).is_ok(), "{text}");
        }
        for text in ["0", "SIGFOO", "", "SIGRTMIN+16", "RTMAX-15"] {
            assert!(signal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_are_joined_and_never_leave_the_root() {
        assert_eq!(clean("/a/../../b/./c//"), "/b/c");
        assert_eq!(below("/a", "../../b"), "/b");
        assert_eq!(below("/a", "/x/../y"), "/x/../y");
        assert_eq!((base("/a/b/"), base("a")), ("b", "a"));
    }

    #[test]
    fn lists_are_quoted_as_go_quotes_them() {
        let list = [
            "a'b".to_owned(),
            "\"\\\n\u{1}é\u{301}\u{a0}\u{1f600}\u{0}".to_owned(),
        ];
        assert_eq!(
            go_quoted(&list),
            "[\"a'b\" \"\\\"\\\\\\n\\x01é\u{301}\\u00a0😀\\x00\"]"
        );
    }
}
