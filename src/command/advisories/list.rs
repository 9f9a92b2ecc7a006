//! Lists of packages in text, in the place of an image: what each line says, and what the list as a
//! whole says of the release.

use crate::{
    advisory::{ArchSet, matching::Installed},
    oci::LayerIndex,
    rpm::Nevra,
};

/// What a list leaves open.
pub(super) struct Defaults<'a> {
    /// architecture of packages that name none
    pub(super) arch: Option<&'a str>,
    /// packages that name neither key nor vendor are Red Hat's
    pub(super) assume_signed: bool,
}

/// The vendor of Red Hat's packages.
const RED_HAT: &str = "Red Hat, Inc.";

/// Reads a list: columns between tabs (name, epoch, version, release, architecture, signing key, module
/// label, vendor, source package; the last four may be absent), or one NEVRA a line. Empty lines,
/// comments (`#`) and a line of headings are left out.
pub(super) fn packages(text: &str, defaults: &Defaults<'_>) -> Result<Vec<Installed>, String> {
    let mut list = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim_end();
        let is_heading = number == 1 && line.to_ascii_lowercase().starts_with("name\t");
        if line.trim_start().is_empty() || line.starts_with('#') || is_heading {
            continue;
        }
        let package = package(line).map_err(|why| format!("line {number}: {why}"))?;
        list.push(complete(package, defaults));
    }
    Ok(list)
}

fn package(line: &str) -> Result<Installed, String> {
    let columns: Vec<&str> = if line.contains('\t') {
        line.split('\t').map(str::trim).collect()
    } else {
        line.split_whitespace().collect()
    };
    if let [one] = columns[..] {
        let nevra = nevra(one);
        return nevra
            .map(|nevra| installed(nevra, [const { None }; 4]))
            .ok_or_else(|| {
                format!(
                    "`{}` is neither a line of columns nor `name-[epoch:]version-release.arch`",
                    short(one)
                )
            });
    }
    let [name, epoch, version, release, ref rest @ ..] = columns[..] else {
        return Err(format!(
            "there are {} columns; name, epoch, version, release and architecture are needed",
            columns.len()
        ));
    };
    let said = |text: &str| (!matches!(text, "" | "-" | "(none)")).then(|| text.to_owned());
    let epoch = match said(epoch).map(|epoch| epoch.parse::<u32>().map_err(|_| epoch)) {
        None => None,
        Some(Ok(epoch)) => Some(epoch),
        Some(Err(epoch)) => {
            return Err(format!("the epoch `{}` is no number", short(&epoch)));
        }
    };
    let [Some(name), Some(version), Some(release)] = [name, version, release].map(said) else {
        return Err("name, version and release must not be empty".to_owned());
    };
    let column = |at: usize| rest.get(at).and_then(|text| said(text));
    let nevra = Nevra {
        name,
        epoch,
        version,
        release,
        arch: column(0),
    };
    Ok(installed(nevra, [1, 2, 3, 4].map(column)))
}

fn installed(nevra: Nevra, [key, module, vendor, source]: [Option<String>; 4]) -> Installed {
    Installed {
        nevra,
        vendor,
        signing_key: key.as_deref().and_then(key_id),
        module,
        source: source.as_deref().and_then(Installed::source_name),
        layer: LayerIndex(0),
        repository: None,
    }
}

/// `[epoch:]name-[epoch:]version-release[.arch]`, the epoch in one of the places.
fn nevra(text: &str) -> Option<Nevra> {
    let text = text.strip_suffix(".rpm").unwrap_or(text);
    let (text, arch) = match text.rsplit_once('.') {
        Some((rest, arch)) if ArchSet::of(arch).is_some() || arch == "src" => (rest, Some(arch)),
        _ => (text, None),
    };
    let mut parts = text.rsplitn(3, '-');
    let (release, version, name) = (parts.next()?, parts.next()?, parts.next()?);
    let split = |text: &str| match text.split_once(':') {
        None => Some((None, text.to_owned())),
        Some((epoch, rest)) => Some((Some(epoch.parse::<u32>().ok()?), rest.to_owned())),
    };
    let (first, name) = split(name)?;
    let (second, version) = split(version)?;
    let whole = ![&*name, &*version, release].contains(&"");
    whole.then(|| Nevra {
        name,
        epoch: second.or(first),
        version,
        release: release.to_owned(),
        arch: arch.map(str::to_owned),
    })
}

/// The id of a key: the last 16 hex digits of it or of its fingerprint, also out of what rpm prints
/// (`RSA/SHA256, Tue 19 Mar 2019 12:00:00 AM UTC, Key ID 199e2f91fd431d51`).
fn key_id(text: &str) -> Option<String> {
    let text = text.rsplit(' ').next().unwrap_or(text);
    let text = text.strip_prefix("0x").unwrap_or(text).to_ascii_lowercase();
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let start = text.len().checked_sub(16).filter(|_| is_hex)?;
    text.get(start..).map(str::to_owned)
}

