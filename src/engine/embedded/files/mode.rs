//! `--chmod`: octal, or symbolic as BSD's `setmode` takes it (`BuildKit` uses a port of it).

use super::FileError;

const UID: u32 = 0o4000;
const GID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const STANDARD: u32 = UID | GID | 0o777;

/// What `--chmod` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chmod {
    /// permission bits, set-id bits and the sticky bit
    Octal(u32),
    /// steps, in order
    Symbolic(Vec<Step>),
}

/// One step of a symbolic mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Set(u32),
    Clear(u32),
    /// set where any execute bit was set before, and on directories
    Execute(u32),
    /// the bits of a class (shift of its `rwx`) copied to classes
    Class {
        from: u32,
        op: u8,
        to: u32,
    },
}

impl Chmod {
    /// Reads the option's value.
    pub(super) fn parse(text: &str) -> Result<Self, FileError> {
        let fault = || FileError::Mode(text.to_owned());
        if let Ok(bits) = u32::from_str_radix(text, 8) {
            let plain = !text.starts_with('+') && bits <= 0o7777;
            return if plain {
                Ok(Self::Octal(bits))
            } else {
                Err(fault())
            };
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(fault());
        }
        symbolic(text.as_bytes())
            .map(Self::Symbolic)
            .ok_or_else(fault)
    }

    /// The mode that a file of that mode gets; type bits are neither looked at nor kept.
    pub(super) fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        let old = mode & 0o7777;
        match self {
            Self::Octal(bits) => *bits,
            Self::Symbolic(steps) => steps
                .iter()
                .fold(old, |mode, step| step.apply(old, mode, is_dir)),
        }
    }

    /// The mode of directories that are made on the way, which only an octal one has a say in.
    pub(super) fn of_parents(chmod: Option<&Self>) -> u32 {
        match chmod {
            Some(Self::Octal(bits)) => bits & 0o777,
            _ => 0o755,
        }
    }
}

impl Step {
    fn apply(self, old: u32, mode: u32, is_dir: bool) -> u32 {
        match self {
            Self::Set(bits) => mode | bits,
            Self::Clear(bits) => mode & !bits,
            Self::Execute(bits) if is_dir || old & 0o111 != 0 => mode | bits,
            Self::Execute(_) => mode,
            Self::Class { from, op, to } => {
                let value = mode >> from & 7;
                let spread = |bits: u32| {
                    [6, 3, 0]
                        .into_iter()
                        .filter(|shift| to & (0o4 << shift) != 0)
                        .fold(0, |all, shift| all | bits << shift)
                };
                match op {
                    b'+' => mode | spread(value),
                    b'-' => mode & !spread(value),
                    _ => mode & !spread(7) | spread(value),
                }
            }
        }
    }
}

fn symbolic(text: &[u8]) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for clause in text.split(|byte| *byte == b',') {
        let split = clause.iter().position(|byte| !b"augo".contains(byte))?;
        let (who, mut rest) = clause.split_at(split);
        let who = who.iter().fold(0, |who, class| {
            who | match class {
                b'a' => STANDARD,
                b'u' => UID | 0o700,
                b'g' => GID | 0o070,
                _ => 0o007,
            }
        });
        let mut cleared = false;
        while let Some((op, behind)) = rest.split_first() {
            if !b"+-=".contains(op) {
                return None;
            }
            let end = behind
                .iter()
                .position(|byte| b"+-=".contains(byte))
                .unwrap_or(behind.len());
            let (permissions, next) = behind.split_at(end);
            if *op == b'=' {
                cleared = false;
            }
            action(&mut steps, *op, who, permissions, &mut cleared)?;
            rest = next;
        }
        if clause.len() == split {
            return None;
        }
    }
    Some(steps)
}

fn action(
    steps: &mut Vec<Step>,
    op: u8,
    mut who: u32,
    permissions: &[u8],
    cleared: &mut bool,
) -> Option<()> {
    let (mut bits, mut execute) = (0, 0);
    let everywhere = |who: u32| who == 0 || who & !0o007 != 0;
    for permission in permissions {
        match permission {
            b'r' => bits |= 0o444,
            b'w' => bits |= 0o222,
            b'x' => bits |= 0o111,
            b'X' if op == b'-' => bits |= 0o111,
            b'X' => execute |= 0o111,
            b's' if everywhere(who) => bits |= UID | GID,
            b't' if everywhere(who) => {
                who |= STICKY;
                bits |= STICKY;
            }
            b's' | b't' => {}
            b'u' | b'g' | b'o' => {
                if bits != 0 {
                    set(steps, op, who, bits);
                    bits = 0;
                }
                if op == b'=' {
                    *cleared = true;
                }
                if execute != 0 {
                    steps.push(Step::Execute(masked(who, execute)));
                    execute = 0;
                }
                let from = match permission {
                    b'u' => 6,
                    b'g' => 3,
                    _ => 0,
                };
                let to = if who == 0 { 0o777 } else { who };
                steps.push(Step::Class { from, op, to });
            }
            _ => return None,
        }
    }
    if bits != 0 || (op == b'=' && !*cleared) {
        if op == b'=' {
            *cleared = true;
        }
        set(steps, op, who, bits);
    }
    if execute != 0 {
        steps.push(Step::Execute(masked(who, execute)));
    }
    Some(())
}

fn masked(who: u32, bits: u32) -> u32 {
    if who == 0 { bits } else { who & bits }
}

fn set(steps: &mut Vec<Step>, op: u8, who: u32, bits: u32) {
    if op == b'=' {
        steps.push(Step::Clear(if who == 0 { STANDARD } else { who }));
    }
    let bits = masked(who, bits);
    steps.push(if op == b'-' {
        Step::Clear(bits)
    } else {
        Step::Set(bits)
    });
}

#[cfg(test)]
mod tests {
    use super::Chmod;

    fn applied(text: &str, mode: u32, is_dir: bool) -> u32 {
        Chmod::parse(text).unwrap().apply(mode, is_dir)
    }

    #[test]
    fn modes_are_those_of_chmod() {
        for (text, mode, is_dir, expected) in [
            ("755", 0o644, false, 0o755),
            ("4711", 0o644, false, 0o4711),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("a=rX", 0o640, false, 0o444),
            ("a=rX", 0o740, false, 0o555),
            ("a=rX", 0o700, true, 0o555),
            ("go-w", 0o666, false, 0o644),
            ("u=rwx,go=rx", 0o600, false, 0o755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("go=u-w", 0o640, false, 0o644),
            ("g=u", 0o640, false, 0o660),
            ("go=", 0o777, false, 0o700),
            ("u+s", 0o755, false, 0o4755),
            ("g+s", 0o755, false, 0o2755),
            ("+t", 0o755, true, 0o1755),
            ("o+s", 0o755, false, 0o755),
            ("a-x+X", 0o755, false, 0o755),
        ] {
            assert_eq!(
                applied(text, mode, is_dir),
                expected,
                "{text} {mode:o} {is_dir}"
            );
        }
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in [
            "", "8", "77777", "u", "x", "u+q", "rwx", "0x1f", "u+x,", "999", "-rwx2",
        ] {
            assert!(Chmod::parse(text).is_err(), "{text}");
        }
    }
}
