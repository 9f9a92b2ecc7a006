//! `plimsoll init`: writes the configuration and the CI job for a repository.
//!
//! Asks on a terminal, takes flags otherwise; a file that exists is never touched. The Dockerfile is
//! not changed: what it lacks is said, with the lines to add.

mod detect;
mod files;

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use dialoguer::{Confirm, Input};

use super::signals::Signals;
use crate::{
    config::cli::{CiKind, InitArgs},
    error::{Error, ExitCode},
    oci::{Reference, Tag},
};
use detect::{Found, Image};
use files::{Answers, Named, NewFile};

/// Labels that every assessment asks for.
const LABELS: [&str; 7] = [
    "name",
    "vendor",
    "version",
    "release",
    "summary",
    "description",
    "maintainer",
];

fn usage(what: impl Into<String>, hint: &str) -> Error {
    Error::Usage {
        what: what.into(),
        hint: Some(hint.to_owned()),
    }
}

/// Does it; the text is for standard output. `interactive` says that somebody can answer.
pub(super) fn run(args: &InitArgs, directory: &Path, interactive: bool) -> Result<String, Error> {
    let root = match &args.directory {
        Some(given) => directory.join(given),
        None => detect::root(directory),
    };
    if !root.is_dir() {
        let what = format!("{}: no such directory", root.display());
        return Err(usage(what, "name the directory of a repository"));
    }
    let found = detect::look(&root, &args.file);
    for image in &found.images {
        if !root.join(&image.dockerfile).is_file() {
            let what = format!("{}: no such Dockerfile", image.dockerfile.display());
            return Err(usage(what, "name it relative to the repository"));
        }
    }
    if found.images.is_empty() {
        let what = format!("no Dockerfile in {}", root.display());
        return Err(usage(what, "name it with `--file`"));
    }
    let asks = interactive && !args.yes;
    // Ctrl-C is an answer that ends the questions, not the process on the spot.
    let signals = asks.then(Signals::watch_questions).transpose()?;
    let answers = answers(args, &found, asks).map_err(|error| match (error, &signals) {
        (Error::Interrupted { .. }, Some(signals)) => Error::Interrupted {
            terminated: signals.await_one() == Some(ExitCode::Terminated),
        },
        (error, _) => error,
    })?;
    drop(signals);
    let mut files = files::files(&answers).map_err(|error| Error::Bug(error.to_string()))?;
    files.extend(licence(&root, &found));
    write_all(&root, &files, &found, args.dry_run)
}

/// Flags come first, then answers, then what was found.
fn answers(args: &InitArgs, found: &Found, asks: bool) -> Result<Answers, Error> {
    let several = found.images.len() > 1;
    let mut images = Vec::new();
    for image in &found.images {
        if several && asks && !confirm(&format!("take {}?", image.dockerfile.display()))? {
            continue;
        }
        images.push(named(args, found, image, several, asks)?);
    }
    let mut ci = args.ci.clone();
    if ci.is_empty() {
        ci.clone_from(&found.ci);
        let names: Vec<String> = ci
            .iter()
            .map(|ci| format!("{ci:?}").to_lowercase())
            .collect();
        if asks && !confirm(&format!("write a job for {}?", names.join(", ")))? {
            ci.clear();
        }
    }
    ci.retain(|ci| *ci != CiKind::None);
    Ok(Answers { images, ci })
}

fn named(
    args: &InitArgs,
    found: &Found,
    image: &Image,
    several: bool,
    asks: bool,
) -> Result<Named, Error> {
    let suggested = match &args.image {
        // One name for several images would make them overwrite each other.
        Some(name) if several => {
            let own = found.image_name(image);
            format!("{name}/{}", own.rsplit('/').next().unwrap_or("app"))
        }
        Some(name) => name.clone(),
        None => found.image_name(image),
    };
    let what = format!("image of {}", image.dockerfile.display());
    let name = if asks && args.image.is_none() {
        input(&what, suggested, bad_name)?
    } else {
        suggested
    };
    let tag = match &args.tag {
        Some(tag) => tag.clone(),
        None if asks => input("tag", detect::tag(image), bad_tag)?,
        None => detect::tag(image),
    };
    if let Some(error) = bad_tag(&tag) {
        return Err(usage(error, "choose a tag such as 1.0-1"));
    }
    if let Some(error) = bad_name(&name) {
        return Err(usage(error, "write it as quay.io/org/app"));
    }
    Ok(Named {
        dockerfile: image.dockerfile.clone(),
        context: image.context.clone(),
        image: name,
        tag,
    })
}

