//! The binary against bad input: each case a clear error, the right exit code, and nothing left
//! behind or touched outside of the project.

mod builds;
mod configuration;
mod images;
mod registry;
mod secrets;
mod streams;
mod words;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::support::{Ran, plimsoll_command};

/// A project in a directory of its own, and a directory for temporary files that must be empty
/// after every run.
struct Project {
    folder: TempDir,
    temporary: TempDir,
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let this = Self {
            folder: tempfile::tempdir().unwrap(),
            temporary: tempfile::tempdir().unwrap(),
        };
        for (name, text) in files {
            this.write(name, text.as_bytes());
        }
        this
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = plimsoll_command(self.path(), args);
        command.env("TMPDIR", self.temporary.path());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[])
    }

    /// With variables of the environment on top.
    fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = self.command(args);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let ran = Ran::of(&output);
        self.assert_tidy(&ran);
        ran
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn end(&self, child: Child) -> Ran {
        let ran = Ran::of(&child.wait_with_output().unwrap());
        self.assert_tidy(&ran);
        ran
    }

    fn assert_tidy(&self, ran: &Ran) {
        let left: Vec<_> = fs::read_dir(self.temporary.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(left, Vec::<std::path::PathBuf>::new(), "{ran}");
    }

    /// Every file below the project and its content.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(self.path()).unwrap();
                    let name = name.to_string_lossy().into_owned();
                    files.insert(name, fs::read(&path).unwrap_or_default());
                }
            }
        }
        files
    }
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([name, &pid]).status().unwrap();
    assert!(sent.success());
}

/// The last thing said is an error in the shape `error:`, `caused by:`, `hint:`; its text.
fn error_of(ran: &Ran, code: i32) -> String {
    assert_eq!(ran.code, code, "{ran}");
    assert!(!ran.stderr.contains("panicked"), "{ran}");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("error: "));
    let error = &lines[at.unwrap_or_else(|| panic!("no error: {ran}"))..];
    for line in &error[1..] {
        let known = ["error: ", "caused by: ", "hint: "].iter();
        assert!(
            line.is_empty() || known.into_iter().any(|word| line.starts_with(word)),
            "`{line}` in {ran}"
        );
    }
    assert!(!error[0].ends_with('.'), "{ran}");
    error.join("\n")
}

/// [`error_of`], with these words in it.
fn assert_error(ran: &Ran, code: i32, words: &[&str]) {
    let error = error_of(ran, code);
    for word in words {
        assert!(error.contains(word), "no `{word}` in {ran}");
    }
}
