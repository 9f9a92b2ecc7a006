//! `fsutil`'s `FollowLinks`: a path the Dockerfile copies becomes the links on its way and what
//! they point to, so that both are sent. Nothing outside the root is looked at.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::ContextError;
use crate::engine::dockerignore::{clean, glob_match, join};

/// The resolved paths, sorted; `None` when the root itself is among them, which is no filter at all.
pub(super) fn follow_links(
    root: &Path,
    paths: &[String],
) -> Result<Option<Vec<String>>, ContextError> {
    let mut resolved = BTreeSet::new();
    // Last in, first out; reversed, so that paths are taken in their order.
    let mut open: Vec<String> = paths.iter().rev().cloned().collect();
    while let Some(path) = open.pop() {
        let targets = resolve(root, &path, &mut resolved)?;
        open.extend(targets.into_iter().rev());
    }
    Ok(without_children(resolved.into_iter().collect()))
}

/// Walks along one path up to its first link; answers where to go on. A link met a second time is
/// not followed again, which also ends loops.
fn resolve(
    root: &Path,
    path: &str,
    resolved: &mut BTreeSet<String>,
) -> Result<Vec<String>, ContextError> {
    let mut rest = join(".", path);
    let mut current = ".".to_owned();
    loop {
        let (part, behind) = match rest.split_once('/') {
            Some((part, behind)) => (part.to_owned(), behind.to_owned()),
            None => (rest, String::new()),
        };
        current = join(&current, &part);
        let targets = link_targets(root, &current)?;
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
fn link_targets(root: &Path, path: &str) -> Result<Vec<String>, ContextError> {
    if path == "." || path == ".." || path.starts_with("../") {
        return Ok(Vec::new());
    }
    let (directory, base) = path.rsplit_once('/').unwrap_or(("", path));
    if !has_wildcard(base) {
        return Ok(link_target(root, path)?.into_iter().collect());
    }
    let mut targets = Vec::new();
    for name in names(root, directory)? {
        if glob_match(base, &name).unwrap_or(false) {
            targets.extend(link_target(root, &join(directory, &name))?);
        }
    }
    Ok(targets)
}

fn link_target(root: &Path, path: &str) -> Result<Option<String>, ContextError> {
    let on_disk = root.join(path);
    match fs::symlink_metadata(&on_disk) {
        Ok(metadata) if metadata.is_symlink() => {}
        Ok(_) => return Ok(None),
        Err(fault) if is_absent(&fault) => return Ok(None),
        Err(fault) => return Err(ContextError::io("reading", Path::new(path), fault)),
    }
    let target = fs::read_link(&on_disk)
        .map_err(|fault| ContextError::io("reading link", Path::new(path), fault))?;
    let target = target.to_str().ok_or_else(|| ContextError::NotUtf8 {
        what: "the target of link",
        path: PathBuf::from(path),
    })?;
    let target = clean(target);
    if target.starts_with('/') {
        return Ok(Some(target));
    }
    let directory = path
        .rsplit_once('/')
        .map_or(".", |(directory, _)| directory);
    // Joined to `/` so that `..` ends at the root.
    Ok(Some(join("/", &join(directory, &target))))
}

/// The names in a directory that are text, sorted.
fn names(root: &Path, directory: &str) -> Result<Vec<String>, ContextError> {
    let fail = |fault| ContextError::io("listing", Path::new(directory), fault);
    let entries = match fs::read_dir(root.join(directory)) {
        Ok(entries) => entries,
        Err(fault) if is_absent(&fault) => return Ok(Vec::new()),
        Err(fault) => return Err(fail(fault)),
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is not text cannot be asked for by a pattern.
        if let Ok(name) = entry.map_err(fail)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn is_absent(fault: &io::Error) -> bool {
    matches!(
        fault.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn has_wildcard(name: &str) -> bool {
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
pub(super) fn without_children(paths: Vec<String>) -> Option<Vec<String>> {
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
