//! Looks into the build context as `COPY` would, for predictions. Reads names and sizes, and the
//! ignore file; never a file's content.

#![expect(
    clippy::disallowed_methods,
    reason = "gather reads the context's directory"
)]

use std::{
    cell::Cell,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    dockerfile::{ContextFiles, ContextPath},
    engine::dockerignore::{self, Matcher},
};

/// Entries looked at for one path; a prediction is not worth more.
const MOST: usize = 20_000;

/// The context directory, its ignore file read.
pub struct Context {
    root: PathBuf,
    ignore: Option<Matcher>,
}

impl Context {
    /// Reads `<Dockerfile>.dockerignore`, else `.dockerignore` of the context (`BuildKit`'s order).
    /// A malformed one counts as unknown; [`malformed_ignore`] says what is wrong with it.
    pub fn new(context: &Path, dockerfile: &Path) -> Self {
        let ignore = ignore_file(context, dockerfile).and_then(|(_, text)| {
            let lines = dockerignore::read(&text).ok()?;
            Matcher::new(lines.into_iter().map(|line| line.pattern)).ok()
        });
        Self {
            root: context.to_owned(),
            ignore,
        }
    }

    fn ignored(&self, path: &str) -> bool {
        self.ignore
            .as_ref()
            .is_some_and(|matcher| matcher.is_match(path).unwrap_or(false))
    }

    /// Paths below the context that a `COPY` source names, wildcards resolved a component at a time.
    fn expand(&self, path: &str) -> io::Result<Vec<String>> {
        let mut found = vec![String::new()];
        for part in path
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
        {
            let mut next = Vec::new();
            for parent in found {
                if !part.contains(['*', '?', '[', '\\']) {
                    next.push(join(&parent, part));
                    continue;
                }
                for entry in fs::read_dir(self.root.join(&parent))?.take(MOST) {
                    let name = entry?.file_name();
                    if let Some(name) = name.to_str()
                        && dockerignore::glob_match(part, name).unwrap_or(false)
                    {
                        next.push(join(&parent, name));
                    }
                }
            }
            found = next;
        }
        Ok(found)
    }

    fn look_at(&self, path: &str, left: &Cell<usize>) -> ContextPath {
        if left.get() == 0 {
            return ContextPath::Unknown;
        }
        left.set(left.get() - 1);
        // A link inside the context is followed by COPY; one that leaves it is not there for it.
        let metadata = match fs::canonicalize(self.root.join(path)) {
            Ok(real) if real.starts_with(&self.root) => fs::metadata(real),
            Ok(_) => return ContextPath::Missing,
            Err(error) => Err(error),
        };
        match metadata {
            Err(error) if error.kind() == io::ErrorKind::NotFound => ContextPath::Missing,
            Err(_) => ContextPath::Unknown,
            Ok(metadata) if metadata.is_dir() => self.look_below(path, left),
            Ok(_) if self.ignored(path) => ContextPath::Ignored,
            Ok(metadata) if metadata.len() > 0 => ContextPath::Present,
            Ok(_) => ContextPath::Empty,
        }
    }

    fn look_below(&self, path: &str, left: &Cell<usize>) -> ContextPath {
        let Ok(entries) = fs::read_dir(self.root.join(path)) else {
            return ContextPath::Unknown;
        };
        let mut worst = ContextPath::Empty;
        for entry in entries.flatten() {
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            // Directory links are not walked: COPY copies them as links.
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                continue;
            }
            match self.look_at(&join(path, &name), left) {
                ContextPath::Present => return ContextPath::Present,
                ContextPath::Unknown => return ContextPath::Unknown,
                ContextPath::Ignored => worst = ContextPath::Ignored,
                ContextPath::Empty | ContextPath::Missing => {}
            }
        }
        worst
    }
}

/// The ignore file of a build and its content, if there is one.
fn ignore_file(context: &Path, dockerfile: &Path) -> Option<(PathBuf, Vec<u8>)> {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(".dockerignore");
    let mut places = [PathBuf::from(own), context.join(".dockerignore")].into_iter();
    places.find_map(|path| fs::read(&path).ok().map(|text| (path, text)))
}

/// The ignore file and what is wrong with it, with the line, if something is.
pub fn malformed_ignore(context: &Path, dockerfile: &Path) -> Option<(PathBuf, String)> {
    let (path, text) = ignore_file(context, dockerfile)?;
    let lines = match dockerignore::read(&text) {
        Ok(lines) => lines,
        Err(error) => return Some((path, error.to_string())),
    };
    let wrong = lines.into_iter().find_map(|line| {
        let error = Matcher::new([line.pattern]).err()?;
        Some(format!("line {}: {error}", line.line))
    });
    Some((path, wrong?))
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}/{name}")
    }
}

impl ContextFiles for Context {
    fn look(&self, path: &str) -> ContextPath {
        let left = Cell::new(MOST);
        let Ok(paths) = self.expand(path) else {
            return ContextPath::Missing;
        };
        let mut all = ContextPath::Missing;
        for path in paths {
            match self.look_at(&path, &left) {
                ContextPath::Present => return ContextPath::Present,
                ContextPath::Missing => {}
                other => all = other,
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Context;
    use crate::dockerfile::{ContextFiles as _, ContextPath};

    #[test]
    fn copy_sources_are_looked_up_with_wildcards_ignores_and_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for (path, text) in [
            ("licenses/EULA.txt", "terms"),
            ("empty/none.txt", ""),
            ("secret/key.txt", "x"),
            ("a.txt", "a"),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", root.join("out")).unwrap();
        std::os::unix::fs::symlink("a.txt", root.join("in")).unwrap();
        fs::write(root.join(".dockerignore"), "secret\n").unwrap();
        let context = Context::new(&root, &root.join("Dockerfile"));
        for (path, want) in [
            ("licenses", ContextPath::Present),
            ("licenses/*.txt", ContextPath::Present),
            ("./lic*/EULA.txt", ContextPath::Present),
            ("empty", ContextPath::Empty),
            ("secret", ContextPath::Ignored),
            ("missing", ContextPath::Missing),
            ("*.md", ContextPath::Missing),
            ("out", ContextPath::Missing),
            ("in", ContextPath::Present),
            (".", ContextPath::Present),
        ] {
            assert_eq!(context.look(path), want, "{path}");
        }
    }
}
