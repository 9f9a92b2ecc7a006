//! Who a step runs as: `USER` looked up in the tree, as `BuildKit` does it.
//!
//! `UID:GID` in numbers needs no files; all else is looked up in the tree's `/etc/passwd` and
//! `/etc/group`. An empty `USER` is user 0 and its groups, when there are such files.

use std::{
    io::{self, Read as _},
    path::Path,
};

use pathrs::{Root, flags::OpenFlags};

use crate::engine::embedded::step::RunError;

/// Larger than any such file that is meant seriously.
const LONGEST: u64 = 16 << 20;

/// Numbers and home directory of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// supplementary groups
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Looks `user` up in the tree at `root`.
pub(super) fn identity(root: &Path, user: &str) -> Result<Identity, RunError> {
    let passwd = read(root, "/etc/passwd")?;
    let home = |uid: u32| {
        let accounts = passwd.as_deref().unwrap_or_default();
        let found = accounts.lines().filter_map(account).find(|a| a.uid == uid);
        match found {
            Some(account) => account.home.to_owned(),
            None => "/".to_owned(),
        }
    };
    if let Some((uid, gid)) = numbers(user) {
        return Ok(Identity {
            uid,
            gid,
            groups: Vec::new(),
            home: home(uid),
        });
    }
    let group = read(root, "/etc/group")?;
    let found = if user.is_empty() {
        look_up("0", passwd.as_deref(), group.as_deref()).unwrap_or_default()
    } else {
        look_up(user, passwd.as_deref(), group.as_deref())?
    };
    let mut identity = found;
    identity.home = home(identity.uid);
    Ok(identity)
}

/// Both numbers, when `USER` gives both.
fn numbers(user: &str) -> Option<(u32, u32)> {
    let (uid, gid) = user.split_once(':')?;
    let id = |text: &str| match text {
        "root" => Some(0),
        _ => text.parse().ok(),
    };
    Some((id(uid)?, id(gid)?))
}

fn look_up(user: &str, passwd: Option<&str>, group: Option<&str>) -> Result<Identity, RunError> {
    let (name, group_name) = user.split_once(':').unwrap_or((user, ""));
    let number = |text: &str| text.parse::<u32>().ok();
    let Some(passwd) = passwd else {
        return Err(RunError::Step(format!(
            "unable to find user {name}: no /etc/passwd in the image"
        )));
    };
    let account = passwd
        .lines()
        .filter_map(account)
        .find(|account| match number(name) {
            _ if name.is_empty() => account.uid == 0,
            Some(uid) => account.uid == uid,
            None => account.name == name,
        });
    let mut identity = match (&account, number(name)) {
        (Some(account), _) => Identity {
            uid: account.uid,
            gid: account.gid,
            ..Identity::default()
        },
        (None, Some(uid)) => Identity {
            uid,
            ..Identity::default()
        },
        (None, None) if name.is_empty() => Identity::default(),
        (None, None) => {
            return Err(RunError::Step(format!(
                "unable to find user {name}: no matching entries in passwd file"
            )));
        }
    };
    if group.is_none() && (account.is_some() || !group_name.is_empty()) {
        return Err(RunError::Step(format!(
            "unable to find groups for spec {user}: no /etc/group in the image"
        )));
    }
    let groups = group.unwrap_or_default().lines().filter_map(self::group);
    if group_name.is_empty() {
        let name = account.map(|account| account.name);
        identity.groups = groups
            .filter(|group| name.is_some_and(|name| group.members.split(',').any(|m| m == name)))
            .map(|group| group.gid)
            .collect();
        return Ok(identity);
    }
    let wanted = number(group_name);
    let mut groups = groups;
    let found =
        groups.find(|group| wanted.map_or(group.name == group_name, |gid| group.gid == gid));
    identity.gid = match (found, wanted) {
        (Some(group), _) => group.gid,
        (None, Some(gid)) => gid,
        (None, None) => {
            return Err(RunError::Step(format!(
                "unable to find group {group_name}: no matching entries in group file"
            )));
        }
    };
    Ok(identity)
}

