//! Secrets left in text files: private keys, credential files, tokens. Each pattern asks for more
//! than a prefix, because a finding that is none teaches people to look away.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use super::content::is_text;
use crate::oci::ImagePath;

/// A secret-looking content.
#[derive(Debug)]
pub(super) struct Trace {
    /// which change of the layer brings it
    pub(super) change: usize,
    pub(super) what: &'static str,
}

/// A pattern whose first group, if it has one, is the secret itself.
struct Pattern {
    what: &'static str,
    regex: Regex,
}

/// A file that holds credentials by its name, if its content matches.
struct CredentialFile {
    /// how the path ends, by component
    suffixes: &'static [&'static [u8]],
    pattern: Pattern,
}

const PRIVATE_KEY: &str = "private key (PEM)";

/// What any of [`TOKENS`] must contain: one quick look at content that nearly always has none.
static CANDIDATE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        "PRIVATE KEY|gh[pousr]_|github_pat_|glpat-|xox[bpars]-|npm_[0-9A-Za-z]{36}|pypi-AgE|sk_live_|AIza|ecret_?[aA]ccess_?[kK]ey|ECRET_ACCESS_KEY",
    )
});

static TOKENS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    [
        (
            PRIVATE_KEY,
            r"-----BEGIN (?:(?:RSA|DSA|EC|OPENSSH|ENCRYPTED) )?PRIVATE KEY-----(?:\s|\\[nr])*(?:[A-Za-z-]+: ?[^\n]*\n\s*)*([A-Za-z0-9+/]{40,})",
        ),
        (
            "private key (OpenPGP)",
            r"-----BEGIN PGP PRIVATE KEY BLOCK-----\s*(?:[A-Za-z-]+: ?[^\n]*\n\s*)*([A-Za-z0-9+/]{40,})",
        ),
        ("GitHub token", r"\b(gh[pousr]_[A-Za-z0-9]{36,251})\b"),
        ("GitHub token", r"\b(github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b"),
        ("GitLab token", r"\b(glpat-[A-Za-z0-9_-]{20,64})"),
        ("Slack token", r"\b(xox[bpars]-[0-9]{8,}-[A-Za-z0-9-]{16,})"),
        ("npm token", r"\b(npm_[A-Za-z0-9]{36})\b"),
        ("PyPI token", r"\b(pypi-AgE[A-Za-z0-9_-]{60,})"),
        ("Stripe key", r"\b(sk_live_[A-Za-z0-9]{24,99})\b"),
        ("Google API key", r"\b(AIza[A-Za-z0-9_-]{35})\b"),
        (
            "AWS secret access key",
            r#"(?i)secret_?access_?key["']?\s*[:=]\s*["']?([a-z0-9/+]{40})\b"#,
        ),
    ]
    .into_iter()
    .map(|(what, pattern)| Pattern {
        what,
        regex: regex(pattern),
    })
    .collect()
});

static FILES: LazyLock<Vec<CredentialFile>> = LazyLock::new(|| {
    const URL: &str = r"://[^/\s:@]+:([^/\s@$]+)@";
    const AUTHS: &str = r#""(?:auth|identitytoken|registrytoken)"\s*:\s*"([A-Za-z0-9+/=._-]{8,})""#;
    let table: [(&[&[u8]], &str, &str); 10] = [
        (
            &[
                b".docker/config.json",
                b".dockercfg",
                b"containers/auth.json",
            ],
            "registry credentials",
            AUTHS,
        ),
        (
            &[b".aws/credentials"],
            "AWS credentials",
            r"(?m)^\s*aws_secret_access_key\s*=\s*(\S{16,})",
        ),
        (
            &[b".netrc", b"_netrc"],
            "passwords of .netrc",
            r"\bpassword\s+([^\s$]\S*)",
        ),
        (
            &[b".npmrc"],
            "npm credentials",
            r"(?:_authToken|_password|_auth)\s*=\s*([^\s$]{8,})",
        ),
        (&[b".git-credentials"], "git credentials", URL),
        (&[b".git/config"], "git credentials", URL),
        (
            &[b".pypirc"],
            "PyPI credentials",
            r"(?m)^\s*password\s*[:=]\s*([^\s$]\S*)",
        ),
        (
            &[b".kube/config"],
            "Kubernetes credentials",
            r"(?m)^\s*-?\s*(?:client-key-data|token|password)\s*:\s*(\S{8,})",
        ),
        (
            &[b".config/gh/hosts.yml"],
            "GitHub token",
            r"oauth_token:\s*(\S{8,})",
        ),
        (
            &[b".config/gcloud/application_default_credentials.json"],
            "Google Cloud credentials",
            r#""(?:refresh_token|private_key)"\s*:\s*"([^"]{8,})""#,
        ),
    ];
    table
        .into_iter()
        .map(|(suffixes, what, pattern)| CredentialFile {
            suffixes,
            pattern: Pattern {
                what,
                regex: regex(pattern),
            },
        })
        .collect()
});

/// Bytes, not text: what is searched need not be UTF-8.
fn regex(pattern: &str) -> Regex {
    RegexBuilder::new(pattern)
        .unicode(false)
        .build()
        .expect("the patterns of this file are tested to compile")
}

/// The words of [`search`] that are these.
pub(super) fn named(what: &str) -> Option<&'static str> {
    let files = FILES.iter().map(|file| &file.pattern);
    let mut all = TOKENS.iter().chain(files).map(|pattern| pattern.what);
    all.find(|&known| known == what)
}

