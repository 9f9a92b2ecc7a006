//! CPE names of products, and whether an advisory's product is one that an image draws from.

use std::fmt;

/// What counts of a CPE, in the URI form (`cpe:/a:redhat:openstack:16.2::el8`) or the formatted one
/// (`cpe:2.3:a:redhat:…`). Absent, `*` and `-` are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cpe {
    part: char,
    vendor: String,
    product: String,
    version: String,
    edition: String,
}

impl Cpe {
    /// `None` when it is no CPE with part, vendor and product.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text
            .strip_prefix("cpe:/")
            .or_else(|| text.strip_prefix("cpe:2.3:"))?;
        let mut fields = rest.split(':').map(|field| match field {
            "*" | "-" => "",
            other => other,
        });
        let mut part = fields.next()?.chars();
        let (Some(part @ ('a' | 'o' | 'h')), None) = (part.next(), part.next()) else {
            return None;
        };
        let vendor = fields.next()?.to_ascii_lowercase();
        let product = fields.next()?.to_ascii_lowercase();
        let version = fields.next().unwrap_or_default().to_owned();
        // between version and edition stands `update`
        let edition = fields.nth(1).unwrap_or_default().to_owned();
        (!vendor.is_empty() && !product.is_empty()).then_some(Self {
            part,
            vendor,
            product,
            version,
            edition,
        })
    }

    /// `redhat:enterprise_linux`, without version.
    pub fn is_main_rhel(&self) -> bool {
        self.vendor == "redhat" && self.product == "enterprise_linux"
    }

    /// A stream of RHEL with support of its own for a minor version: EUS, E4S, AUS, TUS and their
    /// like.
    pub fn is_extended_rhel(&self) -> bool {
        let streams = ["eus", "e4s", "aus", "tus", "mission_critical"];
        let stream = self.product.strip_prefix("rhel_").unwrap_or_default();
        self.vendor == "redhat" && streams.iter().any(|known| stream.starts_with(known))
    }

    /// Any stream of RHEL itself.
    pub fn is_rhel(&self) -> bool {
        self.is_main_rhel() || (self.vendor == "redhat" && self.product.starts_with("rhel_"))
    }

    /// `9` of `9.2`.
    pub fn major(&self) -> &str {
        self.version.split('.').next().unwrap_or_default()
    }

    /// As written, `9.2`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// `redhat:openstack:16.0`: what life-cycle dates are kept by.
    pub fn key(&self) -> String {
        format!("{}:{}:{}", self.vendor, self.product, self.version)
    }

    /// A row of this product counts for an image that draws from `image`: vendor, product and
    /// version are equal, the version by its dotted parts, never as a text's beginning. The part
    /// does not matter for RHEL (`o` for the base system, `a` for the rest), the channel never does; but where
    /// both name a platform (`el8`, `el9`), it must be the same.
    pub fn fits(&self, image: &Self) -> bool {
        self.version.split('.').eq(image.version.split('.')) && self.is_of(image)
    }

    /// The same for what is said of products without a fix: there a version may leave out its last
    /// parts, `openshift:4` for every 4.
    pub fn covers(&self, image: &Self) -> bool {
        let mut image_parts = image.version.split('.');
        let own = self
            .version
            .split('.')
            .all(|part| image_parts.next() == Some(part));
        own && self.is_of(image)
    }

    fn is_of(&self, image: &Self) -> bool {
        let platform = match (platform(&self.edition), platform(&image.edition)) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        };
        self.vendor == image.vendor
            && self.product == image.product
            && (self.part == image.part || self.is_rhel())
            && platform
    }
}

/// `el8` and `el7.4` are platforms, `appstream` is a channel.
fn platform(edition: &str) -> Option<&str> {
    let digits = edition.strip_prefix("el")?;
    digits
        .starts_with(|first: char| first.is_ascii_digit())
        .then_some(digits)
}

