//! The processes below another one, from `/proc`.

use std::collections::HashMap;

/// All that descend from `ancestor`, itself not included; nobody when `/proc` cannot be read.
#[expect(clippy::disallowed_methods, reason = "the kernel says so in files")]
pub(super) fn descendants(ancestor: u32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = std::fs::read(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = parent(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut waiting = vec![i32::try_from(ancestor).unwrap_or(i32::MAX)];
    while let Some(pid) = waiting.pop() {
        let below = children.remove(&pid).unwrap_or_default();
        found.extend_from_slice(&below);
        waiting.extend(below);
    }
    found
}

/// The parent in a line of `/proc/PID/stat`; the name before it may hold anything, `)` too.
fn parent(stat: &[u8]) -> Option<i32> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{descendants, parent};

    #[test]
    fn a_name_cannot_forge_a_parent() {
        assert_eq!(parent(b"7 (a) S 1 (b) S 42 7 7 0"), Some(42));
        assert_eq!(parent(b"7 (a"), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a child to be found")]
    fn children_are_found() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let found = descendants(std::process::id());
        assert!(
            found.contains(&i32::try_from(child.id()).unwrap()),
            "{found:?}"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
