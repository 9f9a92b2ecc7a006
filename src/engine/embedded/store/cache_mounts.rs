//! `RUN --mount=type=cache`: directories that outlive builds.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Store, error::StoreError, lock::Lock, records};
use crate::{engine::embedded::graph::Sharing, oci::sha256};

/// Most directories of one private cache that are in use at once.
const MOST_PRIVATE: usize = 1024;
/// Between two looks at a lock that somebody else has.
const WAIT: Duration = Duration::from_millis(50);

/// A cache directory while a step uses it.
#[derive(Debug)]
pub struct CacheMount {
    path: PathBuf,
    _lock: Lock,
}

impl CacheMount {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// The cache directory `id`, made by `fill` when there is none. `key` tells apart those that
    /// start with other files. Gives `None` when `stop` says so while it waits for its turn.
    ///
    /// # Errors
    /// When it cannot be made or locked.
    pub fn cache_mount(
        &self,
        id: &str,
        key: &str,
        sharing: Sharing,
        fill: &dyn Fn(&Path) -> Result<(), StoreError>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<CacheMount>, StoreError> {
        let named = sha256(format!("{}\0{id}\0{key}", self.tree_kind).as_bytes());
        let home = self.root.join("mounts").join(named.digest());
        std::fs::create_dir_all(&home).map_err(StoreError::io(&home))?;
        // Of use now, for `prune`: steps may change what lies deep in it alone.
        records::touched(&home);
        let lock_path = |number: usize| {
            let name = format!("locks/mount-{}-{number}", named.digest());
            self.root.join(name)
        };
        let (number, lock) = match sharing {
            Sharing::Shared => (0, Lock::shared(&lock_path(0))?),
            Sharing::Locked => loop {
                if let Some(lock) = Lock::free(&lock_path(0))? {
                    break (0, lock);
                }
                if stop() {
                    return Ok(None);
                }
                std::thread::sleep(WAIT);
            },
            Sharing::Private => {
                let mut found = None;
                for number in 0..MOST_PRIVATE {
                    if let Some(lock) = Lock::free(&lock_path(number))? {
                        found = Some((number, lock));
                        break;
                    }
                }
                found.ok_or_else(|| StoreError::Host {
                    what: format!("cache mount `{id}`"),
                    reason: format!("{MOST_PRIVATE} steps use it at once"),
                })?
            }
        };
        let path = home.join(number.to_string());
        if !path.is_dir() {
            let made = self.temporary_dir()?;
            fill(&made)?;
            // Another step that shares it may have been faster.
            if let Err(error) = std::fs::rename(&made, &path)
                && !path.is_dir()
            {
                return Err(StoreError::io(&path)(error));
            }
        }
        Ok(Some(CacheMount { path, _lock: lock }))
    }
}
