//! Which base image comes from elsewhere, by the configuration's `mirrors`. Pure; how an engine is
//! given the stand-in is the business of `bases`.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::{names::ImageName, source::ImageUse};
use crate::layout::{Select, Transport};

/// Where a base image is taken from instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StandIn {
    /// an OCI layout
    Layout {
        /// directory
        dir: PathBuf,
        /// which image of it; the configuration left it open when `None`
        select: Option<Select>,
    },
    /// another registry, or another repository
    Image(ImageName),
}

/// A base image and what stands in for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirrored {
    /// as the Dockerfile means it
    pub(crate) used: ImageUse,
    /// what is taken
    pub(crate) stand_in: StandIn,
}

/// Why an entry of `mirrors` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mirror `{key}` → `{value}`: {reason}")]
pub(crate) struct MirrorError {
    /// what is replaced
    pub(crate) key: String,
    /// by what
    pub(crate) value: String,
    /// what is wrong
    pub(crate) reason: String,
}

/// Applies the longest entry that fits to each image.
pub(crate) fn choose(
    images: &[ImageUse],
    mirrors: &IndexMap<String, String>,
    root: &Path,
) -> Result<Vec<Mirrored>, MirrorError> {
    let mut chosen = Vec::new();
    for used in images {
        if let Some(stand_in) = stand_in_for(&used.name, mirrors, root)? {
            chosen.push(Mirrored {
                used: used.clone(),
                stand_in,
            });
        }
    }
    Ok(chosen)
}

/// Where an image is taken from instead; `None` when no entry fits.
pub(crate) fn place(
    named: &str,
    mirrors: &IndexMap<String, String>,
    root: &Path,
) -> Result<Option<Transport>, MirrorError> {
    let Some(name) = ImageName::complete(named) else {
        return Ok(None);
    };
    let Some(stand_in) = stand_in_for(&name, mirrors, root)? else {
        return Ok(None);
    };
    Ok(match stand_in {
        StandIn::Layout { dir, select } => Some(Transport::OciLayout { dir, select }),
        StandIn::Image(image) => image.full().parse().ok().map(Transport::Registry),
    })
}

fn stand_in_for(
    name: &ImageName,
    mirrors: &IndexMap<String, String>,
    root: &Path,
) -> Result<Option<StandIn>, MirrorError> {
    let fits = mirrors
        .iter()
        .filter_map(|(key, value)| Some((key, value, fit(key, name)?)));
    let Some((key, value, fit)) = fits.max_by_key(|(key, ..)| key.len()) else {
        return Ok(None);
    };
    let stand_in = stand_in(value, name, &fit, root).map_err(|reason| MirrorError {
        key: key.clone(),
        value: value.clone(),
        reason,
    })?;
    Ok(Some(stand_in))
}

enum Fit {
    /// the repository, with the tag or with any
    Repository,
    /// what is above it; the rest of the path
    Prefix(String),
}

fn fit(key: &str, name: &ImageName) -> Option<Fit> {
    let key = key.trim_end_matches('/');
    let path = name.path();
    if let Some(rest) = path
        .strip_prefix(key)
        .and_then(|rest| rest.strip_prefix('/'))
    {
        return Some(Fit::Prefix(rest.to_owned()));
    }
    let written = ImageName::complete(key)?;
    let has_tag = key.contains('@')
        || key
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':'));
    if has_tag {
        (written == *name).then_some(Fit::Repository)
    } else {
        (written.path() == path).then_some(Fit::Repository)
    }
}

fn stand_in(value: &str, name: &ImageName, fit: &Fit, root: &Path) -> Result<StandIn, String> {
    if value.starts_with("oci:") {
        return match value.parse::<Transport>() {
            Ok(Transport::OciLayout { dir, select }) => Ok(StandIn::Layout {
                dir: root.join(dir),
                select,
            }),
            Ok(_) => Err("only oci:DIR and image references can be mirrors".to_owned()),
            Err(error) => Err(error.reason),
        };
    }
    let value = value
        .strip_prefix("docker://")
        .unwrap_or(value)
        .trim_end_matches('/');
    let named = value.contains('@')
        || value
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':') && value.contains('/'));
    let text = match fit {
        // A digest that the Dockerfile pins holds for the stand-in as well.
        Fit::Repository if named && !value.contains('@') => {
            let pinned = name.digest.as_ref().map(|digest| format!("@{digest}"));
            format!("{value}{}", pinned.unwrap_or_default())
        }
        Fit::Repository if named => value.to_owned(),
        Fit::Repository => format!("{value}{}", suffix(name)),
        Fit::Prefix(rest) => format!("{value}/{rest}{}", suffix(name)),
    };
    ImageName::complete(&text)
        .map(StandIn::Image)
        .ok_or_else(|| format!("`{text}` is neither oci:DIR nor an image reference"))
}

