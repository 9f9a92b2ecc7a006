//! The files that a CI reads after a step: outputs and summary of GitHub, dotenv of GitLab, results of
//! Tekton.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use super::{CiError, text::fit_markdown};

/// A step summary over 1,024 KiB is thrown away whole.
const MAX_SUMMARY: u64 = 1024 * 1024;
/// Room that is left for what other programs of the step add.
const SPARE: u64 = 16 * 1024;

/// Adds to a file that the runner made.
pub fn append(path: &Path, text: &str) -> Result<(), CiError> {
    let add = || {
        let mut file = fs::File::options().append(true).create(true).open(path)?;
        file.write_all(text.as_bytes())
    };
    add().map_err(|source| at(path, source))
}

/// Adds Markdown to the step summary, as much as the runner will take.
pub fn append_summary(path: &Path, markdown: &str, closing: &str) -> Result<(), CiError> {
    let there = fs::metadata(path).map_or(0, |metadata| metadata.len());
    let room = MAX_SUMMARY.saturating_sub(there).saturating_sub(SPARE);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if room < closing.len() + 64 {
        return Err(at(path, io::Error::other("the step's summary is full")));
    }
    append(path, &fit_markdown(markdown, room, closing, str::len))
}

/// Writes a file anew; folders are made.
pub fn write(path: &Path, text: &str) -> Result<(), CiError> {
    let put = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = fs::File::options()
            .write(true)
            .truncate(true)
            .create(true)
            .open(path)?;
        file.write_all(text.as_bytes())
    };
    put().map_err(|source| at(path, source))
}

fn at(path: &Path, source: io::Error) -> CiError {
    CiError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests write files")]
    use std::fs;

    use super::append_summary;

    #[test]
    fn a_summary_stays_under_a_mebibyte_with_what_is_there_already() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.md");
        fs::write(&path, "x".repeat(500_000)).unwrap();
        let long = "| a | row |\n".repeat(100_000);
        append_summary(&path, &long, "the rest is in the report").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.len() < 1024 * 1024 && text.len() > 1_000_000,
            "{}",
            text.len()
        );
        assert!(text.ends_with("the rest is in the report\n"));
        fs::write(&path, "x".repeat(1024 * 1024 - 10)).unwrap();
        assert!(append_summary(&path, &long, "rest").is_err());
    }
}
