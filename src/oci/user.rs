//! The `User` of an image's configuration, as container runtimes read it.

/// The highest uid that container runtimes take.
pub const HIGHEST_UID: i64 = i32::MAX as i64;

/// Who `user[:group]` is: a number is a uid, else a name of passwd; the group does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User<'a> {
    /// nothing is said, which is root
    Unset,
    /// only a group is named, which leaves root
    Unnamed,
    /// root by name or by number
    Root,
    /// another uid
    Uid(i64),
    /// a number that is no uid
    OutOfRange,
    /// a name, whose uid `/etc/passwd` has
    Name(&'a str),
}

impl<'a> From<&'a str> for User<'a> {
    fn from(user: &'a str) -> Self {
        let name = user.split(':').next().unwrap_or_default();
        if user.is_empty() {
            return Self::Unset;
        }
        if name.is_empty() {
            return Self::Unnamed;
        }
        if let Ok(uid) = name.parse::<i64>() {
            return match uid {
                0 => Self::Root,
                1..=HIGHEST_UID => Self::Uid(uid),
                _ => Self::OutOfRange,
            };
        }
        let digits = name.trim_start_matches(['+', '-']);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            return Self::OutOfRange;
        }
        if name == "root" {
            return Self::Root;
        }
        Self::Name(name)
    }
}

#[cfg(test)]
mod tests {
    use super::User;

    #[test]
    fn users_are_read_as_runtimes_read_them() {
        for (text, want) in [
            ("", User::Unset),
            (":0", User::Unnamed),
            ("0", User::Root),
            ("00", User::Root),
            ("0:0", User::Root),
            ("0:1001", User::Root),
            ("000:x", User::Root),
            ("+0", User::Root),
            ("-0", User::Root),
            ("root", User::Root),
            ("root:root", User::Root),
            ("1", User::Uid(1)),
            ("1001:0", User::Uid(1001)),
            ("2147483647", User::Uid(2_147_483_647)),
            ("2147483648", User::OutOfRange),
            ("-1", User::OutOfRange),
            ("99999999999999999999", User::OutOfRange),
            ("cinder", User::Name("cinder")),
            ("rooty:root", User::Name("rooty")),
            ("1001x", User::Name("1001x")),
            ("+", User::Name("+")),
        ] {
            assert_eq!(User::from(text), want, "{text}");
        }
    }
}