fn suffix(name: &ImageName) -> String {
    let tag = name.tag.as_ref().map(|tag| format!(":{tag}"));
    let digest = name.digest.as_ref().map(|digest| format!("@{digest}"));
    [tag, digest].into_iter().flatten().collect()
}

/// The images of a layout that may be meant when the configuration left it open, best first.
pub(crate) fn selections(select: Option<&Select>, name: &ImageName) -> Vec<Option<Select>> {
    if let Some(select) = select {
        return vec![Some(select.clone())];
    }
    let mut all = vec![Some(Select::Tag(name.full()))];
    if let Some(tag) = &name.tag {
        all.push(Some(Select::Tag(tag.clone())));
    }
    all.push(None);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Location;

    fn mirrored(image: &str, mirrors: &[(&str, &str)]) -> Result<Option<StandIn>, MirrorError> {
        let used = ImageUse {
            name: ImageName::complete(image).unwrap(),
            location: Location {
                file: "Dockerfile".into(),
                line: 1,
                end_line: 1,
                column: None,
                end_column: None,
            },
        };
        let mirrors = mirrors
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let chosen = choose(&[used], &mirrors, Path::new("/repository"))?;
        Ok(chosen.into_iter().next().map(|one| one.stand_in))
    }

    #[test]
    fn an_entry_fits_by_whole_components() {
        for (image, key, value, taken) in [
            ("r.io/ubi9/ubi:9", "r.io", "m.io", Some("m.io/ubi9/ubi:9")),
            (
                "r.io/ubi9/ubi:9",
                "r.io/ubi9",
                "m.io/x",
                Some("m.io/x/ubi:9"),
            ),
            (
                "r.io/ubi9/ubi:9",
                "r.io/ubi9/ubi",
                "m.io/y",
                Some("m.io/y:9"),
            ),
            (
                "r.io/ubi9/ubi:9",
                "r.io/ubi9/ubi",
                "m.io/y:1",
                Some("m.io/y:1"),
            ),
            (
                "r.io/ubi9/ubi:9",
                "r.io/ubi9/ubi:9",
                "m.io/y:1",
                Some("m.io/y:1"),
            ),
            (
                "r.io/ubi9/ubi:9",
                "r.io/ubi9/ubi:9",
                "m.io:5000/y",
                Some("m.io:5000/y:9"),
            ),
            (
                "r.io/a@sha256:00",
                "r.io/a",
                "m.io/y:1",
                Some("m.io/y:1@sha256:00"),
            ),
            ("r.io/ubi9/ubi:9", "r.io/ubi9/ubi:8", "m.io/y:1", None),
            ("r.io/ubi9/ubi:9", "r.io/ubi", "m.io", None),
            ("r.io/ubi9/ubi:9", "r.io/ubi9/ub", "m.io", None),
            ("redis", "redis", "m.io/redis", Some("m.io/redis:latest")),
            (
                "redis",
                "docker.io",
                "m.io:5000",
                Some("m.io:5000/library/redis:latest"),
            ),
            (
                "r.io/a@sha256:00",
                "r.io",
                "m.io/",
                Some("m.io/a@sha256:00"),
            ),
        ] {
            let stand_in = mirrored(image, &[(key, value)]).unwrap();
            let full = stand_in.map(|stand_in| match stand_in {
                StandIn::Image(name) => name.full(),
                StandIn::Layout { .. } => panic!(),
            });
            assert_eq!(full.as_deref(), taken, "{image} {key} {value}");
        }
    }

    #[test]
    fn the_longest_entry_wins_whatever_the_order() {
        let entries = [("r.io/ubi9", "oci:bases"), ("r.io", "m.io")];
        for entries in [entries, [entries[1], entries[0]]] {
            let stand_in = mirrored("r.io/ubi9/ubi:9", &entries).unwrap().unwrap();
            let layout = StandIn::Layout {
                dir: "/repository/bases".into(),
                select: None,
            };
            assert_eq!(stand_in, layout);
        }
    }

    #[test]
    fn a_layout_keeps_its_tag_and_its_absolute_path() {
        let stand_in = mirrored("r.io/a:1", &[("r.io/a:1", "oci:/bases:nine")])
            .unwrap()
            .unwrap();
        let layout = StandIn::Layout {
            dir: "/bases".into(),
            select: Some(Select::Tag("nine".into())),
        };
        assert_eq!(stand_in, layout);
    }

    #[test]
    fn what_cannot_stand_in_is_refused() {
        for value in ["oci:", "oci:/x:", "not a reference", ""] {
            assert!(
                mirrored("r.io/a:1", &[("r.io/a:1", value)]).is_err(),
                "{value}"
            );
        }
    }
}
