use std::{
    collections::HashMap,
    io::Write as _,
    sync::{Mutex, PoisonError},
};

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use tar_core::{EntryType, builder::EntryBuilder};

use super::*;
use crate::{
    inventory::Limits,
    oci::MediaType,
    subject::{ChangeKind, EntryKind},
};

fn entry(tar: &mut Vec<u8>, kind: EntryType, path: &str, content: &[u8], link: &str) {
    let mut entry = EntryBuilder::new_ustar();
    entry.path(path).entry_type(kind);
    if !link.is_empty() {
        entry.link_name(link);
    }
    if path.ends_with("ping") {
        entry.add_pax("SCHILY.xattr.security.capability", [1, 0, 0, 2]);
    }
    entry.mode(0o4755).unwrap().uid(7).unwrap().gid(8).unwrap();
    entry.size(content.len() as u64).unwrap().mtime(0).unwrap();
    tar.extend(entry.finish_bytes());
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// A layer with one of everything.
fn layer() -> Vec<u8> {
    let mut tar = Vec::new();
    let key = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
    );
    for (kind, path, content, link) in [
        (EntryType::Directory, "d/", &b""[..], ""),
        (EntryType::Regular, "d/ping", b"ping", ""),
        (EntryType::Link, "d/pong", b"", "d/ping"),
        (EntryType::Symlink, "link", b"", "../d/ping"),
        (EntryType::Fifo, "fifo", b"", ""),
        (EntryType::Regular, "d/.wh.gone", b"", ""),
        (EntryType::Regular, "e/.wh..wh..opq", b"", ""),
        (EntryType::Regular, "etc/os-release", b"ID=rhel\n", ""),
        (EntryType::Regular, "root/key.pem", key.as_bytes(), ""),
        (
            EntryType::Regular,
            "var/lib/rpm/rpmdb.sqlite",
            b"no database",
            "",
        ),
        (
            EntryType::Regular,
            "var/lib/rpm/rpmdb.sqlite-wal",
            b"no log",
            "",
        ),
    ] {
        entry(&mut tar, kind, path, content, link);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn key(blob: &[u8]) -> (Descriptor, DiffId) {
    let digest = sha256(blob);
    let size = blob.len() as u64;
    let of = Descriptor::new(MediaType::ImageLayer, size, digest.clone());
    (of, DiffId(digest))
}

fn recorded(tar: &[u8], piece: usize) -> Option<Recorded> {
    let write =
        |to: &mut (dyn io::Write + Send)| tar.chunks(piece).try_for_each(|p| to.write_all(p));
    let (written, recorded) = record(write);
    written.unwrap();
    recorded
}

#[derive(Debug, Default)]
struct Memory(Mutex<HashMap<Digest, Vec<u8>>>);

impl LayerMemory for Memory {
    fn recall(&self, key: &Digest) -> Option<Vec<u8>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).cloned()
    }

    fn keep(&self, key: &Digest, facts: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(key.clone(), facts.to_vec());
    }
}

#[test]
fn what_is_recalled_is_what_was_recorded() {
    let tar = layer();
    let (of, diff_id) = key(&tar);
    let memory = Memory::default();
    let name = LayerKey::of(&of, &diff_id);
    let bytes = recorded(&tar, 700).unwrap().to_bytes(&name).unwrap();
    memory.keep(&name.digest(), &bytes);
    let budget = Budget::new(Limits::default());
    let known = recall(&memory, LayerIndex(3), &of, &diff_id, &budget);
    let known = known.unwrap().unwrap();
    let mut want = recorded(&tar, tar.len()).unwrap();
    for change in &mut want.scan.changes {
        if let ChangeKind::Put(entry) = &mut change.kind {
            entry.layer = LayerIndex(3);
        }
    }
    assert_eq!(format!("{known:?}"), format!("{want:?}"));
    assert_eq!(known.scan.changes.len(), 11);
    assert_eq!(known.scan.traces.len(), 1);
    assert_eq!(known.scan.uncompressed, tar.len() as u64);
    let ping = &known.scan.changes[1].kind;
    let ChangeKind::Put(ping) = ping else {
        panic!("{ping:?}")
    };
    assert_eq!((&*ping.caps, ping.mode), (&[1, 0, 0, 2][..], 0o4755));
    let sha256 = Sha256::digest(b"ping").into();
    assert_eq!(ping.kind, EntryKind::File { size: 4, sha256 });
}