fn asked(error: &dialoguer::Error) -> Error {
    let dialoguer::Error::IO(cause) = error;
    // A question hides the cursor, and shows it again once it is answered.
    let _ = dialoguer::console::Term::stderr().show_cursor();
    if cause.kind() == io::ErrorKind::Interrupted {
        return Error::Interrupted { terminated: false };
    }
    usage(
        format!("no answer: {error}"),
        "run it on a terminal, or give the answers by options and `--yes`",
    )
}

fn confirm(question: &str) -> Result<bool, Error> {
    let confirm = Confirm::new().with_prompt(question).default(true);
    confirm.interact().map_err(|error| asked(&error))
}

/// Asks until `wrong` has nothing to say of the answer.
fn input(
    question: &str,
    default: String,
    wrong: fn(&str) -> Option<String>,
) -> Result<String, Error> {
    let input = Input::new().with_prompt(question).default(default);
    let input = input.validate_with(|text: &String| wrong(text).map_or(Ok(()), Err));
    input.interact_text().map_err(|error| asked(&error))
}

/// Why it is no tag.
fn bad_tag(text: &str) -> Option<String> {
    Some(Tag::violations(text).first()?.to_string())
}

/// Why it is no name of an image.
fn bad_name(text: &str) -> Option<String> {
    Some(Reference::parse_familiar(text).err()?.to_string())
}

/// The licence of the repository goes where images need it, unless something is there.
#[expect(
    clippy::disallowed_methods,
    reason = "`init` reads the repository it writes for"
)]
fn licence(root: &Path, found: &Found) -> Option<NewFile> {
    if root.join("licenses").exists() || found.images.iter().all(|image| image.has_licences) {
        return None;
    }
    let own = found.licences.first()?;
    let text = fs::read_to_string(root.join(own)).ok()?;
    Some(NewFile {
        path: Path::new("licenses").join(own),
        text,
    })
}

fn write_all(
    root: &Path,
    files: &[NewFile],
    found: &Found,
    dry_run: bool,
) -> Result<String, Error> {
    let mut said = String::new();
    for file in files {
        let state = match (dry_run, root.join(&file.path).exists()) {
            (_, true) => "kept, it exists",
            (true, false) => "would be written",
            (false, false) => match write_new(&root.join(&file.path), &file.text) {
                Ok(()) => "written",
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => "kept, it exists",
                Err(source) => {
                    return Err(Error::Report {
                        what: root.join(&file.path).display().to_string(),
                        source,
                    });
                }
            },
        };
        let _ = writeln!(said, "{}: {state}", file.path.display());
    }
    let gitlab = Path::new(".gitlab-ci.yml");
    if let Some(job) = files.iter().find(|file| file.path == gitlab)
        && root.join(gitlab).exists()
        && said.contains(".gitlab-ci.yml: kept")
    {
        let _ = write!(said, "\nadd this to .gitlab-ci.yml:\n\n{}", job.text);
    }
    for image in &found.images {
        advise(image, &mut said);
    }
    said.push_str("\nnext: plimsoll check\n");
    Ok(said)
}

/// What the Dockerfile lacks, as lines to add.
fn advise(image: &Image, said: &mut String) {
    let lacking = |name: &&str| {
        let value = image.labels.get(*name).map(|value| value.trim());
        value.is_none_or(str::is_empty)
    };
    let missing: Vec<&str> = LABELS
        .iter()
        .copied()
        .filter(|name| lacking(name))
        .collect();
    if missing.is_empty() && image.has_licences {
        return;
    }
    let _ = writeln!(said, "\n{} lacks:", image.dockerfile.display());
    if !missing.is_empty() {
        let pairs: Vec<String> = missing.iter().map(|name| format!("{name}=\"\"")).collect();
        let _ = writeln!(said, "  LABEL {}", pairs.join(" \\\n        "));
    }
    if !image.has_licences {
        said.push_str("  COPY licenses /licenses\n");
    }
}

/// Writes a file that must not exist, directories included.
fn write_new(path: &PathBuf, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?;
    file.write_all(text.as_bytes())
}