fn complete(mut package: Installed, defaults: &Defaults<'_>) -> Installed {
    let nevra = &mut package.nevra;
    if nevra.arch.is_none() && nevra.name != "gpg-pubkey" {
        nevra.arch = defaults.arch.map(str::to_owned);
    }
    let is_open = package.signing_key.is_none() && package.vendor.is_none();
    if is_open && defaults.assume_signed {
        package.vendor = Some(RED_HAT.to_owned());
    }
    package
}

/// The release that the package `redhat-release` says.
pub(super) fn release(list: &[Installed]) -> Option<&str> {
    let named = |package: &&Installed| {
        package.nevra.name == "redhat-release"
            || package.nevra.name.starts_with("redhat-release-")
                && package
                    .nevra
                    .version
                    .starts_with(|first: char| first.is_ascii_digit())
    };
    let found = list.iter().find(named)?;
    Some(&found.nevra.version)
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Installed {
        let defaults = Defaults {
            arch: None,
            assume_signed: false,
        };
        let mut list = packages(line, &defaults).expect(line);
        assert_eq!(list.len(), 1, "{line}");
        list.remove(0)
    }

    #[test]
    fn columns_are_read_with_what_may_be_absent() {
        let full = one(
            "httpd\t0\t2.4.37\t10.module+el8\tx86_64\tRSA/SHA256, Tue 19 Mar 2019 12:00:00 AM UTC, Key ID 199E2F91FD431D51\thttpd:2.4:8000020190405071959:55190bc5\tRed Hat, Inc.\thttpd-2.4.37-10.module+el8.src.rpm",
        );
        assert_eq!(
            full.nevra.to_string(),
            "httpd-0:2.4.37-10.module+el8.x86_64"
        );
        assert_eq!(full.signing_key.as_deref(), Some("199e2f91fd431d51"));
        assert!(full.module.is_some() && full.is_red_hat());
        assert_eq!(full.source.as_deref(), Some("httpd"));
        let short =
            one("bash\t(none)\t4.4\t1.el8\tx86_64\t567E347AD0044ADE55BA8A5F199E2F91FD431D51");
        assert_eq!(short.nevra.epoch, None);
        assert!(short.is_red_hat());
        let bare = one("bash 0 4.4 1.el8");
        assert_eq!(
            (bare.nevra.arch.as_deref(), bare.is_red_hat()),
            (None, false)
        );
    }

    #[test]
    fn plain_names_are_taken_apart() {
        for (text, want) in [
            ("bash-4.4.19-7.el8.x86_64", "bash-4.4.19-7.el8.x86_64"),
            ("bind-32:9.11-4.el8.noarch", "bind-32:9.11-4.el8.noarch"),
            ("32:bind-9.11-4.el8.noarch.rpm", "bind-32:9.11-4.el8.noarch"),
            ("python3-pip-9.0.3-13.el8", "python3-pip-9.0.3-13.el8"),
            (
                "gpg-pubkey-fd431d51-4ae0493b",
                "gpg-pubkey-fd431d51-4ae0493b",
            ),
        ] {
            assert_eq!(one(text).nevra.to_string(), want);
        }
        let defaults = Defaults {
            arch: Some("s390x"),
            assume_signed: true,
        };
        let list = packages("# list\n\nbash-4.4-1\nzsh-1-1.noarch\n", &defaults).unwrap();
        let arches: Vec<_> = list.iter().map(|one| one.nevra.arch.as_deref()).collect();
        assert_eq!(arches, [Some("s390x"), Some("noarch")]);
        assert!(list.iter().all(Installed::is_red_hat));
    }

    #[test]
    fn a_line_that_says_nothing_is_named() {
        let defaults = Defaults {
            arch: None,
            assume_signed: false,
        };
        for (text, why) in [
            ("name\tepoch\nbash\t0\t1", "line 2: there are 3 columns"),
            (
                "bash\tone\t1\t1\tx86_64",
                "line 1: the epoch `one` is no number",
            ),
            ("bash", "line 1: `bash` is neither"),
            ("bash\t0\t\t1\tx86_64", "line 1: name, version and release"),
        ] {
            let told = packages(text, &defaults).unwrap_err();
            assert!(told.starts_with(why), "{told}");
        }
        assert_eq!(packages("", &defaults), Ok(Vec::new()));
    }

    #[test]
    fn the_release_is_that_of_its_package() {
        let list = |name: &str| vec![one(&format!("{name}\t0\t8.4\t1.el8\tx86_64"))];
        assert_eq!(release(&list("redhat-release")), Some("8.4"));
        assert_eq!(release(&list("redhat-release-server")), Some("8.4"));
        assert_eq!(release(&list("bash")), None);
    }
}