fn account(line: &str) -> Option<Account<'_>> {
    let line = Some(line.trim()).filter(|line| !line.is_empty())?;
    let mut fields = line.split(':');
    let mut field = || fields.next().unwrap_or_default();
    let (name, _password) = (field(), field());
    // What is no number is 0, also when it is missing.
    let (uid, gid) = (field().parse().unwrap_or(0), field().parse().unwrap_or(0));
    let (_comment, home) = (field(), field());
    Some(Account {
        name,
        uid,
        gid,
        home,
    })
}

fn group(line: &str) -> Option<Group<'_>> {
    let line = Some(line.trim()).filter(|line| !line.is_empty())?;
    let mut fields = line.split(':');
    let mut field = || fields.next().unwrap_or_default();
    let (name, _password) = (field(), field());
    let gid = field().parse().unwrap_or(0);
    let members = field();
    Some(Group { name, gid, members })
}

/// A file of the tree; links lead nowhere but into the tree. `None` when it is not there.
fn read(root: &Path, path: &str) -> Result<Option<String>, RunError> {
    let host = |what: String, source: io::Error| RunError::Host {
        what,
        hint: None,
        source: Some(source),
    };
    let tree = Root::open(root).map_err(|error| host(root.display().to_string(), io(&error)))?;
    // A pipe or a device in the place of the file must not hold the build.
    let flags = OpenFlags::O_RDONLY | OpenFlags::O_NONBLOCK | OpenFlags::O_CLOEXEC;
    let Ok(file) = tree.open_subpath(path, flags) else {
        return Ok(None);
    };
    if !file.metadata().is_ok_and(|data| data.is_file()) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(LONGEST)
        .read_to_end(&mut bytes)
        .map_err(|error| host(format!("{path} of the image"), error))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn io(error: &pathrs::error::Error) -> io::Error {
    io::Error::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nbroken\nbob:x:1000:1001::/home/bob:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,bob\nbob:x:1001:\nextra:x:2000:bob\n";

    fn of(user: &str) -> Result<Identity, RunError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        for (name, text) in [("passwd", PASSWD), ("group", GROUP)] {
            let path = dir.path().join("etc").join(name);
            std::io::Write::write_all(
                &mut std::fs::OpenOptions::new()
                    .create_new(true)
                    .write(true)
                    .open(path)
                    .unwrap(),
                text.as_bytes(),
            )
            .unwrap();
        }
        identity(dir.path(), user)
    }

    #[test]
    fn users_are_those_that_buildkit_finds() {
        for (user, uid, gid, groups, home) in [
            ("", 0, 0, &[10][..], "/root"),
            ("root", 0, 0, &[10], "/root"),
            (":", 0, 0, &[10], "/root"),
            (":wheel", 0, 10, &[], "/root"),
            ("bob", 1000, 1001, &[10, 2000], "/home/bob"),
            ("1000", 1000, 1001, &[10, 2000], "/home/bob"),
            ("1234", 1234, 0, &[], "/"),
            ("1234:bob", 1234, 1001, &[], "/"),
            ("bob:wheel", 1000, 10, &[], "/home/bob"),
            ("1000:1000", 1000, 1000, &[], "/home/bob"),
            ("bob:7", 1000, 7, &[], "/home/bob"),
        ] {
            let wanted = Identity {
                uid,
                gid,
                groups: groups.to_vec(),
                home: home.to_owned(),
            };
            assert_eq!(of(user).unwrap(), wanted, "{user}");
        }
        for user in ["alice", "bob:nobody", "1000:nobody"] {
            let error = of(user).unwrap_err().to_string();
            assert!(error.starts_with("unable to find"), "{error}");
        }
    }

    #[test]
    fn a_user_cannot_be_read_from_outside_of_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("etc/passwd")).unwrap();
        assert!(identity(&root, "root").is_err());
    }
}
