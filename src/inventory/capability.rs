//! File capabilities: the text in an rpm header and the bytes in an image, made comparable.
//!
//! The text is libcap's (`cap_from_text(3)`), the bytes are the kernel's `vfs_cap_data`
//! (`linux/capability.h`). The root id of version 3 is not looked at: rpm cannot set one.

/// Effective, inheritable, permitted: bit n is capability n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Capabilities {
    effective: u64,
    inheritable: u64,
    permitted: u64,
}

/// All capabilities the kernel knows (0 to 40).
const ALL: u64 = (1 << 41) - 1;

const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

impl Capabilities {
    /// As `cap_from_text` reads it; `None` when it would not.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let mut sets = Self::default();
        for clause in text.split_whitespace() {
            let at = clause.find(['=', '+', '-'])?;
            let (names, mut actions) = clause.split_at(at);
            let mask = match names {
                "" if actions.starts_with('=') => ALL,
                "all" => ALL,
                names => (names.split(',').map(bit)).try_fold(0, |mask, bit| Some(mask | bit?))?,
            };
            while let Some(action) = actions.chars().next() {
                let rest = actions.get(1..)?;
                let end = rest.find(['=', '+', '-']).unwrap_or(rest.len());
                let (flags, next) = rest.split_at(end);
                sets.apply(action, flags, mask)?;
                actions = next;
            }
        }
        Some(sets)
    }

    fn apply(&mut self, action: char, flags: &str, mask: u64) -> Option<()> {
        if action == '=' {
            for set in [
                &mut self.effective,
                &mut self.inheritable,
                &mut self.permitted,
            ] {
                *set &= !mask;
            }
        }
        for flag in flags.chars() {
            let set = match flag {
                'e' => &mut self.effective,
                'i' => &mut self.inheritable,
                'p' => &mut self.permitted,
                _ => return None,
            };
            match action {
                '-' => *set &= !mask,
                _ => *set |= mask,
            }
        }
        Some(())
    }

    /// The value of `security.capability`; `None` when it is not one. Empty means no capabilities.
    pub(super) fn from_xattr(raw: &[u8]) -> Option<Self> {
        if raw.is_empty() {
            return Some(Self::default());
        }
        let (words, rest) = raw.as_chunks::<4>();
        let words: Vec<u64> = words
            .iter()
            .map(|&word| u32::from_le_bytes(word).into())
            .collect();
        let (magic, sets) = words.split_first()?;
        let (permitted, inheritable) = match (magic >> 24, sets) {
            (1, [permitted, inheritable]) => (*permitted, *inheritable),
            (2, [permitted, inheritable, permitted_high, inheritable_high])
            | (3, [permitted, inheritable, permitted_high, inheritable_high, _]) => (
                permitted_high << 32 | permitted,
                inheritable_high << 32 | inheritable,
            ),
            _ => return None,
        };
        let effective = if magic & 1 == 1 {
            permitted | inheritable
        } else {
            0
        };
        rest.is_empty().then_some(Self {
            effective,
            inheritable,
            permitted,
        })
    }
}

fn bit(name: &str) -> Option<u64> {
    let name = name.to_ascii_lowercase();
    let short = name.strip_prefix("cap_").unwrap_or(&name);
    let number = short.parse().ok();
    let number = number.or_else(|| NAMES.iter().position(|known| *known == short))?;
    (number < 64).then(|| 1 << number)
}

#[cfg(test)]
mod tests {
    use super::Capabilities;

    /// From `setcap TEXT FILE; getfattr -e hex -n security.capability FILE`.
    #[test]
    fn text_and_xattr_of_the_same_capabilities_are_equal() {
        let v2 = |magic: u32, permitted: u32, inheritable: u32| -> Vec<u8> {
            [0x0200_0000 | magic, permitted, inheritable, 0, 0]
                .into_iter()
                .flat_map(u32::to_le_bytes)
                .collect()
        };
        for (text, raw) in [
            ("cap_net_raw=ep", v2(1, 1 << 13, 0)),
            ("cap_net_raw+ep", v2(1, 1 << 13, 0)),
            ("cap_net_admin,cap_net_raw+p", v2(0, 3 << 12, 0)),
            ("= cap_setuid=ep cap_setuid-e", v2(0, 1 << 7, 0)),
            ("cap_chown=eip", v2(1, 1, 1)),
            ("=", Vec::new()),
            ("", Vec::new()),
        ] {
            let text_sets = Capabilities::from_text(text);
            assert!(text_sets.is_some(), "{text}");
            assert_eq!(text_sets, Capabilities::from_xattr(&raw), "{text}");
        }
        let high = [0x0300_0001_u32, 0, 0, 1 << 7, 0, 1000]
            .map(u32::to_le_bytes)
            .concat();
        assert_eq!(
            Capabilities::from_text("cap_bpf=ep"),
            Capabilities::from_xattr(&high)
        );
    }

    #[test]
    fn what_is_not_a_capability_is_refused() {
        for text in ["cap_net_raw", "cap_fly=ep", "cap_chown=x", "cap_99=p"] {
            assert_eq!(Capabilities::from_text(text), None, "{text}");
        }
        for raw in [
            &[1, 2, 3][..],
            &[0, 0, 0, 9, 0, 0, 0, 0],
            &[0, 0, 0, 2, 1, 1, 1, 1],
        ] {
            assert_eq!(Capabilities::from_xattr(raw), None, "{raw:?}");
        }
    }
}
