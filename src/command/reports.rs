//! Writes the reports that were asked for. Always before an exit code is decided, and whatever the
//! verdict.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::{
    advisory::matching::Detail,
    config::{Config, ReportTo, Sourced},
    error::Error,
    pipeline::Done,
    progress::Console,
    report::{OpenVex, REPORTERS, Report, Reporter, Table},
};

/// How reports on standard output look.
pub(super) struct Shown<'a> {
    /// knows the CI that reads along
    pub(super) console: &'a Console,
    /// with colours
    pub(super) color: bool,
}

/// What the reports want to know of advisories: `OpenVEX` says what is fixed, too.
pub(super) fn detail(reports: &[Sourced<ReportTo>]) -> Detail {
    let is_vex = |to: &Sourced<ReportTo>| to.value.format == OpenVex.name();
    if reports.iter().any(is_vex) {
        Detail::Applied
    } else {
        Detail::Missing
    }
}

/// Writes each report to its place; one that cannot be written keeps no other from being so. With
/// several images, each gets a file of its own: `{name}` in the path stands for the image, else its
/// name is put before the extension.
pub(super) fn write(
    done: &Done,
    config: &Config,
    several: bool,
    shown: &Shown<'_>,
    stdout: &mut dyn Write,
) -> Vec<Error> {
    let Some(report) = &done.report else {
        return Vec::new();
    };
    let mut errors = Vec::new();
    for to in &config.reports {
        let to = &to.value;
        if let Some(why) = reporter(&to.format).ok().and_then(|of| of.unfit(report)) {
            shown
                .console
                .warn(&format!("{} is not written: {why}", describe(to)));
            errors.extend(remove(to, done, several).err());
            continue;
        }
        if let Some(why) = reporter(&to.format).ok().and_then(|of| of.caveat(report)) {
            shown.console.warn(&format!("{}: {why}", describe(to)));
        }
        let result = match &to.path {
            None => to_stdout(to, report, shown, stdout),
            Some(path) => {
                let name = done.name.as_deref().filter(|_| several);
                to_file(to, report, &path_for(path, name))
            }
        };
        errors.extend(result.err().map(|source| Error::Report {
            what: describe(to),
            source,
        }));
    }
    errors
}

/// A report of an earlier run would be taken for this one's.
fn remove(to: &ReportTo, done: &Done, several: bool) -> Result<(), Error> {
    let Some(path) = &to.path else { return Ok(()) };
    let path = path_for(path, done.name.as_deref().filter(|_| several));
    if !fs::symlink_metadata(&path).is_ok_and(|there| there.is_file()) {
        return Ok(());
    }
    fs::remove_file(&path).map_err(|source| Error::Report {
        what: describe(to),
        source,
    })
}

fn describe(to: &ReportTo) -> String {
    match &to.path {
        Some(path) => format!("the report {} to {}", to.format, path.display()),
        None => format!("the report {} to standard output", to.format),
    }
}

fn reporter(name: &str) -> io::Result<&'static dyn Reporter> {
    let found = REPORTERS.iter().find(|reporter| reporter.name() == name);
    found
        .copied()
        .ok_or_else(|| io::Error::other(format!("there is no format `{name}`")))
}

fn to_stdout(
    to: &ReportTo,
    report: &Report,
    shown: &Shown<'_>,
    stdout: &mut dyn Write,
) -> io::Result<()> {
    let written = if to.format == "table" {
        let mut table = Vec::new();
        let color = shown.color;
        Table { color }.write(report, &mut table)?;
        let table = shown.console.redact(&String::from_utf8_lossy(&table));
        stdout.write_all(table.as_bytes())
    } else {
        reporter(&to.format)?.write(report, stdout)
    };
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Written beside its place and renamed, so that nobody reads half a report. What is there and no
/// plain file (`/dev/stdout`, a pipe, a link) is written to, never replaced.
fn to_file(to: &ReportTo, report: &Report, path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        let open = fs::File::options()
            .write(true)
            .truncate(true)
            .create(true)
            .open(path)?;
        let mut file = io::BufWriter::new(open);
        reporter(&to.format)?.write(report, &mut file)?;
        return file.flush();
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = io::BufWriter::new(NamedTempFile::new_in(folder)?);
    reporter(&to.format)?.write(report, &mut file)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    readable(file.as_file())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Temporary files are private; a report is read by later steps, often of another user.
fn readable(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

pub(super) fn path_for(path: &Path, name: Option<&str>) -> PathBuf {
    let Some(name) = name else {
        return path.to_owned();
    };
    let safe: String = name
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let text = path.to_string_lossy();
    if text.contains("{name}") {
        return PathBuf::from(text.replace("{name}", &safe));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path
        .extension()
        .map(|e| format!(".{}", e.to_string_lossy()));
    path.with_file_name(format!("{stem}-{safe}{}", extension.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::path_for;

    #[test]
    fn each_of_several_images_has_a_file_of_its_own() {
        for (path, name, want) in [
            ("r/plimsoll.sarif", None, "r/plimsoll.sarif"),
            ("r/plimsoll.sarif", Some("a"), "r/plimsoll-a.sarif"),
            ("r/{name}/x.json", Some("a/../b"), "r/a-..-b/x.json"),
            ("report", Some("a"), "report-a"),
        ] {
            assert_eq!(
                path_for(Path::new(path), name),
                Path::new(want),
                "{path} {name:?}"
            );
        }
    }
}
