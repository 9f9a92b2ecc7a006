//! What a login is for: a registry, or a namespace or repository in it.

/// Docker Hub's names.
const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];
/// How docker and its helpers know Docker Hub.
const HUB_SERVER: &str = "https://index.docker.io/v1/";

/// A registry and, below it, a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    /// lower case; Docker Hub by its first name
    host: String,
    /// `None`: all of it
    path: Option<String>,
}

impl Scope {
    pub(super) fn new(registry: &str, repository: Option<&str>) -> Self {
        let host = registry.to_ascii_lowercase();
        let host = if HUB.contains(&host.as_str()) {
            HUB[0].to_owned()
        } else {
            host
        };
        let path = repository
            .map(|path| path.trim_matches('/'))
            .filter(|path| !path.is_empty());
        Self {
            host,
            path: path.map(str::to_owned),
        }
    }

    /// A key as docker (`https://index.docker.io/v1/`, `quay.io`) or podman (`quay.io/team`) write
    /// it. A URL's path is that of the registry's API, not a namespace.
    pub(super) fn parse(key: &str) -> Self {
        let (url, rest) = match key.split_once("://") {
            Some((_, rest)) => (true, rest),
            None => (false, key),
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_api = url || matches!(path.trim_matches('/'), "v1" | "v2");
        Self::new(host, (!is_api).then_some(path))
    }

    /// All of a registry, not a namespace in it.
    pub(super) fn is_whole(&self) -> bool {
        self.path.is_none()
    }

    /// As docker and podman write it into their files.
    pub(super) fn key(&self) -> String {
        match &self.path {
            Some(path) => format!("{}/{path}", self.host),
            None => self.server().to_owned(),
        }
    }

    /// Does a login for this serve `wanted`?
    pub(super) fn covers(&self, wanted: &Self) -> bool {
        if self.host != wanted.host {
            return false;
        }
        match (&self.path, &wanted.path) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(path), Some(wanted)) => wanted
                .strip_prefix(path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// The longer, the more specific.
    pub(super) fn depth(&self) -> usize {
        self.path.as_ref().map_or(0, String::len)
    }

    /// The path, when it is one in the same registry as `other`.
    pub(super) fn path_in(self, other: &Self) -> Option<String> {
        self.path.filter(|_| self.host == other.host)
    }

    /// How a helper knows the registry.
    pub(super) fn server(&self) -> &str {
        if self.host == HUB[0] {
            HUB_SERVER
        } else {
            &self.host
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Scope;

    #[test]
    fn keys_cover_what_docker_and_podman_mean_by_them() {
        for (key, registry, repository, expected) in [
            ("quay.io", "quay.io", None, true),
            ("quay.io", "quay.io", Some("a/b"), true),
            ("QUAY.io", "quay.io", None, true),
            ("quay.io", "quay.io:443", None, false),
            ("https://quay.io", "quay.io", None, true),
            ("https://quay.io/v2/", "quay.io", Some("a"), true),
            ("quay.io/v1/", "quay.io", None, true),
            ("https://index.docker.io/v1/", "docker.io", None, true),
            ("docker.io", "registry-1.docker.io", None, true),
            ("index.docker.io", "docker.io", Some("library/a"), true),
            ("quay.io/a", "quay.io", None, false),
            ("quay.io/a", "quay.io", Some("a/b"), true),
            ("quay.io/a", "quay.io", Some("ab"), false),
            ("quay.io/a/b", "quay.io", Some("a"), false),
            ("quay.io/a/", "quay.io", Some("a"), true),
            (
                "docker.io/library",
                "index.docker.io",
                Some("library/a"),
                true,
            ),
        ] {
            let covers = Scope::parse(key).covers(&Scope::new(registry, repository));
            assert_eq!(covers, expected, "{key} for {registry} {repository:?}");
        }
    }

    #[test]
    fn helpers_know_docker_hub_by_its_url() {
        assert_eq!(
            Scope::new("docker.io", None).server(),
            "https://index.docker.io/v1/"
        );
        assert_eq!(
            Scope::new("localhost:5000", None).server(),
            "localhost:5000"
        );
    }
}