#[test]
fn what_was_kept_of_another_layer_is_of_no_use() {
    let tar = layer();
    let (of, diff_id) = key(&tar);
    let name = LayerKey::of(&of, &diff_id);
    let bytes = recorded(&tar, 512).unwrap().to_bytes(&name).unwrap();
    let gzip = Descriptor::new(MediaType::ImageLayerGzip, of.size(), of.digest().clone());
    let longer = Descriptor::new(MediaType::ImageLayer, of.size() + 1, of.digest().clone());
    let (other, other_id) = key(b"another");
    for (of, diff_id) in [
        (&gzip, &diff_id),
        (&longer, &diff_id),
        (&other, &diff_id),
        (&of, &other_id),
    ] {
        // Under the name of the layer that is asked for, as somebody would put it who means harm.
        let memory = Memory::default();
        memory.keep(&LayerKey::of(of, diff_id).digest(), &bytes);
        let budget = Budget::new(Limits::default());
        let known = recall(&memory, LayerIndex(0), of, diff_id, &budget).unwrap();
        assert!(known.is_none(), "{of:?} {diff_id}");
    }
}

#[test]
fn limits_count_for_what_is_recalled() {
    let tar = layer();
    let (of, diff_id) = key(&tar);
    let memory = Memory::default();
    let name = LayerKey::of(&of, &diff_id);
    let bytes = recorded(&tar, 512).unwrap().to_bytes(&name).unwrap();
    memory.keep(&name.digest(), &bytes);
    let size = tar.len() as u64;
    for limits in [
        Limits {
            entries: 10,
            ..Limits::default()
        },
        Limits {
            uncompressed: size - 1,
            ..Limits::default()
        },
        Limits {
            name_bytes: 50,
            ..Limits::default()
        },
        Limits {
            kept: 7,
            ..Limits::default()
        },
    ] {
        let budget = Budget::new(limits.clone());
        let known = recall(&memory, LayerIndex(0), &of, &diff_id, &budget);
        assert!(matches!(known, Err(LayerError::Limit(_))), "{limits:?}");
    }
    let budget = Budget::new(Limits::default());
    assert!(recall(&memory, LayerIndex(0), &of, &diff_id, &budget).is_ok());
    // Twice the layer is twice its entries.
    assert!(
        budget
            .entries(crate::inventory::MAX_ENTRIES - 11, 0)
            .is_ok()
    );
    assert!(recall(&memory, LayerIndex(0), &of, &diff_id, &budget).is_err());
}

#[test]
fn nothing_is_kept_of_what_is_no_layer() {
    let mut tar = layer();
    assert!(recorded(&tar[..tar.len() - 1024 - 300], 512).is_none());
    tar[100] = b'x';
    assert!(recorded(&tar, 512).is_none());
    let mut climbing = Vec::new();
    entry(&mut climbing, EntryType::Regular, "../x", b"x", "");
    assert!(recorded(&climbing, 512).is_none());
}

proptest! {
    #[test]
    fn damaged_bytes_are_refused_or_harmless(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let tar = layer();
        let (of, diff_id) = key(&tar);
        let name = LayerKey::of(&of, &diff_id);
        let bytes = recorded(&tar, 512).unwrap().to_bytes(&name).unwrap();
        // Behind the compression, whose own checksum would hide what is tested.
        let mut plain = zstd::decode_all(&bytes[..]).unwrap();
        let at = at.index(plain.len());
        plain[at] = to;
        let mut again = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        again.write_all(&plain).unwrap();
        let damaged = again.finish().unwrap();
        if let Some(known) = kept::from_bytes(&damaged, &name, LayerIndex(0), &Limits::default()) {
            for change in &known.scan.changes {
                let path = change.path.as_bytes();
                prop_assert!(!path.contains(&0));
                prop_assert!(path.split(|&b| b == b'/').all(|part| part != b".."));
            }
            for link in &known.scan.links {
                prop_assert!(link.change < known.scan.changes.len());
            }
        }
    }
}
