//! Subjects for tests, put together without any I/O.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    dockerfile::Origins,
    finding::Location,
    oci::{
        Config, DiffId, Digest, History, ImageConfig, ImagePath, LayerIndex, Platform, Reference,
        RootFs,
    },
    rpm::{FileEntry, FileState, Package},
    subject::{
        BaseImage, Entry, EntryKind, Fact, FileProblem, Inventory, LayerFacts, Packages,
        PreflightModified, Subject,
    },
};

pub(crate) const RED_HAT: &str = "Red Hat, Inc.";

/// A [`Subject`] in the making.
pub(crate) struct Image {
    subject: Subject,
    layer: LayerIndex,
}

fn digest(number: usize) -> Digest {
    format!("sha256:{number:064x}").parse().unwrap()
}

/// The diff id that layer `number` of every test image has.
pub(crate) fn diff_id(number: usize) -> DiffId {
    DiffId(digest(number + 1))
}

/// A line of the Dockerfile that [`Image::dockerfile`] makes up.
pub(crate) fn line(line: u32) -> Location {
    Location {
        file: "Containerfile".to_owned(),
        line,
        end_line: line,
        column: None,
        end_column: None,
    }
}

impl Image {
    /// One layer, nothing in it, nothing said of it.
    pub(crate) fn bare() -> Self {
        let platform: Platform = "linux/amd64".parse().unwrap();
        let image = Self {
            layer: LayerIndex(0),
            subject: Subject {
                reference: None,
                display_name: "test".to_owned(),
                tags: Fact::Known(Vec::new()),
                digest: digest(0xd1),
                config_digest: digest(0xd2),
                platform,
                config: ImageConfig::default(),
                inventory: Inventory {
                    layers: Vec::new(),
                    tree: BTreeMap::new(),
                    kept: BTreeMap::new(),
                    packages: Fact::Known(Packages {
                        database: ImagePath::from("/var/lib/rpm/rpmdb.sqlite"),
                        format: "sqlite",
                        list: Vec::new(),
                        layers: Vec::new(),
                    }),
                    modified: Fact::Known(Vec::new()),
                    preflight_modified: Fact::Known(PreflightModified { files: Vec::new() }),
                    secrets: Vec::new(),
                },
                advisories: Fact::Unmet("there is no advisory database".to_owned()),
                base: Fact::Unmet("no base given".to_owned()),
                origins: Origins::default(),
                privileged: false,
            },
        };
        image.layers(1)
    }

    /// Four layers on a Red Hat base of two; passes every rule.
    pub(crate) fn good() -> Self {
        let mut image = Self::bare()
            .layers(4)
            .base(2)
            .user("1001")
            .tags(&["3.7-1"])
            .file(
                "etc/os-release",
                "ID=\"rhel\"\nPRETTY_NAME=\"Red Hat Enterprise Linux 9.4 (Plow)\"\n",
            )
            .package("redhat-release", RED_HAT, &["/etc/os-release"])
            .package("bash", RED_HAT, &["/usr/bin/bash"])
            .in_layer(3)
            .tree(&["licenses/", "licenses/terms.txt"]);
        for (name, value) in [
            ("name", "vendorx/plugin"),
            ("vendor", "VendorX"),
            ("version", "3.7"),
            ("release", "1"),
            ("summary", "VendorX plugin"),
            ("description", "VendorX plugin, a fixture"),
            ("maintainer", "maintainer@vendorx.example.com"),
        ] {
            image = image.label(name, value);
        }
        image.subject.reference = Some(Reference {
            registry: "quay.io".to_owned(),
            repository: "vendorx/plugin".to_owned(),
            tag: Some("3.7-1".to_owned()),
            digest: None,
        });
        image
    }

    pub(crate) fn build(self) -> Subject {
        self.subject
    }

    /// That many layers, each with its own diff id and history entry.
    pub(crate) fn layers(mut self, count: usize) -> Self {
        self.subject.config.rootfs = RootFs {
            diff_ids: (0..count).map(diff_id).collect(),
        };
        self.subject.config.history = Some(
            (0..count)
                .map(|number| History {
                    created_by: Some(format!("step {number}")),
                    ..History::default()
                })
                .collect(),
        );
        self.subject.inventory.layers = (0..count)
            .map(|number| LayerFacts {
                index: LayerIndex(u32::try_from(number).unwrap()),
                digest: digest(number + 0x100),
                diff_id: diff_id(number),
                size: 1,
                uncompressed_size: 1,
                entries: 0,
                created_by: Some(format!("step {number}")),
                changes: Vec::new(),
            })
            .collect();
        self
    }

    /// The base is known and has that many layers.
    pub(crate) fn base(mut self, count: usize) -> Self {
        self.subject.base = Fact::Known(BaseImage {
            reference: "registry.access.redhat.com/ubi9/ubi-minimal:9.4".to_owned(),
            diff_ids: (0..count).map(diff_id).collect(),
            digest: None,
            source: "registry".to_owned(),
        });
        self
    }

    /// A Dockerfile: `FROM` in line 1, layer *n* above the base made by line 10 + *n*.
    pub(crate) fn dockerfile(mut self, file: &str, base_layers: usize) -> Self {
        let count = self.subject.config.rootfs.diff_ids.len().max(8);
        self.subject.origins.file = file.to_owned();
        self.subject.origins.from = Some(line(1));
        self.subject.origins.layers = (0..count)
            .map(|n| (n >= base_layers).then(|| line(u32::try_from(n).unwrap() + 10)))
            .collect();
        self
    }

