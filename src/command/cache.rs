//! `cache prune`: room on the disk from what the embedded engine keeps.

use std::{path::Path, time::Duration};

use crate::{
    config::{
        Environment, amount_of_bytes,
        cli::{CacheCommand, PruneArgs},
    },
    engine::{
        BuildError,
        embedded::{
            store::{PruneOptions, StoreError},
            worker::prune,
        },
    },
    error::Error,
};

const DAY: u64 = 86_400;

/// What to say of what was done.
pub(super) fn run(
    command: &CacheCommand,
    environment: &Environment,
    directory: &Path,
    now: jiff::Timestamp,
) -> Result<Vec<String>, Error> {
    let CacheCommand::Prune(args) = command;
    let chosen = args.cache_dir.as_ref().map(|path| directory.join(path));
    let Some(root) = chosen.or_else(|| environment.cache_dir()) else {
        return Err(Error::Usage {
            what: "no cache directory: neither HOME nor XDG_CACHE_HOME is set".to_owned(),
            hint: Some("name one with --cache-dir".to_owned()),
        });
    };
    if !root.exists() {
        return Ok(vec![format!("there is no cache at {}", root.display())]);
    }
    let pruned = prune(&root, options(args), now.as_second()).map_err(|error| match error {
        StoreError::Io { what, source } => Error::Build(BuildError::Io { what, source }),
        StoreError::Host { what, reason } => Error::Usage {
            what: format!("{what}: {reason}"),
            hint: None,
        },
        other => Error::Bug(other.to_string()),
    })?;
    let mut lines = vec![format!(
        "removed {} entries, {} on disk, from {}",
        pruned.entries,
        amount_of_bytes(pruned.bytes),
        root.display()
    )];
    if pruned.kept > 0 {
        lines.push(format!(
            "warning: {} entries could not be removed: files in them belong to subordinate ids; \
             prune as root, or with `unshare --map-auto --map-root-user plimsoll cache prune`",
            pruned.kept
        ));
    }
    Ok(lines)
}

fn options(args: &PruneArgs) -> PruneOptions {
    let all = args.older_than.is_none() && args.max_size.is_none();
    PruneOptions {
        keep_for: args
            .older_than
            .map(|days| Duration::from_secs(u64::from(days) * DAY)),
        keep_bytes: args.max_size.or(all.then_some(0)),
    }
}
