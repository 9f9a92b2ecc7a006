//! What an rpm is called in CSAF documents: package URLs and, in older documents, product ids.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::advisory::{ArchSet, FixedEvr, Named};

/// What a node of the product tree stands for, besides the CPE it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Component {
    /// a binary package
    Rpm(Rpm),
    /// a source package: never installed in an image
    Aside,
    /// a module stream, `name:stream`
    Module(String),
    /// an image, a Java archive, …
    Other,
}

/// A binary package as a fix has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rpm {
    pub(super) name: String,
    pub(super) fixed: FixedEvr,
    pub(super) arches: ArchSet,
    pub(super) module: Option<String>,
}

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// the rpm's version, epoch or name cannot be read
    Malformed,
    /// an architecture that is not known
    Architecture(String),
}

/// Reads a package URL of any type.
pub(super) fn from_purl(purl: &str) -> Result<Component, Unreadable> {
    let rest = purl.strip_prefix("pkg:").ok_or(Unreadable::Malformed)?;
    let (kind, rest) = rest.split_once('/').ok_or(Unreadable::Malformed)?;
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
    let (path, version) = path.split_once('@').unwrap_or((path, ""));
    let name = decoded(path.rsplit('/').next().unwrap_or_default())?;
    let version = decoded(version)?;
    match kind {
        "rpmmod" => module_node(path, &name, &version),
        "rpm" => {
            let qualifier = |key: &str| {
                let mut pairs = qualifiers
                    .split('&')
                    .filter_map(|pair| pair.split_once('='));
                pairs
                    .find(|(name, _)| *name == key)
                    .map(|(_, value)| decoded(value))
                    .transpose()
            };
            let module = qualifier("rpmmod")?;
            // some documents write the module itself so: its stream for a version, no architecture
            if let Some(label) = module.as_deref().filter(|_| !version.contains('-')) {
                let itself = label.starts_with(&format!("{name}:{version}:"));
                return module_of(label)
                    .filter(|_| itself)
                    .map(Component::Module)
                    .ok_or(Unreadable::Malformed);
            }
            rpm(
                &name,
                &version,
                qualifier("epoch")?,
                qualifier("arch")?,
                module,
            )
        }
        _ => Ok(Component::Other),
    }
}

/// `python36@3.6:8040020241213073301:9bf6f064`, or `php:7.2/php` without version.
fn module_node(path: &str, name: &str, version: &str) -> Result<Component, Unreadable> {
    let label = format!("{name}:{version}");
    let in_path = path.split('/').find(|part| part.contains(':'));
    let module = module_of(if version.is_empty() {
        in_path.unwrap_or_default()
    } else {
        &label
    });
    module.map(Component::Module).ok_or(Unreadable::Malformed)
}

fn decoded(text: &str) -> Result<Cow<'_, str>, Unreadable> {
    percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Unreadable::Malformed)
}

fn rpm(
    name: &str,
    version: &str,
    epoch: Option<Cow<'_, str>>,
    arch: Option<Cow<'_, str>>,
    module: Option<Cow<'_, str>>,
) -> Result<Component, Unreadable> {
    if matches!(arch.as_deref(), Some("src" | "nosrc")) {
        return Ok(Component::Aside);
    }
    let mut fixed = FixedEvr::parse(version).ok_or(Unreadable::Malformed)?;
    if let Some(epoch) = epoch {
        fixed.epoch = epoch.parse().map_err(|_| Unreadable::Malformed)?;
    }
    let module = match module {
        Some(label) => Some(module_of(&label).ok_or(Unreadable::Malformed)?),
        None => None,
    };
    if name.is_empty() {
        return Err(Unreadable::Malformed);
    }
    let arches = match arch {
        None => ArchSet::ANY,
        Some(arch) => {
            ArchSet::of(&arch).ok_or_else(|| Unreadable::Architecture(arch.into_owned()))?
        }
    };
    Ok(Component::Rpm(Rpm {
        name: name.to_owned(),
        fixed,
        arches,
        module,
    }))
}

/// Symbols and sources for debuggers, which no vulnerability lies in. Advisories ship them beside the
/// packages that they are of, and whoever has an old one lacks the advisory.
fn is_for_debuggers(name: &str) -> bool {
    name.ends_with("-debuginfo") || name.ends_with("-debugsource") || name.contains("-debuginfo-")
}

