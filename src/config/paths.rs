//! Context and Dockerfile: where they may lie and where they are looked for.

use std::path::{Path, PathBuf};

use super::{
    decode::Problem,
    sourced::{Origin, Sourced},
};

/// Dockerfiles that are looked for when none is named.
const DOCKERFILES: &[&str] = &["Dockerfile", "Containerfile"];

/// Directories that relative paths start from. All without links.
#[derive(Debug, Clone)]
pub(super) struct Bases {
    /// for the file and the environment
    pub(super) root: PathBuf,
    /// for the command line
    pub(super) cwd: PathBuf,
}

impl Bases {
    /// Where a relative path from `origin` starts.
    pub(super) fn of(&self, origin: &Origin) -> &Path {
        match origin {
            Origin::Flag(_) => &self.cwd,
            _ => &self.root,
        }
    }

    /// A path made absolute.
    pub(super) fn absolute(&self, path: &Sourced<PathBuf>) -> PathBuf {
        self.of(&path.origin).join(&path.value)
    }

    /// The way a path is named in messages: relative to the root when it is in it.
    fn name<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        match path.strip_prefix(&self.root) {
            Ok(inside) if !inside.as_os_str().is_empty() => inside.display(),
            _ => path.display(),
        }
    }

    /// The context directory.
    pub(super) fn context(&self, wanted: &Sourced<PathBuf>) -> Result<PathBuf, Problem> {
        let path = self.absolute(wanted);
        let shown = wanted.value.display();
        let real = path.canonicalize().map_err(|error| {
            let help = match wanted.value.to_str() {
                Some(text) if text.contains("://") || text.starts_with("git@") => {
                    "a directory of the repository is wanted; clone it first".to_owned()
                }
                _ => format!("looked for {}", path.display()),
            };
            Problem::new(format!("context `{shown}`: {}", plain(&error))).help(Some(help))
        })?;
        if !real.is_dir() {
            let help = "name a directory within the repository".to_owned();
            let problem = Problem::new(format!("context `{shown}` is no directory"));
            return Err(problem.help(Some(help)));
        }
        self.inside(&real, "context", &wanted.value)?;
        Ok(real)
    }

    /// The Dockerfile: relative to the context first, then to where relative paths start; a
    /// directory stands for the `Dockerfile` in it. `None` is for the names it has by default.
    pub(super) fn dockerfile(
        &self,
        wanted: Option<&Sourced<PathBuf>>,
        context: &Path,
    ) -> Result<PathBuf, Problem> {
        let candidates: Vec<PathBuf> = match wanted {
            None => DOCKERFILES.iter().map(|name| context.join(name)).collect(),
            Some(path) => vec![context.join(&path.value), self.absolute(path)],
        };
        let mut tried: Vec<PathBuf> = Vec::new();
        for mut candidate in candidates {
            if candidate.is_dir() {
                candidate.push("Dockerfile");
            }
            let Ok(real) = candidate.canonicalize() else {
                if !tried.contains(&candidate) {
                    tried.push(candidate);
                }
                continue;
            };
            let named = wanted.map_or(candidate.as_path(), |path| &path.value);
            self.inside(&real, "Dockerfile", named)?;
            if !real.is_file() {
                return Err(Problem::new(format!(
                    "Dockerfile `{}` is no file",
                    named.display()
                )));
            }
            return Ok(real);
        }
        let tried: Vec<String> = tried
            .iter()
            .map(|path| format!("`{}`", self.name(path)))
            .collect();
        let what = match wanted {
            Some(path) => format!("no Dockerfile `{}`", path.value.display()),
            None => "no Dockerfile".to_owned(),
        };
        let message = format!("{what}: there is neither {}", tried.join(" nor "));
        let message = match tried.len() {
            1 => format!("{what}: there is no {}", tried.join("")),
            _ => message,
        };
        Err(Problem::new(message).help(Some(
            "name it with `--file` or `build.dockerfile`".to_owned(),
        )))
    }

    fn inside(&self, real: &Path, what: &str, named: &Path) -> Result<(), Problem> {
        if real.starts_with(&self.root) {
            return Ok(());
        }
        let message = format!("{what} `{}` lies outside the repository", named.display());
        let help = format!(
            "it is {}, the repository root is {}; move it in, or put plimsoll.yaml further up",
            real.display(),
            self.root.display()
        );
        Err(Problem::new(message).help(Some(help)))
    }
}

/// An output directory that is new, empty, or an OCI layout already: an image among other files
/// could not be told from them.
pub(super) fn is_free(output: &Path) -> Result<(), Problem> {
    let Ok(metadata) = output.metadata() else {
        return Ok(());
    };
    let shown = output.display();
    let help = Some("name a new or empty directory".to_owned());
    if !metadata.is_dir() {
        return Err(Problem::new(format!("output `{shown}` is no directory")).help(help));
    }
    let holds_something = output
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some());
    if holds_something && !output.join("oci-layout").is_file() {
        let message = format!("output `{shown}` holds files that are no OCI layout");
        return Err(Problem::new(message).help(help));
    }
    Ok(())
}

/// What the system says, in our words.
fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "may not be read".to_owned(),
        _ => error.to_string(),
    }
}
