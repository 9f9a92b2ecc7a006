//! `plimsoll advisories`: makes the advisory database and tells what is in it.

mod changed;
mod for_image;
mod intake;
mod list;
mod network;
mod show;
mod signed;
mod status;
mod store;
mod tar;
mod update;

pub(super) use for_image::{For, for_image};

use std::{
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::{
    advisory::database::Database,
    config::{Environment, Feeds, cli::AdvisoriesCommand},
    error::Error,
    gather::{PackageCache, read_database},
    progress::Console,
    registry::RegistryOptions,
};

/// Where the database lies unless the user says otherwise: `plimsoll/advisories.db` in the user's
/// data directory (XDG Base Directory Specification).
pub(super) fn database_path(environment: &Environment) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let data = environment.path("XDG_DATA_HOME").filter(absolute);
    let home = || {
        Some(
            environment
                .path("HOME")
                .filter(absolute)?
                .join(".local/share"),
        )
    };
    Some(data.or_else(home)?.join("plimsoll/advisories.db"))
}

/// Where package lists are kept: `plimsoll/packages` in the user's cache directory (XDG Base
/// Directory Specification).
pub(super) fn package_cache(environment: &Environment) -> PackageCache {
    let absolute = |path: &PathBuf| path.is_absolute();
    let cache = environment.path("XDG_CACHE_HOME").filter(absolute);
    let home = environment.path("HOME").filter(absolute);
    let cache = cache.or_else(|| home.map(|home| home.join(".cache")));
    PackageCache::new(cache.map(|cache| cache.join("plimsoll/packages")))
}

/// Does what was asked; the text is for standard output, the console for what happens meanwhile.
pub(super) fn run(
    command: &AdvisoriesCommand,
    feeds: &Feeds,
    environment: &Environment,
    directory: &Path,
    now: Timestamp,
    console: &Console,
) -> Result<String, Error> {
    let database = match command {
        AdvisoriesCommand::Update { database, .. }
        | AdvisoriesCommand::Status { database }
        | AdvisoriesCommand::Show { database, .. } => database,
        AdvisoriesCommand::For(args) => &args.database,
    };
    let path = database.file.as_ref().map(|path| directory.join(path));
    let path = path.or_else(|| database_path(environment)).ok_or_else(|| {
        usage(
            "neither `XDG_DATA_HOME` nor `HOME` says where the advisory database lies",
            "name it with `--database`",
        )
    })?;
    match command {
        AdvisoriesCommand::Update {
            from,
            vex,
            complete,
            key,
            require_signature,
            ..
        } => {
            let place = |from: &PathBuf| match from.to_str() {
                Some(address) if address.contains("://") => from.clone(),
                _ => directory.join(from),
            };
            let from = from.as_ref().map(place);
            if let (None, Some(source)) = (&from, &feeds.source) {
                console.note(&format!(
                    "from {}, as the configuration says",
                    source.display()
                ));
            }
            let from = from.or_else(|| feeds.source.clone());
            let from = from.unwrap_or_else(|| update::FEED.into());
            let vex = vex.as_ref().map(|vex| match vex.to_str() {
                Some("") => PathBuf::from(update::VEX_FEED),
                _ => place(vex),
            });
            let keys: Vec<PathBuf> = key.iter().map(|key| directory.join(key)).collect();
            let request = update::Request {
                from: &from,
                vex: vex.as_deref().or(feeds.vex.as_deref()),
                database: &path,
                complete: *complete,
                keys: if keys.is_empty() { &feeds.keys } else { &keys },
                require_signature: *require_signature || feeds.require_signature,
                now,
            };
            update::update(&request, &RegistryOptions::default(), console)
        }
        AdvisoriesCommand::Status { .. } => {
            with(&path, |database| Ok(status::status(&path, database, now)))
        }
        // It reaches for images and is dispatched before.
        AdvisoriesCommand::For(_) => Ok(String::new()),
        AdvisoriesCommand::Show { id, .. } => with(&path, |database| show::show(database, id)),
    }
}

fn usage(what: impl Into<String>, hint: &str) -> Error {
    let hint = (!hint.is_empty()).then(|| hint.to_owned());
    Error::Usage {
        what: what.into(),
        hint,
    }
}

fn io_error(path: &Path, error: &io::Error) -> Error {
    usage(format!("{}: {error}", path.display()), "")
}

fn with<T>(path: &Path, read: impl FnOnce(&Database<'_>) -> Result<T, Error>) -> Result<T, Error> {
    let file = read_database(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => usage(
            format!("there is no advisory database at {}", path.display()),
            "make one with `plimsoll advisories update`",
        ),
        _ => io_error(path, &error),
    })?;
    let database =
        Database::open(&file).map_err(|error| usage(format!("{}: {error}", path.display()), ""))?;
    read(&database)
}