    /// The layer that what follows lies in.
    pub(crate) fn in_layer(mut self, layer: u32) -> Self {
        self.layer = LayerIndex(layer);
        self
    }

    pub(crate) fn entry(mut self, path: &str, kind: EntryKind, mode: u16) -> Self {
        let entry = Entry {
            kind,
            mode,
            uid: 0,
            gid: 0,
            caps: Box::default(),
            layer: self.layer,
        };
        self.subject
            .inventory
            .tree
            .insert(ImagePath::from(path), entry);
        self
    }

    /// Lines: `path` a file, `path/` a directory, `path=` an empty file, `path -> target` a link.
    pub(crate) fn tree(mut self, lines: &[&str]) -> Self {
        for line in lines {
            let file = |size| EntryKind::File {
                size,
                sha256: [0; 32],
            };
            self = if let Some((path, target)) = line.split_once(" -> ") {
                self.entry(path, EntryKind::Symlink(target.as_bytes().into()), 0o777)
            } else if let Some(path) = line.strip_suffix('/') {
                self.entry(path, EntryKind::Directory, 0o755)
            } else if let Some(path) = line.strip_suffix('=') {
                self.entry(path, file(0), 0o644)
            } else {
                self.entry(line, file(7), 0o644)
            };
        }
        self
    }

    /// A small file that is kept whole.
    pub(crate) fn file(mut self, path: &str, content: &str) -> Self {
        self.subject
            .inventory
            .kept
            .insert(ImagePath::from(path), content.as_bytes().to_vec());
        self.tree(&[path])
    }

    pub(crate) fn label(mut self, name: &str, value: &str) -> Self {
        let config = self
            .subject
            .config
            .config
            .get_or_insert_with(Config::default);
        config
            .labels
            .get_or_insert_default()
            .insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn without_label(mut self, name: &str) -> Self {
        let config = self
            .subject
            .config
            .config
            .get_or_insert_with(Config::default);
        config.labels.get_or_insert_default().shift_remove(name);
        self
    }

    pub(crate) fn user(mut self, user: &str) -> Self {
        let config = self
            .subject
            .config
            .config
            .get_or_insert_with(Config::default);
        config.user = Some(user.to_owned());
        self
    }

    pub(crate) fn tags(mut self, tags: &[&str]) -> Self {
        self.subject.tags = Fact::Known(tags.iter().map(|&tag| tag.to_owned()).collect());
        self
    }

    pub(crate) fn tags_unmet(mut self, reason: &str) -> Self {
        self.subject.tags = Fact::Unmet(reason.to_owned());
        self
    }

    /// A package with its files, in the present layer's database; they are not put into the tree.
    pub(crate) fn package(mut self, name: &str, vendor: &str, files: &[&str]) -> Self {
        if let Fact::Known(packages) = &mut self.subject.inventory.packages {
            packages.list.push(Arc::new(package(name, vendor, files)));
            packages.layers.push(self.layer);
        }
        self
    }

    pub(crate) fn without_packages(mut self, reason: &str) -> Self {
        let inventory = &mut self.subject.inventory;
        inventory.packages = Fact::Unmet(reason.to_owned());
        inventory.modified = Fact::Unmet(reason.to_owned());
        inventory.preflight_modified = Fact::Unmet(reason.to_owned());
        self
    }

    /// A file of `bash` that is not as the package describes it.
    pub(crate) fn problem(mut self, path: &str, flags: &str, attribute: char, fails: bool) -> Self {
        if let Fact::Known(modified) = &mut self.subject.inventory.modified {
            modified.push(FileProblem {
                path: ImagePath::from(path),
                package: "bash-1-1.el9.x86_64".to_owned(),
                vendor: Some(RED_HAT.to_owned()),
                flags: flags.to_owned(),
                attribute,
                detail: "size is 8, expected 7".to_owned(),
                layer: Some(self.layer),
                fails,
            });
        }
        self
    }

    /// A file that openshift-preflight names as modified.
    pub(crate) fn preflight(mut self, path: &str) -> Self {
        if let Fact::Known(modified) = &mut self.subject.inventory.preflight_modified {
            modified.files.push((ImagePath::from(path), self.layer));
        }
        self
    }
}

fn package(name: &str, vendor: &str, files: &[&str]) -> Package {
    let files: Vec<FileEntry> = files.iter().map(|path| file_entry(path)).collect();
    Package {
        vendor: Some(vendor.to_owned()).filter(|vendor| !vendor.is_empty()),
        ..crate::inventory::testing::package(name, &files)
    }
}

fn file_entry(path: &str) -> FileEntry {
    FileEntry {
        path: ImagePath::from(path),
        size: 7,
        mode: 0o100_755,
        mtime: 0,
        digest: Box::default(),
        link_target: Box::default(),
        flags: 0,
        verify_flags: 0,
        user: "root".into(),
        group: "root".into(),
        caps: Box::default(),
        rdev: 0,
        inode: 0,
        color: 0,
        state: FileState::Normal,
    }
}
