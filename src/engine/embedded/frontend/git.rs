//! Sources of `ADD` that are no local files, told apart as `BuildKit` does it: git repositories
//! (`git@host:path`, `git://`, `ssh://`, `http(s)://….git`), then other `http(s)://` addresses.

use percent_encoding::percent_decode_str;

use super::{mount::go_bool, problem::Problem};

/// Where a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Remote {
    /// a path of the context, stage or image
    No,
    Http,
    Git(GitRef),
}

/// A repository and what of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GitRef {
    pub(super) remote: String,
    pub(super) reference: Option<String>,
    pub(super) subdir: Option<String>,
    pub(super) checksum: Option<String>,
    pub(super) keep_git_dir: Option<bool>,
    pub(super) skip_submodules: bool,
}

/// Tells what a source is.
pub(super) fn remote(source: &str) -> Result<Remote, Problem> {
    let scheme = source.split_once("://").map(|(scheme, _)| scheme);
    let scheme = scheme.filter(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric()));
    let Some(scheme) = scheme else {
        return if scp(source) {
            git(source).map(Remote::Git)
        } else {
            Ok(Remote::No)
        };
    };
    match scheme.to_lowercase().as_str() {
        "git" | "ssh" => git(source).map(Remote::Git),
        "http" | "https" if repository(source) => git(source).map(Remote::Git),
        _ if source.starts_with("http://") || source.starts_with("https://") => Ok(Remote::Http),
        _ => Ok(Remote::No),
    }
}

/// `user@host:path`.
fn scp(source: &str) -> bool {
    let Some((user, rest)) = source.split_once('@') else {
        return false;
    };
    let Some((host, _)) = rest.split_once(':') else {
        return false;
    };
    let name = |c: char, more: &str| c.is_ascii_alphanumeric() || c == '-' || more.contains(c);
    let part = |text: &str, more: &str| !text.is_empty() && text.chars().all(|c| name(c, more));
    part(user, "_") && part(host, ".") && !source.contains('\n')
}

/// The decoded path of an address.
fn path_of(source: &str) -> String {
    let rest = source.split_once("://").map_or(source, |(_, rest)| rest);
    let rest = rest.split(['#', '?']).next().unwrap_or("");
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("");
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

/// `….git`, in lower case as `BuildKit` has it.
#[expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "another case is no repository"
)]
fn repository(source: &str) -> bool {
    path_of(source).ends_with(".git")
}

/// The name that a downloaded file gets.
pub(super) fn filename(source: &str) -> String {
    let path = super::words::clean(&path_of(source));
    match super::words::base(&path) {
        "" => "__unnamed__".to_owned(),
        name => name.to_owned(),
    }
}

fn git(source: &str) -> Result<GitRef, Problem> {
    let (rest, fragment) = source.split_once('#').unwrap_or((source, ""));
    let (remote, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut found = GitRef {
        remote: remote.to_owned(),
        reference: filled(reference),
        subdir: filled(super::words::clean(subdir).trim_start_matches('/')),
        ..GitRef::default()
    };
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        found.query(&key, &value).map_err(|why| {
            Problem::fault(
                format!("the address of a git repository, `{source}`: {why}"),
                "mend what stands behind the question mark",
            )
        })?;
    }
    Ok(found)
}

impl GitRef {
    fn query(&mut self, key: &str, value: &str) -> Result<(), String> {
        let switch = matches!(key, "submodules" | "keep-git-dir");
        if value.is_empty() && !switch {
            return Err(format!("`{key}` has no value"));
        }
        let truth = || {
            let value = if value.is_empty() {
                Some(true)
            } else {
                go_bool(value)
            };
            value.ok_or_else(|| format!("`{key}` may be true or false"))
        };
        match key {
            "ref" => set(&mut self.reference, value.to_owned(), key)?,
            "tag" => set(&mut self.reference, prefixed("refs/tags/", value), key)?,
            "branch" => set(&mut self.reference, prefixed("refs/heads/", value), key)?,
            "subdir" => set(&mut self.subdir, value.to_owned(), key)?,
            "checksum" | "commit" => self.checksum = Some(value.to_owned()),
            "keep-git-dir" => self.keep_git_dir = Some(truth()?),
            "submodules" => self.skip_submodules = !truth()?,
            // It dates the files of a context; for `ADD` BuildKit reads it and does nothing.
            "mtime" if matches!(value, "checkout" | "commit") => {}
            _ => return Err(format!("`{key}={value}` means nothing")),
        }
        Ok(())
    }
}

fn prefixed(prefix: &str, value: &str) -> String {
    if value.starts_with(prefix) {
        value.to_owned()
    } else {
        format!("{prefix}{value}")
    }
}

fn set(slot: &mut Option<String>, value: String, key: &str) -> Result<(), String> {
    match slot {
        Some(there) if *there != value => Err(format!("`{key}` contradicts `{there}`")),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GitRef, Remote, filename, remote};

    #[test]
    fn sources_are_told_apart_as_buildkit_does_it() {
        for source in [
            "a",
            "./git@x:y",
            "github.com/a/b",
            "ftp://x/y",
            "git@x/y",
            "a:b",
            "C:/x",
        ] {
            assert_eq!(remote(source).unwrap(), Remote::No, "{source}");
        }
        for source in [
            "http://x/y",
            "https://x/a.gitx",
            "https://x/?a.git",
            "https://x/y#z.git",
        ] {
            assert_eq!(remote(source).unwrap(), Remote::Http, "{source}");
        }
        let git = |source: &str| match remote(source) {
            Ok(Remote::Git(found)) => found,
            other => panic!("{source}: {other:?}"),
        };
        assert_eq!(git("git@x.org:a/b").remote, "git@x.org:a/b");
        assert_eq!(git("ssh://git@x/a").remote, "ssh://git@x/a");
        let full = git("https://x/a.git#v1:/sub/../dir");
        assert_eq!(
            full,
            GitRef {
                remote: "https://x/a.git".into(),
                reference: Some("v1".into()),
                subdir: Some("dir".into()),
                ..GitRef::default()
            }
        );
        let query = git("https://x/a.git?tag=v1&subdir=s&commit=abc&keep-git-dir");
        assert_eq!(query.reference.as_deref(), Some("refs/tags/v1"));
        assert_eq!(
            (query.checksum.as_deref(), query.keep_git_dir),
            (Some("abc"), Some(true))
        );
        for source in [
            "https://x/a.git?x=1",
            "https://x/a.git?ref=a#b",
            "git@x:a?ref=",
        ] {
            assert!(remote(source).is_err(), "{source}");
        }
    }

    #[test]
    fn a_download_is_named_by_the_last_part_of_its_path() {
        for (source, want) in [
            ("https://x/a/b.tar.gz?q=/z", "b.tar.gz"),
            ("https://x/a%20b", "a b"),
            ("https://x/", "__unnamed__"),
            ("https://x", "__unnamed__"),
            ("https://x/a/", "a"),
            ("https://x/a/..", "__unnamed__"),
        ] {
            assert_eq!(filename(source), want, "{source}");
        }
    }
}
