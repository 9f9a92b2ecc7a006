//! Image names as Docker and `BuildKit` complete and shorten them. They decide by these rules which
//! image a `FROM` means, so the same rules hold here; the strict grammar is `oci::Reference`.

/// A completed name: registry, repository, and tag or digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageName {
    /// `docker.io` when none was written
    pub(crate) registry: String,
    /// `library/…` when it was a single word of `docker.io`
    pub(crate) repository: String,
    /// `latest` when neither tag nor digest was written
    pub(crate) tag: Option<String>,
    /// digest
    pub(crate) digest: Option<String>,
}

impl ImageName {
    /// Completes what a Dockerfile says; `None` when it can be no image name.
    pub(crate) fn complete(text: &str) -> Option<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
                (host, path.to_owned())
            }
            Some(_) => ("docker.io", name.to_owned()),
            None => ("docker.io", format!("library/{name}")),
        };
        let registry = if registry == "index.docker.io" {
            "docker.io"
        } else {
            registry
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if name.is_empty() || repository.is_empty() || !repository.chars().all(plain) {
            return None;
        }
        let tag = match (&tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            _ => tag,
        };
        Some(Self {
            registry: registry.to_owned(),
            repository,
            tag,
            digest,
        })
    }

    /// Registry and repository.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// With everything written out.
    pub(crate) fn full(&self) -> String {
        self.with_suffix(self.path())
    }

    /// As `BuildKit` looks a named context up: Docker Hub left out, `latest` left out.
    pub(crate) fn context_key(&self) -> String {
        let path = self.path();
        let short = path
            .strip_prefix("docker.io/")
            .map_or(path.as_str(), |rest| {
                rest.strip_prefix("library/").unwrap_or(rest)
            });
        let name = self.with_suffix(short.to_owned());
        name.strip_suffix(":latest").unwrap_or(&name).to_owned()
    }

    fn with_suffix(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(digest);
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::ImageName;

    #[test]
    fn names_are_completed_as_docker_does() {
        for (text, full, key) in [
            ("redis", "docker.io/library/redis:latest", "redis"),
            ("redis:7", "docker.io/library/redis:7", "redis:7"),
            ("user/app", "docker.io/user/app:latest", "user/app"),
            ("docker.io/library/a", "docker.io/library/a:latest", "a"),
            ("localhost/a", "localhost/a:latest", "localhost/a"),
            ("host:5000/a/b", "host:5000/a/b:latest", "host:5000/a/b"),
            (
                "r.example.com/ubi9/ubi:9.5",
                "r.example.com/ubi9/ubi:9.5",
                "r.example.com/ubi9/ubi:9.5",
            ),
            (
                "r.example.com/ubi@sha256:ab",
                "r.example.com/ubi@sha256:ab",
                "r.example.com/ubi@sha256:ab",
            ),
        ] {
            let name = ImageName::complete(text).unwrap();
            assert_eq!(name.full(), full);
            assert_eq!(name.context_key(), key);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "$BASE", "a b", "host:5000/", "@sha256:ab"] {
            assert_eq!(ImageName::complete(text), None, "{text}");
        }
    }
}
