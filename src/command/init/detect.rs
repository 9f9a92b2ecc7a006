//! What a repository tells of itself: its Dockerfiles, contexts, labels, licences and forge.

use std::{
    fs,
    path::{Path, PathBuf},
};

use indexmap::IndexMap;
use walkdir::WalkDir;

use crate::{config::cli::CiKind, dockerfile::Dockerfile, oci::Tag};

/// Directories that hold no Dockerfile of the repository itself.
const SKIPPED: [&str; 5] = ["node_modules", "target", "vendor", "testdata", "dist"];
/// How deep Dockerfiles are looked for, the root being 0.
const DEPTH: usize = 4;
/// The largest Dockerfile and git configuration that are read, in bytes.
const LARGEST: u64 = 1 << 20;

/// One image of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// relative to the repository
    pub(super) dockerfile: PathBuf,
    /// relative to the repository; empty for its root
    pub(super) context: PathBuf,
    /// literal labels of the last stage
    pub(super) labels: IndexMap<String, String>,
    /// it copies something to /licenses
    pub(super) has_licences: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) images: Vec<Image>,
    /// files with the terms of a licence, relative to the repository
    pub(super) licences: Vec<PathBuf>,
    /// address of `origin`
    pub(super) remote: Option<String>,
    pub(super) ci: Vec<CiKind>,
}

/// The directory of the git checkout around `directory`, else `directory`.
pub(super) fn root(directory: &Path) -> PathBuf {
    let inside = directory
        .ancestors()
        .find(|parent| parent.join(".git").exists());
    inside.unwrap_or(directory).to_owned()
}

/// Looks around. `given` are the Dockerfiles that the user names.
pub(super) fn look(root: &Path, given: &[PathBuf]) -> Found {
    let dockerfiles = if given.is_empty() {
        dockerfiles(root)
    } else {
        given.to_vec()
    };
    let remote = remote(root);
    Found {
        images: dockerfiles
            .into_iter()
            .map(|path| image(root, path))
            .collect(),
        licences: licences(root),
        ci: forges(root, remote.as_deref()),
        remote,
    }
}

fn dockerfiles(root: &Path) -> Vec<PathBuf> {
    let is_kept = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || !(name.starts_with('.') || SKIPPED.contains(&name.as_ref()))
    };
    let walk = WalkDir::new(root).max_depth(DEPTH).sort_by_file_name();
    let mut found: Vec<PathBuf> = walk
        .into_iter()
        .filter_entry(is_kept)
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .filter(|entry| is_dockerfile(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| Some(entry.path().strip_prefix(root).ok()?.to_owned()))
        .collect();
    found.sort_by_key(|path| (path.components().count(), path.clone()));
    found
}

fn is_dockerfile(name: &str) -> bool {
    let ignored = Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "dockerignore");
    let stem = name.split('.').next().unwrap_or(name);
    !ignored && matches!(stem, "Dockerfile" | "Containerfile")
}

#[expect(
    clippy::disallowed_methods,
    reason = "`init` reads the repository it writes for"
)]
fn text(path: &Path) -> Option<String> {
    let size = fs::metadata(path).ok()?.len();
    (size <= LARGEST)
        .then(|| fs::read_to_string(path).ok())
        .flatten()
}

fn image(root: &Path, dockerfile: PathBuf) -> Image {
    let text = text(&root.join(&dockerfile)).unwrap_or_default();
    let (read, _) = Dockerfile::read(&dockerfile.to_string_lossy(), &text);
    let resolved = read.and_then(|file| file.resolve(None, &IndexMap::new()).ok());
    let mut image = Image {
        context: PathBuf::new(),
        labels: IndexMap::new(),
        has_licences: false,
        dockerfile,
    };
    let Some(resolved) = resolved else {
        return image;
    };
    let own = image.dockerfile.parent().unwrap_or(Path::new(""));
    let sources = resolved
        .steps
        .iter()
        .filter(|step| step.known && step.instruction.flag("from").is_none())
        .filter_map(|step| Some(step.words.split_last()?.1))
        .flatten();
    // Where more of what is copied lies is the context that the author had in mind.
    let (mut beside, mut top) = (0_usize, 0_usize);
    for source in sources {
        let source = source.trim_start_matches('/');
        beside += usize::from(root.join(own).join(source).exists());
        top += usize::from(root.join(source).exists());
    }
    image.context = if top > beside {
        PathBuf::new()
    } else {
        own.to_owned()
    };
    image.has_licences = resolved
        .steps
        .iter()
        .filter_map(|step| step.words.last())
        .any(|target| {
            target.trim_end_matches('/') == "/licenses" || target.starts_with("/licenses/")
        });
    image.labels = resolved
        .labels
        .into_iter()
        .filter(|(_, setting)| setting.unknown.is_empty())
        .map(|(name, setting)| (name, setting.value))
        .collect();
    image
}

