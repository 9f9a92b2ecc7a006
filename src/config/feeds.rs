//! What `plimsoll.yaml` says of the advisory database, for the command that makes it.

use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::{
    ConfigError, Setting, Words,
    cli::Cli,
    environment::Environment,
    load::{decode, find, read},
    resolve::named,
};

/// Where advisories come from, as the configuration says. Paths are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feeds {
    /// feed of advisories: an address or a path
    pub source: Option<PathBuf>,
    /// the same of documents of vulnerabilities
    pub vex: Option<PathBuf>,
    /// files with keys
    pub keys: Vec<PathBuf>,
    /// nothing without a signature
    pub require_signature: bool,
}

/// Reads `scan.advisories` of the configuration file, if there is one: its top level alone, because
/// there is one database for all images.
///
/// # Errors
/// When there is a file and it is at fault.
pub fn feeds(
    cli: &Cli,
    environment: &Environment,
    cwd: &Path,
    today: Date,
    words: &Words,
) -> Result<Feeds, ConfigError> {
    let place = find(named(cli, environment).as_deref(), cwd)?;
    let Some(path) = &place.file else {
        return Ok(Feeds::default());
    };
    let file = read(path, cwd)?;
    let (settings, faults) = decode(&path.display().to_string(), &file, words, today);
    if !faults.list.is_empty() {
        return Err(ConfigError::Faults(Box::new(faults)));
    }
    let scan = settings.scan.map(|scan| scan.value);
    let Some(own) = scan.and_then(|scan| scan.advisories) else {
        return Ok(Feeds::default());
    };
    let own = own.value;
    let one = |text: &String| {
        if text.contains("://") {
            PathBuf::from(text)
        } else {
            place.root.join(text)
        }
    };
    let place = |text: &Setting<String>| text.as_ref().map(|text| one(&text.value));
    let keys = own.keys.as_ref();
    Ok(Feeds {
        source: place(&own.source),
        vex: place(&own.vex),
        keys: keys.map_or_else(Vec::new, |keys| keys.value.iter().map(one).collect()),
        require_signature: own.require_signature.is_some_and(|on| on.value),
    })
}
