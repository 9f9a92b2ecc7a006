//! `--chown` and the owner of `WORKDIR`: names are those of the tree that is changed.

use std::{os::fd::AsFd as _, path::Path};

use super::{
    FileError,
    root::{Root, names},
};

/// A passwd or group file longer than this is not read to its end.
const LIMIT: u64 = 16 << 20;

/// User and group that `user[:group]` means in a tree; a name that the tree does not know is 0, as
/// in `BuildKit`, and so is it an error to look for one where nothing is at all. An empty side is 0
/// too, and a number that does not fit is a name.
pub(super) fn lookup(text: &str, tree: &Root) -> Result<(u32, u32), FileError> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let (uid, mut gid) = match number(user) {
        Some(id) => (id, id),
        None => entry(tree, "etc/passwd", user)?.map_or((0, 0), |fields| (fields.0, fields.1)),
    };
    if let Some(group) = group {
        match number(group) {
            Some(id) => gid = id,
            None => {
                if let Some((id, _)) = entry(tree, "etc/group", group)? {
                    gid = id;
                }
            }
        }
    }
    Ok((uid, gid))
}

/// The id of a text that is no name.
fn number(text: &str) -> Option<u32> {
    match text {
        "" | "root" => Some(0),
        // -1 is what the kernel calls "leave it": what is made stays root's.
        _ => match text.parse::<i32>().ok()?.cast_unsigned() {
            u32::MAX => Some(0),
            id => Some(id),
        },
    }
}

/// Third and fourth field of the line that starts with a name; what is no number counts as 0.
fn entry(tree: &Root, file: &str, name: &str) -> Result<Option<(u32, u32)>, FileError> {
    let Some(content) = tree.read(Path::new(file), LIMIT)? else {
        let directory = tree.dir(Path::new(""))?;
        let names = names(directory.as_fd())
            .map_err(|fault| FileError::io("listing", Path::new(""), fault))?;
        if names.is_empty() {
            return Err(FileError::Refused(format!(
                "`{name}` cannot be looked up in an empty tree, which has no {file}; use a number"
            )));
        }
        return Ok(None);
    };
    for line in content.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else {
            continue;
        };
        let mut fields = line.trim().split(':');
        if fields.next() == Some(name) && !name.is_empty() {
            let mut id = |skipped| {
                fields
                    .nth(skipped)
                    .and_then(|id| id.parse().ok())
                    .unwrap_or(0)
            };
            return Ok(Some((id(1), id(0))));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::disallowed_methods,
        reason = "tests make the trees that are read"
    )]

    use super::{Root, lookup};

    #[test]
    fn names_are_those_of_the_tree_and_unknown_ones_are_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(
            dir.path().join("etc/passwd"),
            "root:x:0:0::/:/bin/sh\n\nweb:x:33:34::/:/bin/sh\nodd:x:a:b\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("etc/group"), "root:x:0:\nstaff:x:50:web\n").unwrap();
        let tree = Root::open(dir.path()).unwrap();
        for (text, expected) in [
            ("web", (33, 34)),
            ("web:staff", (33, 50)),
            ("web:7", (33, 7)),
            ("5", (5, 5)),
            ("5:staff", (5, 50)),
            ("nobody", (0, 0)),
            ("nobody:nogroup", (0, 0)),
            ("web:nogroup", (33, 34)),
            (":staff", (0, 50)),
            ("odd", (0, 0)),
            ("web:", (33, 0)),
            (":", (0, 0)),
            ("-1", (0, 0)),
            ("-1:7", (0, 7)),
            ("web:-2", (33, 4_294_967_294)),
            ("4294967295", (0, 0)),
            ("99999999999", (0, 0)),
            ("root:root", (0, 0)),
        ] {
            assert_eq!(lookup(text, &tree).unwrap(), expected, "{text}");
        }
    }
}
