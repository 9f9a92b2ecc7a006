//! Image references: `registry/repository[:tag][@digest]` (distribution-spec grammar).
//!
//! Strict: nothing is filled in. Defaulting (`docker.io/library`, `latest`) is a named function
//! called at the edge of the command line.

use std::{fmt, str::FromStr};

use super::Digest;

/// Longest tag (distribution-spec, "Pulling manifests").
const MAX_TAG: usize = 128;
/// Longest repository path that registries take.
const MAX_REPOSITORY: usize = 255;

/// `registry/repository[:tag][@digest]`, every part as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// host name with optional port
    pub registry: String,
    /// path below the registry
    pub repository: String,
    /// tag, at most 128 characters
    pub tag: Option<String>,
    /// digest of the manifest
    pub digest: Option<Digest>,
}

/// Why a text is not an image reference.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct ReferenceError {
    /// what was given
    pub text: String,
    /// what is wrong with it
    pub reason: String,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest
            .iter()
            .try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::strict(text).map_err(|reason| ReferenceError {
            text: text.to_owned(),
            reason,
        })
    }
}

impl Reference {
    /// Reads a reference as `docker` and `podman` users write it: without a registry it is on
    /// `docker.io`, a single name there is below `library`, and without tag and digest the tag is
    /// `latest`. Only for what a person types; everything stored or configured is strict.
    ///
    /// # Errors
    /// When the completed reference does not keep the grammar.
    pub fn parse_familiar(text: &str) -> Result<Self, ReferenceError> {
        let fail = |reason: String| ReferenceError {
            text: text.to_owned(),
            reason,
        };
        let (name, _) = split_digest(text);
        if name.len() == 64 && is_hex(name) {
            return Err(fail(
                "it is an image id; name the image by repository instead".to_owned(),
            ));
        }
        let full = match text.split_once('/') {
            Some(("index.docker.io" | "docker.io", rest)) => {
                let library = if rest.contains('/') { "" } else { "library/" };
                format!("docker.io/{library}{rest}")
            }
            Some((host, _)) if looks_like_registry(host) => text.to_owned(),
            Some(_) => format!("docker.io/{text}"),
            None => format!("docker.io/library/{text}"),
        };
        let mut reference = Self::strict(&full).map_err(fail)?;
        if reference.tag.is_none() && reference.digest.is_none() {
            reference.tag = Some("latest".to_owned());
        }
        Ok(reference)
    }

    fn strict(text: &str) -> Result<Self, String> {
        let (named, digest) = split_digest(text);
        let digest = digest.map(parse_digest).transpose()?;
        let (name, tag) = split_tag(named);
        tag.map(check_tag).transpose()?;
        let Some((registry, repository)) = name.split_once('/') else {
            return Err("it has no registry; write it in full, such as \
                        registry.example.com/project/image:1.0-1"
                .to_owned());
        };
        if !looks_like_registry(registry) {
            return Err(format!(
                "`{registry}` is not a registry's host name; write the registry in full, such as \
                 docker.io/{name}"
            ));
        }
        check_registry(registry)?;
        check_repository(repository)?;
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

fn split_digest(text: &str) -> (&str, Option<&str>) {
    match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    }
}

/// The tag follows the last colon after the last slash; an earlier one belongs to a port.
fn split_tag(named: &str) -> (&str, Option<&str>) {
    match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && name.contains('/') => (name, Some(tag)),
        _ => (named, None),
    }
}

/// Docker's rule to tell a host from the first component of a path.
fn looks_like_registry(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    let digest = Digest::from_str(text).map_err(|error| format!("digest `{text}`: {error}"))?;
    // The grammar of references is narrower than that of descriptors: hexadecimal, 32 or more.
    if digest.digest().len() < 32 || !digest.digest().bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!(
            "digest `{text}` is not algorithm:hexadecimal with at least 32 digits"
        ));
    }
    Ok(digest)
}

fn check_tag(tag: &str) -> Result<(), String> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    match tag.as_bytes() {
        [] => Err("the tag is empty".to_owned()),
        bytes if bytes.len() > MAX_TAG => {
            Err(format!("the tag is longer than {MAX_TAG} characters"))
        }
        [first, ..] if !word(*first) => Err(format!(
            "the tag `{tag}` does not start with a letter, digit or `_`"
        )),
        bytes if !bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-') => Err(format!(
            "the tag `{tag}` has characters other than letters, digits and `_ . -`"
        )),
        _ => Ok(()),
    }
}

