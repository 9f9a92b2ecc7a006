//! Small layers and packages for the tests of this module.

use sha2::{Digest as _, Sha256};

use crate::{
    oci::{DiffId, Digest, ImagePath, LayerIndex},
    rpm::{FileEntry, FileState, Nevra, Package},
    subject::{Change, ChangeKind, Entry, EntryKind, LayerFacts},
};

fn digest() -> Digest {
    let text = format!("sha256:{}", "0".repeat(64));
    text.parse().expect("a digest of zeros")
}

/// A layer of these changes.
pub(super) fn layer(index: u32, changes: Vec<Change>) -> LayerFacts {
    LayerFacts {
        index: LayerIndex(index),
        digest: digest(),
        diff_id: DiffId(digest()),
        size: 0,
        uncompressed_size: 0,
        entries: 0,
        created_by: None,
        changes,
    }
}

/// A regular file of root's in layer 0.
pub(super) fn entry(content: &[u8], mode: u16) -> Entry {
    Entry {
        kind: EntryKind::File {
            size: content.len() as u64,
            sha256: Sha256::digest(content).into(),
        },
        mode,
        uid: 0,
        gid: 0,
        caps: Box::default(),
        layer: LayerIndex(0),
    }
}

pub(super) fn put(path: &str, content: &[u8], mode: u16) -> Change {
    Change {
        path: ImagePath::from(path),
        kind: ChangeKind::Put(entry(content, mode)),
    }
}

pub(super) fn deleted(path: &str) -> Change {
    Change {
        path: ImagePath::from(path),
        kind: ChangeKind::Delete,
    }
}

/// A file of mode 0755 as a header describes it.
pub(super) fn file(path: &str, content: &[u8]) -> FileEntry {
    FileEntry {
        path: ImagePath::from(path),
        size: content.len() as u64,
        mode: 0o100_755,
        mtime: 0,
        digest: Sha256::digest(content).as_slice().into(),
        link_target: Box::default(),
        flags: 0,
        verify_flags: u32::MAX,
        user: "root".into(),
        group: "root".into(),
        caps: "".into(),
        rdev: 0,
        inode: 1,
        color: 0,
        state: FileState::Normal,
    }
}

/// A package of Red Hat's, version 1, release 1.el9.
pub(crate) fn package(name: &str, files: &[FileEntry]) -> Package {
    Package {
        nevra: Nevra {
            name: name.to_owned(),
            epoch: None,
            version: "1".to_owned(),
            release: "1.el9".to_owned(),
            arch: Some("x86_64".to_owned()),
        },
        vendor: Some("Red Hat, Inc.".to_owned()),
        source_rpm: None,
        license: None,
        summary: None,
        build_host: None,
        size: 0,
        install_time: None,
        build_time: None,
        module: None,
        signing_key: None,
        sig_md5: None,
        sha1_header: None,
        sha256_header: None,
        file_digest_algo: 8,
        provides: Vec::new(),
        files: files.to_vec(),
    }
}
