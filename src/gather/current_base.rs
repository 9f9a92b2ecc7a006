//! The base image as it is today: whether it has the fixes that an image lacks.
//!
//! It is looked up only when something is missing, and never required: why it could not be had is
//! told and stops nothing.

use super::{PackageList, Reach, Request, base_transport, chain, open};
use crate::{
    inventory::{Quiet, ScanOptions},
    layout::Transport,
    oci::{ResolvedImage, SourceError, resolve},
    registry::push::Pusher,
    rpm::Nevra,
    subject::{CurrentBase, Fact, Inventory},
};

/// Looks up what the base image's reference names now.
pub(super) fn look_up(
    named: Option<&str>,
    image: &ResolvedImage,
    inventory: &Inventory,
    request: &Request<'_>,
    reach: &Reach,
    options: &ScanOptions,
) -> Fact<CurrentBase> {
    let Some(named) = named.filter(|name| *name != "scratch") else {
        return Fact::Unmet("the base image is not known: name it with `--base`".to_owned());
    };
    let found = read(named, image, inventory, request, reach, options);
    found.unwrap_or_else(|reason| Fact::Unmet(format!("{named}: {reason}")))
}

fn read(
    named: &str,
    image: &ResolvedImage,
    inventory: &Inventory,
    request: &Request<'_>,
    reach: &Reach,
    options: &ScanOptions,
) -> Result<Fact<CurrentBase>, String> {
    let said = |error: &SourceError| chain(error);
    let mut transport = base_transport(named, request).map_err(|error| said(&error))?;
    if let Transport::Registry(reference) = &mut transport
        && request.base.is_none()
    {
        // Pinned by digest it would be what was built on for ever.
        reference.digest = None;
        let tag = reference.tag.take().unwrap_or_else(|| "latest".to_owned());
        let tags = Pusher::open(reference, &[], &reach.registry).and_then(|it| it.tags());
        let newest = tags.ok().and_then(|tags| newest(&tag, tags));
        reference.tag = Some(newest.unwrap_or(tag));
    }
    let opened = open(&transport, reach).map_err(|error| said(&error))?;
    let found = resolve(opened.source(), Some(&image.platform)).map_err(|error| said(&error))?;
    let base = found.images.first();
    let base = base.ok_or_else(|| format!("it has no image for {}", image.platform))?;
    let reference = transport.to_string();
    let digest = base.descriptor.digest().clone();
    let own = &image.config.rootfs.diff_ids;
    if own.starts_with(&base.config.rootfs.diff_ids) {
        let below = base.config.rootfs.diff_ids.len();
        return Ok(Fact::Known(CurrentBase {
            reference,
            digest,
            built_on: true,
            packages: of_layers_below(below, inventory),
        }));
    }
    let cache = &request.advisories.cache;
    let list = PackageList::read(opened.source(), base, cache, options, &Quiet);
    Ok(match list.map_err(|error| chain(&error))? {
        Fact::Known(list) => Fact::Known(CurrentBase {
            reference,
            digest,
            built_on: false,
            packages: list.installed.into_iter().map(|it| it.nevra).collect(),
        }),
        Fact::Unmet(reason) => Fact::Unmet(format!("{reference}: {reason}")),
    })
}

/// The packages that the lowest layers brought: what the base has when it is those layers. What a
/// later layer updated is not told any more, and is not missing either.
fn of_layers_below(below: usize, inventory: &Inventory) -> Vec<Nevra> {
    let Fact::Known(packages) = &inventory.packages else {
        return Vec::new();
    };
    let each = packages.list.iter().zip(&packages.layers);
    each.filter(|(_, layer)| (layer.0 as usize) < below)
        .map(|(package, _)| package.nevra.clone())
        .collect()
}

/// The newest tag of the same shape: of `8.4-200` it is `8.10-1` and not `latest`, `8.10` or
/// `8.10-1-source`. Nothing for a tag without a number: such a one moves by itself.
fn newest(tag: &str, tags: Vec<String>) -> Option<String> {
    let wanted = shape(tag);
    wanted.contains('#').then_some(())?;
    // A tag of one number, such as `9` or `v4`, names a stream, and its successor another one.
    (wanted.matches('#').count() > 1).then_some(())?;
    let stream = numbers(tag).first().copied();
    tags.into_iter()
        .filter(|other| shape(other) == wanted && numbers(other).first().copied() == stream)
        .max_by_key(|other| numbers(other))
}

/// The tag with each run of digits as `#`.
fn shape(tag: &str) -> String {
    let mut shape = String::with_capacity(tag.len());
    for c in tag.chars() {
        match (c.is_ascii_digit(), shape.ends_with('#')) {
            (true, true) => {}
            (true, false) => shape.push('#'),
            (false, _) => shape.push(c),
        }
    }
    shape
}

fn numbers(tag: &str) -> Vec<u64> {
    let runs = tag.split(|c: char| !c.is_ascii_digit());
    runs.filter_map(|run| run.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn the_newest_tag_is_one_of_the_same_shape_and_stream() {
        let tags = [
            "latest",
            "8",
            "8.4",
            "8.10",
            "8.4-200",
            "8.4-211",
            "8.10-3",
            "8.10-3-source",
            "9.1-7",
            "v1",
            "8.10-20240101",
        ];
        for (tag, want) in [
            ("8.4-200", Some("8.10-20240101")),
            ("8.4", Some("8.10")),
            ("9.1-7", Some("9.1-7")),
            ("8", None),
            ("latest", None),
            ("8.4-200-source", Some("8.10-3-source")),
            ("7.1-1", None),
        ] {
            let found = newest(tag, tags.map(str::to_owned).to_vec());
            assert_eq!(found.as_deref(), want, "{tag}");
        }
    }
}
