//! `--platform` as `BuildKit` reads it: aliases of architectures, parts left out.

use crate::oci::Platform;

const ALIASES: [(&str, &str, Option<&str>); 7] = [
    ("x86_64", "amd64", None),
    ("x86-64", "amd64", None),
    ("aarch64", "arm64", None),
    ("i386", "386", None),
    ("armhf", "arm", Some("v7")),
    ("armel", "arm", Some("v6")),
    ("arm", "arm", Some("v7")),
];
const SYSTEMS: [&str; 8] = [
    "linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "aix", "solaris",
];

/// Reads a platform; what it does not say is the build's.
pub(super) fn parse(text: &str, build: &Platform) -> Option<Platform> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let parts: Vec<String> = text.split('/').map(str::to_lowercase).collect();
    let named = |text: &String| !text.is_empty() && text.chars().all(part);
    if parts.len() > 3 || !parts.iter().all(named) {
        return None;
    }
    let system = |text: &str| if text == "macos" { "darwin" } else { text }.to_owned();
    Some(match parts.as_slice() {
        [one] if SYSTEMS.contains(&one.as_str()) => {
            normal(system(one), &build.architecture, build.variant.as_deref())
        }
        [one] => normal(build.os.clone(), one, None),
        [os, architecture] => normal(system(os), architecture, None),
        [os, architecture, variant] => normal(system(os), architecture, Some(variant)),
        _ => return None,
    })
}

fn normal(os: String, architecture: &str, variant: Option<&str>) -> Platform {
    let alias = ALIASES.iter().find(|(name, ..)| *name == architecture);
    let (architecture, default) =
        alias.map_or((architecture, None), |(_, name, variant)| (*name, *variant));
    let variant = match (architecture, variant.or(default)) {
        ("amd64", Some("v1")) | ("arm64", Some("8" | "v8")) => None,
        ("arm", Some(digit @ ("5" | "6" | "7" | "8"))) => Some(format!("v{digit}")),
        (_, variant) => variant.map(str::to_owned),
    };
    Platform {
        os,
        architecture: architecture.to_owned(),
        variant,
    }
}

/// Whether an image for `wanted` is one for the build's own platform.
pub(super) fn same(wanted: &Platform, build: &Platform) -> bool {
    let build = normal(
        build.os.clone(),
        &build.architecture,
        build.variant.as_deref(),
    );
    *wanted == build
}

#[cfg(test)]
mod tests {
    use super::{parse, same};
    use crate::oci::Platform;

    #[test]
    fn platforms_are_compared_by_what_they_mean() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        for (text, build, want) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/x86_64", "linux/amd64", true),
            ("amd64", "linux/amd64", true),
            ("linux", "linux/amd64", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64", "linux/amd64", false),
            ("windows/amd64", "linux/amd64", false),
            ("linux/arm", "linux/arm/v7", true),
        ] {
            let build = platform(build);
            assert_eq!(same(&parse(text, &build).unwrap(), &build), want, "{text}");
        }
        for text in ["", "a/b/c/d", "linux/", "linux/a b"] {
            assert!(parse(text, &platform("linux/amd64")).is_none(), "{text}");
        }
    }
}
