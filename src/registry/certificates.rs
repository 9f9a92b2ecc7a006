//! Certificates of one registry, laid down as docker and podman have it:
//! `certs.d/HOST:PORT/{ca.crt,client.cert,client.key}`.
//!
//! The directories are named by `config`; a registry that none of them knows has the system's
//! certificates alone.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::secret::Secret;

/// The largest certificate or key file, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Most files of one registry.
const MAX_FILES: usize = 64;

/// What the directory of a registry holds.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    /// PEM, each of one or more certificates
    pub(super) roots: Vec<Vec<u8>>,
    /// certificate and key, PEM
    pub(super) identity: Option<Secret>,
}

impl Certificates {
    /// The first directory that knows the registry.
    pub(super) fn read(registry: &str, dirs: &[PathBuf]) -> Result<Self, String> {
        // A host name has neither `/` nor a `..` component, but it comes from outside.
        if registry.contains(['/', '\\', '\0']) || registry.starts_with('.') {
            return Ok(Self::default());
        }
        for dir in dirs {
            let dir = dir.join(registry);
            match dir.read_dir() {
                Ok(entries) => return Self::of(entries),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(format!("certificates in {}: {error}", dir.display())),
            }
        }
        Ok(Self::default())
    }

    fn of(entries: std::fs::ReadDir) -> Result<Self, String> {
        let mut files: Vec<PathBuf> = entries
            .take(MAX_FILES)
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        files.sort_unstable();
        let has = |path: &Path| files.iter().any(|file| file == path);
        let mut found = Self::default();
        for file in &files {
            match file.extension().and_then(|end| end.to_str()) {
                Some("crt") => found.roots.push(read(file)?),
                Some("cert") => {
                    let key = file.with_extension("key");
                    if !has(&key) {
                        return Err(lonely(file, "key"));
                    }
                    if found.identity.is_none() {
                        let mut pem = read(file)?;
                        pem.push(b'\n');
                        pem.extend(read(&key)?);
                        found.identity = Some(Secret::new(pem));
                    }
                }
                Some("key") if !has(&file.with_extension("cert")) => {
                    return Err(lonely(file, "cert"));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn lonely(file: &Path, missing: &str) -> String {
    format!(
        "{} has no {} beside it (a certificate of docker ends in .cert, an authority in .crt)",
        file.display(),
        file.with_extension(missing)
            .file_name()
            .unwrap_or_default()
            .display()
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "certificates are the registry's own input"
)]
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > MAX_FILE => Err(format!(
            "{} is larger than {MAX_FILE} bytes",
            path.display()
        )),
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests lay files down")]
mod tests {
    use std::fs::write;

    use super::Certificates;

    #[test]
    fn files_are_found_by_host_and_port_in_the_first_directory_that_knows_it() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (root.path().join("a"), root.path().join("b"));
        for dir in [&first, &second] {
            std::fs::create_dir_all(dir.join("r.example:5000")).unwrap();
        }
        std::fs::create_dir_all(second.join("other")).unwrap();
        write(first.join("r.example:5000/ca.crt"), "one").unwrap();
        write(second.join("r.example:5000/ca.crt"), "two").unwrap();
        write(second.join("other/x.crt"), "three").unwrap();
        write(second.join("other/client.cert"), "cert").unwrap();
        write(second.join("other/client.key"), "key").unwrap();
        write(second.join("other/readme"), "text").unwrap();
        let dirs = [root.path().join("absent"), first, second];
        let read = |registry| Certificates::read(registry, &dirs).unwrap();
        assert_eq!(read("r.example:5000").roots, [b"one"]);
        assert!(read("r.example:5000").identity.is_none());
        assert!(read("r.example").roots.is_empty());
        assert!(read("../b/other").roots.is_empty());
        let other = read("other");
        assert_eq!(other.roots, [b"three"]);
        assert_eq!(other.identity.unwrap().expose(), b"cert\nkey");
    }

    #[test]
    fn half_of_a_pair_is_told_by_name() {
        for (there, missing) in [("client.cert", "client.key"), ("client.key", "client.cert")] {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("r")).unwrap();
            write(root.path().join("r").join(there), "x").unwrap();
            let error = Certificates::read("r", &[root.path().into()]).unwrap_err();
            assert!(error.contains(there) && error.contains(missing), "{error}");
        }
    }
}
