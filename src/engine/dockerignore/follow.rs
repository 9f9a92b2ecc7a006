//! `fsutil`'s `FollowLinks`: a path the Dockerfile copies becomes the links on its way and what
//! they point to, so that both are in the context. Which links there are is the caller's to say.

use std::collections::BTreeSet;

use super::{clean, glob_match, join};

/// A tree whose links are followed. Paths are relative to it, cleaned, without links before their
/// last component.
pub(crate) trait Links {
    /// Why it cannot be read.
    type Error;

    /// What the link at `path` says; `None` when nothing is there or it is no link.
    fn target(&self, path: &str) -> Result<Option<String>, Self::Error>;

    /// Names in a directory, sorted; none when there is no such directory.
    fn names(&self, directory: &str) -> Result<Vec<String>, Self::Error>;
}

/// The resolved paths, sorted; `None` when the root itself is among them, which is no filter at all.
pub(crate) fn follow_links<L: Links>(
    tree: &L,
    paths: &[String],
) -> Result<Option<Vec<String>>, L::Error> {
    let mut resolved = BTreeSet::new();
    // Last in, first out; reversed, so that paths are taken in their order.
    let mut open: Vec<String> = paths.iter().rev().cloned().collect();
    while let Some(path) = open.pop() {
        let targets = resolve(tree, &path, &mut resolved)?;
        open.extend(targets.into_iter().rev());
    }
    Ok(without_children(resolved.into_iter().collect()))
}

/// Walks along one path up to its first link; answers where to go on. A link met a second time is
/// not followed again, which also ends loops.
fn resolve<L: Links>(
    tree: &L,
    path: &str,
    resolved: &mut BTreeSet<String>,
) -> Result<Vec<String>, L::Error> {
    let mut rest = join(".", path);
    let mut current = ".".to_owned();
    loop {
        let (part, behind) = match rest.split_once('/') {
            Some((part, behind)) => (part.to_owned(), behind.to_owned()),
            None => (rest, String::new()),
        };
        current = join(&current, &part);
        let targets = link_targets(tree, &current)?;
        rest = behind;
        if !targets.is_empty() {
            if !resolved.insert(current) {
                return Ok(Vec::new());
            }
            return Ok(targets.iter().map(|to| join(to, &rest)).collect());
        }
        if rest.is_empty() {
            resolved.insert(current);
            return Ok(Vec::new());
        }
    }
}

/// Where the links named by `path` point; its last component may have wildcards.
fn link_targets<L: Links>(tree: &L, path: &str) -> Result<Vec<String>, L::Error> {
    if path == "." || path == ".." || path.starts_with("../") {
        return Ok(Vec::new());
    }
    let (directory, base) = path.rsplit_once('/').unwrap_or(("", path));
    if !has_wildcard(base) {
        return Ok(link_target(tree, path)?.into_iter().collect());
    }
    let mut targets = Vec::new();
    for name in tree.names(directory)? {
        if glob_match(base, &name).unwrap_or(false) {
            targets.extend(link_target(tree, &join(directory, &name))?);
        }
    }
    Ok(targets)
}

fn link_target<L: Links>(tree: &L, path: &str) -> Result<Option<String>, L::Error> {
    let Some(target) = tree.target(path)? else {
        return Ok(None);
    };
    let target = clean(&target);
    if target.starts_with('/') {
        return Ok(Some(target));
    }
    let directory = path
        .rsplit_once('/')
        .map_or(".", |(directory, _)| directory);
    // Joined to `/` so that `..` ends at the root.
    Ok(Some(join("/", &join(directory, &target))))
}

/// Whether a component is a pattern; a backslash takes the meaning from what follows it.
pub(crate) fn has_wildcard(name: &str) -> bool {
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

/// Drops each path that lies below the one before it; `None` when the root is among them.
pub(crate) fn without_children(paths: Vec<String>) -> Option<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    for path in paths {
        if path == "." {
            return None;
        }
        let above = kept.last().map_or("", String::as_str);
        let is_child = path
            .strip_prefix(above)
            .is_some_and(|rest| rest.starts_with('/'));
        if !is_child {
            kept.push(path);
        }
    }
    Some(kept)
}
