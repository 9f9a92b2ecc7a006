//! What a checkout's `HEAD` is, read from the files of git: the `git` program need not be there, and
//! may refuse a directory that belongs to somebody else. Reads refs only, no objects.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::context::is_sha;

/// Largest file of refs that is read, in bytes.
const MAX_REFS: u64 = 64 * 1024 * 1024;

/// The commits that a checkout knows by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkout {
    /// commit that is checked out
    pub head: Option<String>,
    /// commit of the merge ref that was fetched
    pub merge: Option<String>,
}

/// Reads the checkout that `directory` lies in; what cannot be read is unknown. `reference` is the
/// one of the workflow.
pub fn read(directory: &Path, reference: &str) -> Checkout {
    let Some(git) = directory.ancestors().find_map(git_dir) else {
        return Checkout::default();
    };
    let merge = reference.strip_prefix("refs/pull/");
    let merge = merge.and_then(|rest| resolve(&git, &format!("refs/remotes/pull/{rest}")));
    Checkout {
        head: head(&git),
        merge,
    }
}

fn head(git: &Path) -> Option<String> {
    let text = text_of(&git.join("HEAD"), 4096)?;
    match text.trim().strip_prefix("ref:") {
        Some(name) => resolve(git, name.trim()),
        None => Some(text.trim().to_owned()).filter(|sha| is_sha(sha)),
    }
}

/// The commit of a ref: a file of its own, else a line of the packed ones.
fn resolve(git: &Path, name: &str) -> Option<String> {
    let inside = Path::new(name)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    if !name.starts_with("refs/") || !inside {
        return None;
    }
    let shared = common(git);
    for place in [git, shared.as_path()] {
        let sha = text_of(&place.join(name), 4096).map(|text| text.trim().to_owned());
        if let Some(sha) = sha.filter(|sha| is_sha(sha)) {
            return Some(sha);
        }
    }
    let packed = text_of(&shared.join("packed-refs"), MAX_REFS)?;
    let mut lines = packed.lines().filter_map(|line| line.split_once(' '));
    let found = lines.rfind(|(sha, it)| *it == name && is_sha(sha));
    found.map(|(sha, _)| sha.to_owned())
}

/// `.git`, or what it points to in a further worktree.
fn git_dir(directory: &Path) -> Option<PathBuf> {
    let git = directory.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = text_of(&git, 4096)?;
    Some(directory.join(text.trim().strip_prefix("gitdir:")?.trim()))
}

/// Where the refs of all worktrees are.
fn common(git: &Path) -> PathBuf {
    match text_of(&git.join("commondir"), 4096) {
        Some(path) => git.join(path.trim()),
        None => git.to_owned(),
    }
}

#[expect(clippy::disallowed_methods, reason = "this module reads files of git")]
fn text_of(path: &Path, most: u64) -> Option<String> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    let file = fs::File::open(path).ok()?;
    file.take(most).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests write files")]
    use std::{fs, path::Path};

    use super::{Checkout, read};

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn head(root: &Path) -> Option<String> {
        read(root, "refs/heads/main").head
    }

    #[test]
    fn head_is_read_detached_by_branch_packed_and_in_a_worktree() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(
            read(&root.join("nothing"), "refs/heads/main"),
            Checkout::default()
        );
        write(root, ".git/HEAD", &format!("{ONE}\n"));
        assert_eq!(head(root).as_deref(), Some(ONE));
        fs::create_dir_all(root.join("sub/dir")).unwrap();
        assert_eq!(head(&root.join("sub/dir")).as_deref(), Some(ONE));
        write(root, ".git/HEAD", "ref: refs/heads/main\n");
        assert_eq!(head(root), None);
        write(
            root,
            ".git/packed-refs",
            &format!("# pack-refs with: peeled\n{TWO} refs/heads/main\n^{ONE}\n"),
        );
        assert_eq!(head(root).as_deref(), Some(TWO));
        write(root, ".git/refs/heads/main", &format!("{ONE}\n"));
        assert_eq!(head(root).as_deref(), Some(ONE));
        write(root, ".git/worktrees/w/HEAD", "ref: refs/heads/main\n");
        write(root, ".git/worktrees/w/commondir", "../..\n");
        write(root, "w/.git", "gitdir: ../.git/worktrees/w\n");
        assert_eq!(head(&root.join("w")).as_deref(), Some(ONE));
        write(root, ".git/refs/remotes/pull/7/merge", TWO);
        assert_eq!(read(root, "refs/pull/7/merge").merge.as_deref(), Some(TWO));
    }

    #[test]
    fn a_hostile_head_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "secret", ONE);
        for text in [
            "ref: ../secret",
            "ref: refs/../../secret",
            "ref: /etc/passwd",
            "short",
            "",
        ] {
            write(root, ".git/HEAD", text);
            assert_eq!(head(root), None, "{text}");
        }
    }
}
