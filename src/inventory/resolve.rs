//! Symbolic links inside a flattened tree, followed as a process chrooted into the image would.

use std::collections::{BTreeMap, HashMap};

use crate::{
    oci::ImagePath,
    subject::{Entry, EntryKind},
};

/// Links followed for one path, Linux' own limit.
const MAX_LINKS: u32 = 40;

/// Follows links in a tree, remembering directories.
pub(super) struct Resolver<'t> {
    tree: &'t BTreeMap<ImagePath, Entry>,
    directories: HashMap<ImagePath, Option<ImagePath>>,
}

impl<'t> Resolver<'t> {
    pub(super) fn new(tree: &'t BTreeMap<ImagePath, Entry>) -> Self {
        Self {
            tree,
            directories: HashMap::new(),
        }
    }

    /// The path with the links of its directories followed, its last component as it is; `None` when
    /// a directory of it is none, or the links have no end.
    pub(super) fn locate(&mut self, path: &ImagePath) -> Option<ImagePath> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Some(path.clone());
        };
        if let Some(known) = self.directories.get(&parent) {
            return known.as_ref().map(|parent| parent.join(name));
        }
        let found = self.follow(&parent);
        let located = found.as_ref().map(|parent| parent.join(name));
        self.directories.insert(parent, found);
        located
    }

    /// The path with all its links followed.
    pub(super) fn follow(&self, path: &ImagePath) -> Option<ImagePath> {
        let mut todo: Vec<Vec<u8>> = components(path.as_bytes()).collect();
        let mut at = ImagePath::default();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                at = at.parent().unwrap_or_default();
                continue;
            }
            let next = at.join(&name);
            match self.tree.get(&next).map(|entry| &entry.kind) {
                Some(EntryKind::Symlink(target)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    if target.first() == Some(&b'/') {
                        at = ImagePath::default();
                    }
                    todo.extend(components(target));
                }
                // Layers need not name every directory on the way.
                Some(EntryKind::Directory) | None => at = next,
                Some(_) if todo.is_empty() => at = next,
                Some(_) => return None,
            }
        }
        Some(at)
    }
}

/// The components of a path, last first.
fn components(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.rsplit(|&byte| byte == b'/')
        .filter(|name| !name.is_empty() && name != b".")
        .map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::Resolver;
    use crate::{
        oci::{ImagePath, LayerIndex},
        subject::{Entry, EntryKind},
    };

    #[test]
    fn links_of_directories_are_followed_inside_the_image() {
        let tree = [
            ("usr/bin/ls", None),
            ("bin", Some("usr/bin")),
            ("sbin", Some("/bin")),
            ("up", Some("../../usr")),
            ("loop", Some("loop/x")),
            ("last", Some("bin/ls")),
        ]
        .map(|(path, target)| {
            let kind = target.map_or(EntryKind::Fifo, |t| EntryKind::Symlink(t.as_bytes().into()));
            let entry = Entry {
                kind,
                mode: 0o755,
                uid: 0,
                gid: 0,
                caps: Box::default(),
                layer: LayerIndex(0),
            };
            (ImagePath::from(path), entry)
        })
        .into();
        let mut resolver = Resolver::new(&tree);
        for (path, want) in [
            ("/bin/ls", Some("/usr/bin/ls")),
            ("/sbin/ls", Some("/usr/bin/ls")),
            ("/up/bin/ls", Some("/usr/bin/ls")),
            ("/last", Some("/last")),
            ("/loop/y", None),
            ("/usr/bin/ls/x", Some("/usr/bin/ls/x")),
            ("/usr/bin/ls/x/y", None),
            ("/", Some("/")),
        ] {
            let located = resolver.locate(&path.into());
            assert_eq!(located, want.map(ImagePath::from), "{path}");
        }
        assert_eq!(resolver.follow(&"/last".into()), Some("/usr/bin/ls".into()));
    }
}