impl fmt::Display for Cpe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpe:/{}:{}:{}", self.part, self.vendor, self.product)?;
        let edition = if self.edition.is_empty() {
            String::new()
        } else {
            format!("::{}", self.edition)
        };
        match (self.version.as_str(), edition.as_str()) {
            ("", "") => Ok(()),
            (version, edition) => write!(f, ":{version}{edition}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cpe;

    fn cpe(text: &str) -> Cpe {
        Cpe::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    const FITS: &[(&str, &str, bool)] = &[
        (
            "cpe:/a:redhat:enterprise_linux:8::appstream",
            "cpe:/o:redhat:enterprise_linux:8::baseos",
            true,
        ),
        (
            "cpe:/o:redhat:enterprise_linux:8",
            "cpe:/a:redhat:enterprise_linux:8::appstream",
            true,
        ),
        (
            "cpe:/o:redhat:enterprise_linux:8::baseos",
            "cpe:/o:redhat:enterprise_linux:9::baseos",
            false,
        ),
        (
            "cpe:/o:redhat:enterprise_linux:10.0",
            "cpe:/o:redhat:enterprise_linux:10.0::baseos",
            true,
        ),
        (
            "cpe:/o:redhat:enterprise_linux:10.1",
            "cpe:/o:redhat:enterprise_linux:10.0::baseos",
            false,
        ),
        (
            "cpe:/o:redhat:enterprise_linux:9::baseos",
            "cpe:/o:redhat:rhel_eus:9.2::baseos",
            false,
        ),
        (
            "cpe:/a:redhat:rhel_eus:9.2::appstream",
            "cpe:/o:redhat:rhel_eus:9.2::baseos",
            true,
        ),
        (
            "cpe:/a:redhat:rhel_e4s:9.2::appstream",
            "cpe:/o:redhat:rhel_eus:9.2::baseos",
            false,
        ),
        (
            "cpe:/a:redhat:openstack:16.1::el8",
            "cpe:/a:redhat:openstack:16::el8",
            false,
        ),
        (
            "cpe:/a:redhat:openstack:16::el8",
            "cpe:/a:redhat:openstack:16.2::el8",
            false,
        ),
        (
            "cpe:/a:redhat:openstack:17.1::el8",
            "cpe:/a:redhat:openstack:17.1::el9",
            false,
        ),
        (
            "cpe:/a:redhat:openstack:17.1::el9",
            "cpe:/a:redhat:openstack:17.1::el9",
            true,
        ),
        (
            "cpe:/a:redhat:openstack:17.1",
            "cpe:/a:redhat:openstack:17.1::el9",
            true,
        ),
        (
            "cpe:/a:redhat:openshift:4.1::el8",
            "cpe:/a:redhat:openshift:4.13::el8",
            false,
        ),
        (
            "cpe:/o:redhat:openshift:4.13::el8",
            "cpe:/a:redhat:openshift:4.13::el8",
            false,
        ),
        (
            "cpe:2.3:a:redhat:openshift:4.13:*:el8:*:*:*:*:*",
            "cpe:/a:redhat:openshift:4.13::el8",
            true,
        ),
    ];

    #[test]
    fn products_fit_by_whole_version_parts() {
        for (row, image, fits) in FITS.iter().copied() {
            assert_eq!(cpe(row).fits(&cpe(image)), fits, "{row} for {image}");
        }
    }

    #[test]
    fn products_without_a_fix_cover_whole_version_parts() {
        for (row, image, covers) in [
            (
                "cpe:/a:redhat:openshift:4",
                "cpe:/a:redhat:openshift:4.13::el8",
                true,
            ),
            (
                "cpe:/a:redhat:openshift:4.1",
                "cpe:/a:redhat:openshift:4.13::el8",
                false,
            ),
            (
                "cpe:/o:redhat:enterprise_linux:10",
                "cpe:/o:redhat:enterprise_linux:10.0",
                true,
            ),
            (
                "cpe:/o:redhat:enterprise_linux:10.1",
                "cpe:/o:redhat:enterprise_linux:10.0",
                false,
            ),
            (
                "cpe:/o:redhat:enterprise_linux:1",
                "cpe:/o:redhat:enterprise_linux:10.0",
                false,
            ),
            (
                "cpe:/a:redhat:enterprise_linux:8",
                "cpe:/o:redhat:enterprise_linux:8::baseos",
                true,
            ),
            (
                "cpe:/a:redhat:openstack",
                "cpe:/a:redhat:openstack:16.2::el8",
                false,
            ),
        ] {
            assert_eq!(cpe(row).covers(&cpe(image)), covers, "{row} for {image}");
        }
    }

    #[test]
    fn what_is_no_cpe_is_refused_and_the_rest_is_written_as_read() {
        for bad in [
            "",
            "cpe:/",
            "cpe:/x:redhat:y",
            "cpe:/a:redhat",
            "cpe:/a::",
            "redhat:rhel",
        ] {
            assert_eq!(Cpe::parse(bad), None, "{bad}");
        }
        for good in [
            "cpe:/o:redhat:rhel_els:6",
            "cpe:/a:redhat:openstack:17.1::el9",
            "cpe:/o:redhat:rhel",
        ] {
            assert_eq!(cpe(good).to_string(), good);
        }
    }
}
