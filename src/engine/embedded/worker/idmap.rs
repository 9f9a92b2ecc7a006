//! Ids of the worker's user namespace: root is the user, and the user's subordinate ids are the rest.
//!
//! With `newuidmap` and `newgidmap` and ranges in `/etc/subuid` and `/etc/subgid`; without, root is all
//! there is, and a step that needs another owner fails. Root without the right to make namespaces keeps
//! its ids.

use std::{
    fs, io,
    process::{Command, Stdio},
};

use nix::unistd::{Gid, Uid, User};

/// Bytes of a file of subordinate ids that are read.
const LONGEST: u64 = 1 << 20;
/// Lines the kernel takes in a map.
const MOST: usize = 300;

/// Ids of one kind that belong to the user: first and count.
type Ranges = Vec<(u32, u32)>;

/// Writes the maps of the process; what there is to say about them.
pub(super) fn write(pid: u32) -> io::Result<Option<String>> {
    let (user, group) = (Uid::effective(), Gid::effective());
    if user.is_root() {
        return same(pid).map(|()| None);
    }
    let why = match subordinate(user) {
        Ok((users, groups)) => {
            let mapped = helper("newuidmap", pid, user.as_raw(), &users)
                .and_then(|()| helper("newgidmap", pid, group.as_raw(), &groups));
            match mapped {
                Ok(()) => return Ok(None),
                Err(error) => error.to_string(),
            }
        }
        Err(why) => why,
    };
    // A helper may have written the map of users already.
    put(pid, "uid_map", &format!("0 {user} 1\n")).or_else(|error| {
        let written = get(&format!("/proc/{pid}/uid_map")).is_ok_and(|map| !map.is_empty());
        if written { Ok(()) } else { Err(error) }
    })?;
    put(pid, "setgroups", "deny")?;
    put(pid, "gid_map", &format!("0 {group} 1\n"))?;
    Ok(Some(format!(
        "steps have one user id, because {why}: files can have no other owner than root, \
         and steps no other user"
    )))
}

/// The ids as they are.
fn same(pid: u32) -> io::Result<()> {
    for name in ["uid_map", "gid_map"] {
        let own = get(&format!("/proc/self/{name}"))?;
        let lines = own.lines().filter_map(|line| {
            let mut numbers = line.split_ascii_whitespace();
            let (first, _, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
            Some(format!("{first} {first} {count}\n"))
        });
        put(pid, name, &lines.collect::<String>())?;
    }
    Ok(())
}

fn subordinate(user: Uid) -> Result<(Ranges, Ranges), String> {
    let name = User::from_uid(user).ok().flatten().map(|user| user.name);
    let read = |path: &str| {
        let text = get(path).unwrap_or_default();
        let found = ranges(&text, name.as_deref(), user.as_raw());
        if found.is_empty() {
            return Err(format!("{path} has no ids for user {user}"));
        }
        Ok(found)
    };
    Ok((read("/etc/subuid")?, read("/etc/subgid")?))
}

fn ranges(text: &str, name: Option<&str>, id: u32) -> Ranges {
    let id = id.to_string();
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let who = fields.next()?;
        if Some(who) != name && who != id {
            return None;
        }
        let first = fields.next()?.parse().ok()?;
        let count = fields.next()?.parse().ok().filter(|&count| count > 0)?;
        Some((first, count))
    });
    lines.take(MOST).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "only set-user-ID helpers may map subordinate ids"
)]
fn helper(program: &str, pid: u32, own: u32, ranges: &Ranges) -> io::Result<()> {
    let mut command = Command::new(program);
    command.args([pid, 0, own, 1].map(|number| number.to_string()));
    let mut next = 1_u32;
    for (first, count) in ranges {
        command.args([next, *first, *count].map(|number| number.to_string()));
        next = next.saturating_add(*count);
    }
    command.stdin(Stdio::null());
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other(format!("{program} is not installed")),
        _ => io::Error::other(format!("{program}: {error}")),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().lines().last().unwrap_or("it failed");
    Err(io::Error::other(said.to_owned()))
}

fn put(pid: u32, name: &str, text: &str) -> io::Result<()> {
    use io::Write as _;
    let path = format!("/proc/{pid}/{name}");
    fs::OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(text.as_bytes())
}

fn get(path: &str) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    let file = fs::OpenOptions::new().read(true).open(path)?;
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn ranges_are_those_of_the_name_or_the_number() {
        let text = "alice:100000:65536\n1000:200000:10\nbob:1:2\nalice:x:1\nalice:5:0\n";
        let found = ranges(text, Some("alice"), 1000);
        assert_eq!(found, [(100_000, 65536), (200_000, 10)]);
        assert!(ranges(text, None, 7).is_empty());
    }
}
