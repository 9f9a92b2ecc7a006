//! The path of a file inside an image: bytes, relative to the root, normalised, never leaving it.

use std::{borrow::Borrow, fmt, sync::Arc};

/// A normalised path below the image's root: no leading `/`, no empty, `.` or `..` component.
/// Bytes, because a layer may hold names that are not UTF-8. The root itself is the empty path.
/// Clones share the bytes: an image of many files holds each name once.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ImagePath(Arc<[u8]>);

impl ImagePath {
    /// Normalises lexically; `..` at the root stays at the root, as it does for a chrooted process.
    pub fn new(path: impl AsRef<[u8]>) -> Self {
        let path = path.as_ref();
        let path = path.strip_prefix(b"./").unwrap_or(path);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if path
            .split(|&b| b == b'/')
            .all(|part| !matches!(part, b"" | b"." | b".."))
        {
            return Self(path.into());
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in path.split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        Self(parts.join(&b'/').into())
    }

    /// The bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last component; `None` for the root.
    pub fn file_name(&self) -> Option<&[u8]> {
        self.0
            .rsplit(|&b| b == b'/')
            .next()
            .filter(|name| !name.is_empty())
    }

    /// The directory that holds it; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        let cut = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        Some(Self(self.0[..cut].into()))
    }

    /// `self` joined with a relative or absolute path, normalised again.
    #[must_use]
    pub fn join(&self, other: impl AsRef<[u8]>) -> Self {
        let other = other.as_ref();
        if other.first() == Some(&b'/') {
            return Self::new(other);
        }
        Self::new([self.as_bytes(), other].join(&b'/'))
    }

    /// Whether `self` is `directory` or lies below it, compared by component.
    pub fn is_under(&self, directory: &Self) -> bool {
        let (path, dir) = (self.as_bytes(), directory.as_bytes());
        dir.is_empty()
            || (path.starts_with(dir) && (path.len() == dir.len() || path[dir.len()] == b'/'))
    }
}

/// Order and hash are those of the bytes, so that a map can be asked by a slice.
impl Borrow<[u8]> for ImagePath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for ImagePath {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}

/// Absolute, with control characters and bytes that are not UTF-8 escaped.
impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/")?;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::ImagePath;

    #[test]
    fn paths_are_normalised_and_stay_below_the_root() {
        for (given, want) in [
            ("/etc/passwd", "/etc/passwd"),
            ("./etc//passwd/", "/etc/passwd"),
            ("../../etc/shadow", "/etc/shadow"),
            ("a/b/../../../c", "/c"),
            ("", "/"),
            ("/", "/"),
            ("./", "/"),
            (".", "/"),
            ("..", "/"),
            (".//x", "/x"),
            ("usr/lib/", "/usr/lib"),
        ] {
            assert_eq!(ImagePath::from(given).to_string(), want, "{given}");
        }
        assert_eq!(ImagePath::new(b"a\xff\n").to_string(), "/a\\xff\\n");
    }

    #[test]
    fn containment_is_by_component() {
        let dir = ImagePath::from("/etc");
        assert!(ImagePath::from("/etc/passwd").is_under(&dir));
        assert!(dir.is_under(&dir));
        assert!(!ImagePath::from("/etcetera").is_under(&dir));
        assert!(ImagePath::from("/x").is_under(&ImagePath::default()));
    }

    #[test]
    fn parent_name_and_join() {
        let path = ImagePath::from("/usr/bin/ls");
        assert_eq!(path.parent(), Some(ImagePath::from("/usr/bin")));
        assert_eq!(ImagePath::from("/usr").parent(), Some(ImagePath::default()));
        assert_eq!(ImagePath::default().parent(), None);
        assert_eq!(path.file_name(), Some(&b"ls"[..]));
        assert_eq!(
            ImagePath::from("/usr").join("../bin"),
            ImagePath::from("/bin")
        );
        assert_eq!(
            ImagePath::from("/usr").join("/lib"),
            ImagePath::from("/lib")
        );
    }
}