/// `ruby:2.5` of `ruby:2.5:8090020230627084142:b46abd14`.
pub(in crate::advisory) fn module_of(label: &str) -> Option<String> {
    let mut fields = label.split(':');
    let (name, stream) = (fields.next()?, fields.next()?);
    (!name.is_empty() && !stream.is_empty()).then(|| format!("{name}:{stream}"))
}

/// Reads an id without package URL: a NEVRA, with or without `.rpm`, and perhaps the module after
/// it (`….rpm-ruby:2.5`, `…::ruby:2.5`), or a module's label. `None` when it is neither.
pub(super) fn from_id(id: &str) -> Option<Result<Component, Unreadable>> {
    if let Some((nevra, module)) = id.split_once("::") {
        return nevra_of(nevra, Some(module));
    }
    if let Some((nevra, module)) = id.split_once(".rpm-") {
        return nevra_of(nevra, Some(module));
    }
    nevra_of(id.strip_suffix(".rpm").unwrap_or(id), None).or_else(|| {
        let fields: Vec<&str> = id.split(':').collect();
        let [_, _, version, _] = fields[..] else {
            return None;
        };
        let numbered = version.len() > 8 && version.bytes().all(|byte| byte.is_ascii_digit());
        Some(Ok(Component::Module(module_of(id).filter(|_| numbered)?)))
    })
}

/// The architecture is what tells a NEVRA from other ids, so it must be a known one.
fn nevra_of(text: &str, module: Option<&str>) -> Option<Result<Component, Unreadable>> {
    let (rest, arch) = text.rsplit_once('.')?;
    if ArchSet::of(arch).is_none() && !matches!(arch, "src" | "nosrc") {
        return None;
    }
    let (rest, release) = rest.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    let version = format!("{version}-{release}");
    Some(rpm(
        name,
        &version,
        None,
        Some(arch.into()),
        module.map(Cow::from),
    ))
}

/// A package that something is said of, whatever its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Concerned {
    pub(super) name: String,
    pub(super) named: Named,
    pub(super) module: Option<String>,
    pub(super) until: Option<FixedEvr>,
}