fn check_registry(registry: &str) -> Result<(), String> {
    let fail = || format!("`{registry}` is not a host name with an optional port");
    let (host, port) = if let Some(rest) = registry.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(fail)?;
        let groups = host.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        if host.is_empty() || !groups {
            return Err(fail());
        }
        (
            None,
            port.strip_prefix(':').or((!port.is_empty()).then_some("")),
        )
    } else {
        match registry.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(registry), None),
        }
    };
    let host_ok = host.is_none_or(|host| host.split('.').all(is_host_component));
    let port_ok = port.is_none_or(|port| {
        !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    if host_ok && port_ok {
        Ok(())
    } else {
        Err(fail())
    }
}

fn is_host_component(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('-')
        && !part.ends_with('-')
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn check_repository(repository: &str) -> Result<(), String> {
    if repository.len() > MAX_REPOSITORY {
        return Err(format!(
            "the repository path is longer than {MAX_REPOSITORY} characters"
        ));
    }
    for component in repository.split('/') {
        if component.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(format!(
                "`{component}` has upper-case letters; a repository path is lower-case"
            ));
        }
        if !is_path_component(component) {
            return Err(format!(
                "`{component}` is not a path component: lower-case letters and digits, separated \
                 by one `.`, one or two `_`, or any number of `-`"
            ));
        }
    }
    Ok(())
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(component: &str) -> bool {
    let alnum = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
    let bytes = component.as_bytes();
    let ends_ok =
        bytes.first().is_some_and(|&b| alnum(b)) && bytes.last().is_some_and(|&b| alnum(b));
    ends_ok
        && bytes
            .split(|&b| alnum(b))
            .all(|run| matches!(run, b"" | b"." | b"_" | b"__") || run.iter().all(|&b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::Reference;

    const SHA: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn strict_references_are_read_and_printed_alike() {
        for text in [
            "registry.example.com/a/b:1.0-1".to_owned(),
            "localhost/a".to_owned(),
            "localhost:5000/a/b_c/d__e/f---g.h:_x".to_owned(),
            "[2001:db8::1]:5000/a:t".to_owned(),
            "[::1]/a".to_owned(),
            "127.0.0.1:5443/a/b".to_owned(),
            format!("scan.connect.redhat.com/p1/x@{SHA}"),
            format!("quay.io/x/y:t@{SHA}"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_strict_reference_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "no registry"),
            ("nginx", "no registry"),
            ("nginx:1", "no registry"),
            ("library/nginx", "docker.io/library/nginx"),
            ("quay.io/", "path component"),
            ("quay.io/A/b", "upper-case"),
            ("quay.io/a/b:", "empty"),
            ("quay.io/a/b:-x", "start"),
            ("quay.io/a/b:x y", "characters"),
            ("quay.io/a/../b", "path component"),
            ("quay.io/a.-b", "path component"),
            ("quay.io/a___b", "path component"),
            ("-quay.io/a", "host name"),
            ("quay.io:/a", "host name"),
            ("quay.io:99999/a", "host name"),
            ("[::1]x/a", "host name"),
            ("[zz::1]:5/a", "host name"),
            ("quay.io/a@sha256:12", "digest"),
            (
                "quay.io/a@md5:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
                "digest",
            ),
            ("quay.io/a@b@c", "digest"),
            ("https://quay.io/a", "host name"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let long = format!("quay.io/a:{}", "x".repeat(129));
        assert!(
            long.parse::<Reference>()
                .unwrap_err()
                .reason
                .contains("128")
        );
        let deep = format!("quay.io/{}", "a/".repeat(128) + "a");
        assert!(
            deep.parse::<Reference>()
                .unwrap_err()
                .reason
                .contains("255")
        );
    }

    #[test]
    fn familiar_names_are_completed_as_docker_does() {
        for (text, want) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.25", "docker.io/library/nginx:1.25"),
            ("user/nginx", "docker.io/user/nginx:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/nginx:2", "docker.io/library/nginx:2"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("quay.io/a/b:1", "quay.io/a/b:1"),
        ] {
            assert_eq!(Reference::parse_familiar(text).unwrap().to_string(), want);
        }
        let pinned = format!("nginx@{SHA}");
        let reference = Reference::parse_familiar(&pinned).unwrap();
        assert_eq!(reference.tag, None);
        assert!(Reference::parse_familiar(&"a".repeat(64)).is_err());
        assert!(Reference::parse_familiar("Nginx").is_err());
    }

    /// The grammar as the `distribution/reference` package writes it.
    fn grammar() -> Regex {
        let host = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
        let path = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*";
        Regex::new(&format!(
            r"\A(?:{host}(?:\.{host})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?(?:/{path})+(?::[0-9A-Za-z_][0-9A-Za-z_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?\z"
        ))
        .unwrap()
    }

    proptest! {
        #[test]
        fn the_parser_agrees_with_the_grammar(
            text in r"(localhost|a\.b|\[::1\]|-a\.c|a\.)(:[0-9]{0,4})?(/[a-cA._-]{1,5}){0,3}(:[a-z._-]{0,4})?"
        ) {
            let ok = text.parse::<Reference>().is_ok();
            prop_assert_eq!(ok, grammar().is_match(&text), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused_and_reading_is_stable(text in r"\PC{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string(), text.as_str());
            }
            if let Ok(reference) = Reference::parse_familiar(&text) {
                let again: Reference = reference.to_string().parse().unwrap();
                prop_assert_eq!(again, reference);
            }
        }
    }
}
