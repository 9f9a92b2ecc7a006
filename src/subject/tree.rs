//! Looking things up in the flattened tree, the way a process inside the container would.

use std::ops::Bound;

use super::{Entry, EntryKind, Inventory};
use crate::oci::ImagePath;

/// As Linux's `MAXSYMLINKS`.
const MAX_LINKS: usize = 40;

/// Components walked for one path, those of link targets included: far above any real path, so that
/// links made to be walked for ever are not.
const MAX_STEPS: usize = 1024;

impl Inventory {
    /// The real path of `path` with every link in it followed inside the image. `None` when it
    /// dangles, loops, goes through more than 40 links or 1024 components, or is not there. Directories that no layer lists but that hold something exist.
    pub fn resolve(&self, path: &ImagePath) -> Option<ImagePath> {
        let mut pending = parts(path.as_bytes());
        let mut at = ImagePath::default();
        let mut links = 0;
        let mut steps = 0;
        while let Some(part) = pending.pop() {
            steps += 1;
            if steps > MAX_STEPS {
                return None;
            }
            if part == b".." {
                at = at.parent().unwrap_or_default();
                continue;
            }
            let next = at.join(&part);
            let Some(EntryKind::Symlink(target)) = self.tree.get(&next).map(|entry| &entry.kind)
            else {
                at = next;
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            if target.first() == Some(&b'/') {
                at = ImagePath::default();
            }
            pending.extend(parts(target));
        }
        (self.tree.contains_key(&at) || self.below(&at).next().is_some()).then_some(at)
    }

    /// Whether `path`, which has no links in it, is a directory, listed or implied.
    pub fn is_directory(&self, path: &ImagePath) -> bool {
        match self.tree.get(path) {
            Some(entry) => entry.kind == EntryKind::Directory,
            None => self.below(path).next().is_some(),
        }
    }

    /// Every entry below a directory, at any depth, links not followed.
    pub fn below(&self, directory: &ImagePath) -> impl Iterator<Item = (&ImagePath, &Entry)> {
        // No file name starts with NUL, so this is the least path below the directory.
        let first = directory.join([0]);
        let directory = directory.clone();
        self.tree
            .range((Bound::Included(first), Bound::Unbounded))
            .take_while(move |(path, _)| path.is_under(&directory))
    }

    /// The content of a kept file, links followed.
    pub fn kept_file(&self, path: &str) -> Option<&[u8]> {
        let path = ImagePath::from(path);
        let real = self.resolve(&path);
        real.and_then(|real| self.kept.get(&real))
            .or_else(|| self.kept.get(&path))
            .map(Vec::as_slice)
    }
}

/// The components that count, last first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .rev()
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::{check::testing::Image, oci::ImagePath};

    #[test]
    fn links_are_followed_inside_the_image_and_loops_end() {
        let subject = Image::bare()
            .tree(&[
                "usr/bin/su",
                "bin -> usr/bin",
                "abs -> /usr/bin",
                "up -> ../../../usr",
                "loop -> loop/x",
                "a -> b",
                "b -> a",
                "dangling -> nowhere",
                "empty/",
            ])
            .build();
        for (path, want) in [
            ("/usr/bin/su", Some("/usr/bin/su")),
            ("/bin/su", Some("/usr/bin/su")),
            ("/abs/su", Some("/usr/bin/su")),
            ("/up/bin/su", Some("/usr/bin/su")),
            ("/bin/../bin/su", Some("/usr/bin/su")),
            // a directory that no layer lists
            ("/usr", Some("/usr")),
            ("/empty", Some("/empty")),
            ("/", Some("/")),
            ("/loop", None),
            ("/a", None),
            ("/dangling", None),
            ("/usr/bin/su/x", None),
            ("/us", None),
        ] {
            let found = subject.inventory.resolve(&ImagePath::from(path));
            assert_eq!(found, want.map(ImagePath::from), "{path}");
        }
    }

    #[test]
    fn links_made_to_be_walked_for_ever_end() {
        let target = "d/../".repeat(800);
        let subject = Image::bare()
            .tree(&["d/x", &format!("l -> {target}d")])
            .build();
        assert_eq!(subject.inventory.resolve(&ImagePath::from("/l")), None);
    }

    #[test]
    fn what_lies_below_is_told_by_component() {
        let subject = Image::bare()
            .tree(&["a/", "a/b", "a/b/c", "a-b/x", "a.b", "ab/x"])
            .build();
        let below = |path: &str| -> Vec<String> {
            let path = ImagePath::from(path);
            let found = subject.inventory.below(&path);
            found.map(|(path, _)| path.to_string()).collect()
        };
        assert_eq!(below("/a"), ["/a/b", "/a/b/c"]);
        assert_eq!(below("/a/b"), ["/a/b/c"]);
        assert_eq!(below("/").len(), 6);
        assert!(below("/nothing").is_empty());
    }
}