/// Reads a package URL, or the id of a component that has none; `None` when it is no package that
/// could be installed.
pub(super) fn concerned(
    purl: Option<&str>,
    id: Option<&str>,
) -> Result<Option<Concerned>, Unreadable> {
    let Some(purl) = purl else {
        return Ok(id.and_then(plain));
    };
    let rest = purl.strip_prefix("pkg:").ok_or(Unreadable::Malformed)?;
    let (kind, rest) = rest.split_once('/').ok_or(Unreadable::Malformed)?;
    match kind {
        "rpm" => {}
        // a module's package, which the id names after it: `log4j:2/log4j`
        "rpmmod" => return Ok(id.and_then(plain).filter(|it| it.module.is_some())),
        _ => return Ok(None),
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
    let (path, version) = path.split_once('@').unwrap_or((path, ""));
    let name = decoded(path.rsplit('/').next().unwrap_or_default())?;
    let (mut epoch, mut arch, mut module) = (None, None, None);
    for (key, value) in qualifiers
        .split('&')
        .filter_map(|pair| pair.split_once('='))
    {
        match key {
            "epoch" => epoch = Some(decoded(value)?),
            "arch" => arch = Some(decoded(value)?),
            "rpmmod" => module = Some(module_of(&decoded(value)?).ok_or(Unreadable::Malformed)?),
            _ => {}
        }
    }
    if name.is_empty() {
        return Err(Unreadable::Malformed);
    }
    let named = match arch.as_deref() {
        Some("src" | "nosrc") => Named::Source,
        _ => Named::Binary,
    };
    if named == Named::Binary && is_for_debuggers(&name) {
        return Ok(None);
    }
    // a package of a module may have the stream for a version
    let stream = module
        .as_deref()
        .and_then(|module: &str| module.split_once(':'));
    let mut until = match &*decoded(version)? {
        "" => None,
        version if stream.is_some_and(|(_, stream)| stream == version) => None,
        version => Some(FixedEvr::parse(version).ok_or(Unreadable::Malformed)?),
    };
    if let (Some(until), Some(epoch)) = (&mut until, epoch) {
        until.epoch = epoch.parse().map_err(|_| Unreadable::Malformed)?;
    }
    // `3.9-8040020240902080505.63cd9eba` is the version of a module, not of a package
    let build = |evr: &FixedEvr| {
        let digits = evr.release.split('.').next().unwrap_or_default();
        digits.len() > 12 && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    Ok(Some(Concerned {
        name: name.into_owned(),
        named,
        until: until.filter(|evr| module.is_none() || !build(evr)),
        module,
    }))
}

/// `kernel`, or `log4j:2/log4j` for a package of a module. Old documents mean source packages as well
/// as binary ones.
fn plain(id: &str) -> Option<Concerned> {
    let (module, name) = match id.split_once('/') {
        Some((label, name)) => (Some(module_of(label)?), name),
        None => (None, id),
    };
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    let good = !name.is_empty() && name.bytes().all(letter) && name != "Other";
    good.then(|| Concerned {
        name: name.to_owned(),
        named: Named::Either,
        module,
        until: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_without_a_version_are_read() {
        let shown = |purl: Option<&str>, id: &str| {
            let it = concerned(purl, Some(id)).expect(id);
            it.map_or_else(String::new, |it| {
                let until = it
                    .until
                    .map_or_else(|| "-".to_owned(), |evr| evr.to_string());
                let module = it.module.as_deref().unwrap_or("-");
                format!("{} {:?} {module} {until}", it.name, it.named)
            })
        };
        for (purl, wanted) in [
            ("pkg:rpm/redhat/sqlite-libs", "sqlite-libs Binary - -"),
            ("pkg:rpm/redhat/sqlite?arch=src", "sqlite Source - -"),
            (
                "pkg:rpm/redhat/npm?rpmmod=nodejs:22",
                "npm Binary nodejs:22 -",
            ),
            (
                "pkg:rpm/redhat/python3.12@3.12.1-4.el9_4.3?arch=src&epoch=1",
                "python3.12 Source - 1:3.12.1-4.el9_4.3",
            ),
            (
                "pkg:rpm/redhat/python39@3.9-8040020240902080505.63cd9eba?arch=src&epoch=0&rpmmod=python39:3.9",
                "python39 Source python39:3.9 -",
            ),
            (
                "pkg:rpm/redhat/log4j12@0.5?arch=src&rpmmod=parfait:0.5",
                "log4j12 Source parfait:0.5 -",
            ),
            ("pkg:rpm/redhat/tar-debuginfo", ""),
            ("pkg:oci/ose-console", ""),
            ("pkg:maven/a/b", ""),
        ] {
            assert_eq!(shown(Some(purl), "x"), wanted, "{purl}");
        }
        for (id, wanted) in [
            ("kernel", "kernel Either - -"),
            ("log4j:2/log4j", "log4j Either log4j:2 -"),
            ("Other", ""),
            ("openshift4/ose-console", ""),
            ("a name", ""),
        ] {
            assert_eq!(shown(None, id), wanted, "{id}");
        }
        for bad in [
            "pkg:rpm",
            "x",
            "pkg:rpm/redhat/?arch=src",
            "pkg:rpm/redhat/a@1",
            "pkg:rpm/redhat/a@1-1?epoch=x",
            "pkg:rpm/redhat/a?rpmmod=x",
            "pkg:rpm/redhat/%ff",
        ] {
            assert_eq!(
                concerned(Some(bad), None),
                Err(Unreadable::Malformed),
                "{bad}"
            );
        }
    }

    fn shown(component: &Component) -> String {
        match component {
            Component::Rpm(rpm) => {
                let arches: Vec<_> = rpm.arches.names().collect();
                let arches = if rpm.arches == ArchSet::ANY {
                    "any".to_owned()
                } else {
                    arches.join(",")
                };
                let module = rpm.module.as_deref().unwrap_or("-");
                format!("{} {} {arches} {module}", rpm.name, rpm.fixed)
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn package_urls_are_read() {
        for (purl, wanted) in [
            (
                "pkg:rpm/redhat/tar@1.30-4.el8?arch=x86_64&epoch=2",
                "tar 2:1.30-4.el8 x86_64 -",
            ),
            (
                "pkg:rpm/redhat/openssl@1.1.1k-9.el8_6?epoch=1",
                "openssl 1:1.1.1k-9.el8_6 any -",
            ),
            (
                "pkg:rpm/redhat/ruby@2.5.9-111.module%2Bel8.9.0%2B19193%2B435404ae?arch=i686&rpmmod=ruby:2.5:8090020230627084142:b46abd14",
                "ruby 2.5.9-111.module+el8.9.0+19193+435404ae i686 ruby:2.5",
            ),
            (
                "pkg:rpm/redhat/libstdc%2B%2B@8-1.el8?arch=noarch",
                "libstdc++ 8-1.el8 noarch -",
            ),
            ("pkg:rpm/redhat/tar@1.30-4.el8?arch=src&epoch=2", "Aside"),
            ("pkg:rpm/redhat/python?arch=src", "Aside"),
            (
                "pkg:rpm/redhat/tar-debuginfo@1.30-4.el8?arch=x86_64",
                "tar-debuginfo 1.30-4.el8 x86_64 -",
            ),
            (
                "pkg:rpmmod/redhat/python36@3.6:8040020241213073301:9bf6f064",
                "Module(\"python36:3.6\")",
            ),
            (
                "pkg:rpm/redhat/container-tools@rhel8?rpmmod=container-tools:rhel8:8090020230825121312:e7857ab1",
                "Module(\"container-tools:rhel8\")",
            ),
            ("pkg:rpmmod/redhat/php:7.2/php", "Module(\"php:7.2\")"),
            ("pkg:oci/ose-console@sha256:00?arch=amd64", "Other"),
            ("pkg:maven/io.quarkus/quarkus-core@3.2", "Other"),
        ] {
            assert_eq!(shown(&from_purl(purl).expect(purl)), wanted);
        }
    }

    #[test]
    fn broken_package_urls_are_told() {
        for bad in [
            "",
            "rpm/redhat/tar",
            "pkg:rpm",
            "pkg:rpm/redhat/tar@1?arch=x86_64",
            "pkg:rpm/redhat/tar?arch=x86_64",
            "pkg:rpm/redhat/@1-2?arch=x86_64",
            "pkg:rpm/redhat/tar@1-2?arch=x86_64&epoch=x",
            "pkg:rpm/redhat/tar@1-2?arch=x86_64&rpmmod=ruby",
            "pkg:rpm/redhat/%ff@1-2?arch=x86_64",
        ] {
            assert_eq!(from_purl(bad), Err(Unreadable::Malformed), "{bad}");
        }
        let arch = from_purl("pkg:rpm/redhat/tar@1-2?arch=z80");
        assert_eq!(arch, Err(Unreadable::Architecture("z80".to_owned())));
    }

    #[test]
    fn ids_without_package_url_are_read() {
        for (id, wanted) in [
            (
                "hivex-0:1.3.15-7.module+el8.1.0+4066+0f1aadab.aarch64",
                "hivex 1.3.15-7.module+el8.1.0+4066+0f1aadab aarch64 -",
            ),
            (
                "openssl-libs-1:1.1.1k-9.el8_6.i686",
                "openssl-libs 1:1.1.1k-9.el8_6 i686 -",
            ),
            (
                "ruby-2.5.9-111.module+el8.9.0+19193+435404ae.i686.rpm-ruby:2.5",
                "ruby 2.5.9-111.module+el8.9.0+19193+435404ae i686 ruby:2.5",
            ),
            (
                "ruby-0:3.1.4-142.module+el8.i686::ruby:3.1",
                "ruby 3.1.4-142.module+el8 i686 ruby:3.1",
            ),
            ("telnet-1:0.17-65.el7_6.src", "Aside"),
            (
                "python36:3.6:8040020241213073301:9bf6f064",
                "Module(\"python36:3.6\")",
            ),
        ] {
            let component = from_id(id).expect(id).expect(id);
            assert_eq!(shown(&component), wanted);
        }
        for other in [
            "AppStream-8.9.0.GA",
            "openshift4/ose-console@sha256:00_amd64",
            "",
            "a.b",
            "red_hat_products",
            "7Server-7.6.AUS",
        ] {
            assert_eq!(from_id(other), None, "{other}");
        }
    }
}