/// What secret the content of a file looks like.
pub(super) fn search(path: &ImagePath, content: &[u8]) -> Option<&'static str> {
    if !is_text(content) {
        return None;
    }
    let path = path.as_bytes();
    let by_name = FILES
        .iter()
        .filter(|file| file.suffixes.iter().any(|suffix| ends_with(path, suffix)))
        .map(|file| &file.pattern)
        .find(|pattern| pattern.finds(content));
    if let Some(pattern) = by_name {
        return Some(pattern.what);
    }
    if !CANDIDATE.is_match(content) || is_test_data(path) {
        return None;
    }
    TOKENS
        .iter()
        .find(|pattern| pattern.finds(content))
        .map(|pattern| pattern.what)
}

impl Pattern {
    fn finds(&self, content: &[u8]) -> bool {
        self.regex
            .captures_iter(content)
            .filter_map(|found| found.get(1))
            .any(|secret| is_plausible(secret.as_bytes()))
    }
}

/// Placeholders are no secrets: `xxxx…`, `EXAMPLE`, `your-token`.
fn is_plausible(secret: &[u8]) -> bool {
    let lower = secret.to_ascii_lowercase();
    let has = |word: &[u8]| lower.windows(word.len()).any(|window| window == word);
    let mut seen = [false; 256];
    for &byte in secret {
        if let Some(seen) = seen.get_mut(usize::from(byte)) {
            *seen = true;
        }
    }
    let distinct = seen.iter().filter(|&&seen| seen).count();
    let wanted = if secret.len() >= 32 { 10 } else { 3 };
    distinct >= wanted && !has(b"example") && !has(b"your_") && !has(b"your-") && !has(b"xxxx")
}

fn ends_with(path: &[u8], suffix: &[u8]) -> bool {
    path.strip_suffix(suffix)
        .is_some_and(|front| front.is_empty() || front.ends_with(b"/"))
}

/// Libraries ship keys for their own tests.
fn is_test_data(path: &[u8]) -> bool {
    let has = |names: &[&[u8]]| {
        path.split(|&byte| byte == b'/')
            .any(|part| names.contains(&part))
    };
    let library = has(&[
        b"site-packages",
        b"dist-packages",
        b"node_modules",
        b"gems",
        b"perl5",
        b"mod",
    ]) || path.starts_with(b"usr/lib/python")
        || path.starts_with(b"usr/lib64/python");
    library
        && has(&[
            b"test",
            b"tests",
            b"testing",
            b"testdata",
            b"test_data",
            b"fixtures",
            b"examples",
            b"certs",
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made of parts, so that this file holds no secret by its own rules.
    fn key(kind: &str) -> String {
        let body = "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy0AHB7MhgwMbRvI0MBZhpI";
        format!(
            "-----BEGIN {kind}PRIVATE{} KEY-----\n{body}\n{body}\n-----END\n",
            ""
        )
    }

    #[test]
    fn secrets_are_found() {
        let token =
            |prefix: &str| format!("x = {prefix}{}\n", "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5");
        for (path, content, want) in [
            ("root/key.pem", key("RSA "), Some(PRIVATE_KEY)),
            ("root/.ssh/id_ed25519", key("OPENSSH "), Some(PRIVATE_KEY)),
            ("a.json", key("").replace('\n', "\\n"), Some(PRIVATE_KEY)),
            ("a", key("").replace("PRIVATE", "PUBLIC"), None),
            (
                "a.py",
                "\"-----BEGIN RSA PRIVATE KEY-----\" in text".into(),
                None,
            ),
            ("a", token("ghp_"), Some("GitHub token")),
            ("a", token("glpat-"), Some("GitLab token")),
            ("a", format!("ghp_{}", "x".repeat(36)), None),
            ("a", token("npm_"), Some("npm token")),
            (
                "root/.docker/config.json",
                r#"{"auths":{"quay.io":{"auth":"dXNlcjpodW50ZXIy"}}}"#.into(),
                Some("registry credentials"),
            ),
            ("root/.docker/config.json", r#"{"auths":{}}"#.into(), None),
            (
                "root/.aws/credentials",
                format!(
                    "[default]\naws_secret_access_key = {}\n",
                    "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5hI7j"
                ),
                Some("AWS credentials"),
            ),
            (
                "root/.aws/credentials",
                "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
                None,
            ),
            ("root/.npmrc", "//r/:_authToken=${NPM_TOKEN}\n".into(), None),
            (
                "root/.npmrc",
                "//r/:_authToken=0a1b2c3d4e\n".into(),
                Some("npm credentials"),
            ),
            (
                "root/.git-credentials",
                "https://u:hunter2@h\n".into(),
                Some("git credentials"),
            ),
            (
                "root/.netrc",
                "machine h login u password hunter2".into(),
                Some("passwords of .netrc"),
            ),
            ("usr/lib64/python3.9/test/keycert.pem", key(""), None),
            ("opt/x/site-packages/tornado/test/test.key", key(""), None),
            ("etc/pki/entitlement/1-key.pem", key(""), Some(PRIVATE_KEY)),
        ] {
            assert_eq!(
                search(&ImagePath::from(path), content.as_bytes()),
                want,
                "{path}: {content}"
            );
        }
        let mut binary = key("RSA ").into_bytes();
        binary.insert(0, 0);
        assert_eq!(search(&ImagePath::from("a"), &binary), None);
    }
}