fn licences(root: &Path) -> Vec<PathBuf> {
    let is_licence = |name: &str| {
        let stem = name.split(['.', '-']).next().unwrap_or(name);
        ["LICENSE", "LICENCE", "COPYING", "EULA", "NOTICE"]
            .iter()
            .any(|it| stem.eq_ignore_ascii_case(it))
    };
    let walk = WalkDir::new(root)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name();
    walk.into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .filter(|entry| is_licence(&entry.file_name().to_string_lossy()))
        .map(|entry| PathBuf::from(entry.file_name()))
        .collect()
}

/// The address of `origin`, as the checkout's own configuration says it.
fn remote(root: &Path) -> Option<String> {
    let text = text(&root.join(".git/config"))?;
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[remote \"origin\"]";
        } else if inside
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "url"
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

fn forges(root: &Path, remote: Option<&str>) -> Vec<CiKind> {
    let files = [
        (".github", CiKind::Github),
        (".gitlab-ci.yml", CiKind::Gitlab),
        (".tekton", CiKind::Tekton),
        ("Jenkinsfile", CiKind::Jenkins),
        ("azure-pipelines.yml", CiKind::Azure),
    ];
    let by_files: Vec<CiKind> = files
        .into_iter()
        .filter(|(name, _)| root.join(name).exists())
        .map(|(_, ci)| ci)
        .collect();
    if !by_files.is_empty() {
        return by_files;
    }
    let host = remote.and_then(host_and_path).map(|(host, _)| host);
    match host {
        Some(host) if host.contains("gitlab") => vec![CiKind::Gitlab],
        Some(host) if host.contains("dev.azure.com") => vec![CiKind::Azure],
        _ => vec![CiKind::Github],
    }
}

/// Host and path of a git address, `https://host/path.git` or `user@host:path.git`.
pub(super) fn host_and_path(address: &str) -> Option<(String, String)> {
    let (host, path) = if let Ok(url) = url::Url::parse(address) {
        (url.host_str()?.to_owned(), url.path().to_owned())
    } else {
        let (host, path) = address.split_once(':')?;
        (host.rsplit('@').next()?.to_owned(), path.to_owned())
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (!path.is_empty()).then(|| (host, path.to_owned()))
}

impl Found {
    /// What an image of this repository is called most likely: the label `name` when it is a path,
    /// else the path of the repository on quay.io.
    pub(super) fn image_name(&self, image: &Image) -> String {
        let path = self.remote.as_deref().and_then(host_and_path);
        let path = path.map_or_else(|| "example/app".to_owned(), |(_, path)| path);
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let owner = clean(parts.next().unwrap_or("example"));
        let last = clean(parts.next_back().unwrap_or("app"));
        let label = image.labels.get("name").map(|name| name.trim());
        let name = match label {
            Some(name) if !name.is_empty() => clean(name.rsplit('/').next().unwrap_or(name)),
            _ if self.images.len() > 1 => {
                let own = image.dockerfile.parent().and_then(Path::file_name);
                own.map_or(last, |name| clean(&name.to_string_lossy()))
            }
            _ => last,
        };
        format!("quay.io/{owner}/{name}")
    }
}

/// A text as a part of a repository's name: lower case letters, digits and dashes.
fn clean(text: &str) -> String {
    let kept: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let kept = kept.trim_matches('-');
    if kept.is_empty() {
        "app".to_owned()
    } else {
        kept.to_owned()
    }
}

/// The tag that the labels ask for, `<version>-<release>`, else `1.0-1`.
pub(super) fn tag(image: &Image) -> String {
    let label = |name: &str| image.labels.get(name).map(|value| value.trim());
    let version = label("version").filter(|version| !version.is_empty());
    let Some(version) = version else {
        return "1.0-1".to_owned();
    };
    let release = label("release").filter(|release| !release.is_empty());
    let tag = format!("{version}-{}", release.unwrap_or("1"));
    if Tag::violations(&tag).is_empty() {
        tag
    } else {
        "1.0-1".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_address_has_a_host_and_a_path() {
        let table = [
            ("https://github.com/Org/app.git", "github.com", "Org/app"),
            (
                "git@gitlab.example.com:grp/sub/app.git",
                "gitlab.example.com",
                "grp/sub/app",
            ),
            ("ssh://git@host:2222/a/b", "host", "a/b"),
        ];
        for (address, host, path) in table {
            let expected = Some((host.to_owned(), path.to_owned()));
            assert_eq!(host_and_path(address), expected, "{address}");
        }
        assert_eq!(host_and_path("/srv/app.git"), None);
    }

    #[test]
    fn only_dockerfiles_are_taken_for_such() {
        let table = [
            ("Dockerfile", true),
            ("Containerfile", true),
            ("Dockerfile.rhel9", true),
            ("Dockerfile.dockerignore", false),
            ("dockerfile.md", false),
            ("NotADockerfile", false),
        ];
        for (name, expected) in table {
            assert_eq!(is_dockerfile(name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_becomes_a_part_of_a_reference() {
        assert_eq!(clean("My App_2"), "my-app-2");
        assert_eq!(clean("___"), "app");
    }
}
