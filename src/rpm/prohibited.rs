//! Packages that may not be redistributed in a partner's image.

/// Names, as openshift-preflight 1.21.0 of 2026-08-20 lists them
/// (`internal/policy/container/has_prohibited_packages.go`, commit 703ac27f).
const NAMES: [&str; 17] = [
    "grub",
    "grub2",
    "kernel",
    "kernel-core",
    "kernel-debug",
    "kernel-debug-core",
    "kernel-debug-devel",
    "kernel-debug-modules",
    "kernel-debug-modules-extra",
    "kernel-devel",
    "kernel-doc",
    "kernel-modules",
    "kernel-modules-extra",
    "kernel-tools",
    "kernel-tools-libs",
    "kmod-kvdo",
    "linux-firmware",
];

/// Beginnings of names, of the same list.
const PREFIXES: [&str; 1] = ["kpatch"];

/// Whether a package of this name may not be redistributed.
pub fn is_prohibited(name: &str) -> bool {
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::is_prohibited;

    #[test]
    fn names_are_compared_whole_and_prefixes_as_such() {
        for (name, want) in [
            ("kernel", true),
            ("kernel-core", true),
            ("grub2", true),
            ("linux-firmware", true),
            ("kpatch", true),
            ("kpatch-patch-5_14_0", true),
            ("kernel-headers", false),
            ("kernel-srpm-macros", false),
            ("grub2-common", false),
            ("kernels", false),
            ("Kernel", false),
        ] {
            assert_eq!(is_prohibited(name), want, "{name}");
        }
    }
}
