//! Where an image is, as skopeo and podman write it on a command line.

use std::{fmt, path::PathBuf, str::FromStr};

use super::{ArchiveSource, LayoutSource, Pick, Select};
use crate::oci::{Digest, ImageSource, Reference, SourceError};

/// A place named on the command line. Its references are completed as docker does
/// ([`Reference::parse_familiar`]), because a person types them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// `oci:DIR[:TAG]`, `oci:DIR@DIGEST`
    OciLayout {
        /// the directory
        dir: PathBuf,
        /// which image
        select: Option<Select>,
    },
    /// `oci-archive:FILE[:TAG]`, `oci-archive:FILE@DIGEST`
    OciArchive {
        /// the tar file
        file: PathBuf,
        /// which image
        select: Option<Select>,
    },
    /// `docker-archive:FILE[:REF]`, `docker-archive:FILE:@N`
    DockerArchive {
        /// the tar file
        file: PathBuf,
        /// which image
        pick: Pick,
    },
    /// `docker-daemon:REF`, `docker-daemon:sha256:ID`
    DockerDaemon(DaemonImage),
    /// `docker://REF`, or a bare reference
    Registry(Reference),
    /// `containers-storage:REF`, the storage of podman, buildah and CRI-O
    ContainersStorage(String),
}

/// An image in a Docker Engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaemonImage {
    /// by name
    Name(Reference),
    /// by image id
    Id(Digest),
}

impl fmt::Display for DaemonImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Id(id) => id.fmt(f),
        }
    }
}

/// Why a text does not name a place of an image.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` does not name an image: {reason}")]
pub struct TransportError {
    /// what was given
    pub text: String,
    /// what is wrong, and what may be written instead
    pub reason: String,
}

impl FromStr for Transport {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, TransportError> {
        parse(text).map_err(|reason| TransportError {
            text: text.to_owned(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<Transport, String> {
    if let Some(name) = text.strip_prefix("docker://") {
        return familiar(name).map(Transport::Registry);
    }
    match text.split_once(':') {
        Some(("oci", rest)) => {
            let (dir, select) = path_and_select(rest)?;
            Ok(Transport::OciLayout { dir, select })
        }
        Some(("oci-archive", rest)) => {
            let (file, select) = path_and_select(rest)?;
            Ok(Transport::OciArchive { file, select })
        }
        Some(("docker-archive", rest)) => docker_archive(rest),
        Some(("docker-daemon", rest)) => daemon(rest).map(Transport::DockerDaemon),
        Some(("containers-storage", rest)) if !rest.is_empty() => {
            Ok(Transport::ContainersStorage(rest.to_owned()))
        }
        Some((name @ ("containers-storage" | "docker"), _)) => Err(format!(
            "after `{name}:` an image has to follow (docker://REF)"
        )),
        Some((name @ ("dir" | "ostree" | "sif" | "tarball" | "atomic"), rest)) => Err(format!(
            "the transport `{name}:` is not supported; copy the image first: \
             skopeo copy {name}:{rest} oci:image:latest"
        )),
        _ => familiar(text).map(Transport::Registry),
    }
}

fn familiar(name: &str) -> Result<Reference, String> {
    Reference::parse_familiar(name).map_err(|error| {
        format!(
            "{}; for files write oci:DIR, oci-archive:FILE or docker-archive:FILE",
            error.reason
        )
    })
}

fn path_and_select(rest: &str) -> Result<(PathBuf, Option<Select>), String> {
    let (path, select) = match rest.rsplit_once('@') {
        Some((path, digest)) if digest.contains(':') => {
            let digest = digest
                .parse()
                .map_err(|e| format!("digest `{digest}`: {e}"))?;
            (path, Some(Select::Digest(digest)))
        }
        _ => match rest.split_once(':') {
            Some((_, "")) => return Err("the tag after the last `:` is empty".to_owned()),
            Some((path, tag)) => (path, Some(Select::Tag(tag.to_owned()))),
            None => (rest, None),
        },
    };
    if path.is_empty() {
        return Err("the path is empty".to_owned());
    }
    Ok((PathBuf::from(path), select))
}

fn docker_archive(rest: &str) -> Result<Transport, String> {
    let (path, pick) = match rest.split_once(':') {
        None => (rest, Pick::Only),
        Some((path, name)) => match name.strip_prefix('@') {
            Some(at) => (path, Pick::Position(position(at)?)),
            None => (path, Pick::Name(familiar(name)?.to_string())),
        },
    };
    if path.is_empty() {
        return Err("the path is empty".to_owned());
    }
    Ok(Transport::DockerArchive {
        file: PathBuf::from(path),
        pick,
    })
}

fn position(at: &str) -> Result<usize, String> {
    at.parse()
        .map_err(|_| format!("`@{at}` is not the position of an image, such as @0"))
}

fn daemon(rest: &str) -> Result<DaemonImage, String> {
    if rest.starts_with("sha256:") {
        return rest
            .parse()
            .map(DaemonImage::Id)
            .map_err(|e| format!("image id `{rest}`: {e}"));
    }
    familiar(rest).map(DaemonImage::Name)
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let select = |select: &Option<Select>| match select {
            None => String::new(),
            Some(Select::Tag(tag)) => format!(":{tag}"),
            Some(Select::Digest(digest)) => format!("@{digest}"),
        };
        match self {
            Self::OciLayout { dir, select: s } => write!(f, "oci:{}{}", dir.display(), select(s)),
            Self::OciArchive { file, select: s } => {
                write!(f, "oci-archive:{}{}", file.display(), select(s))
            }
            Self::DockerArchive { file, pick } => {
                write!(f, "docker-archive:{}", file.display())?;
                match pick {
                    Pick::Only => Ok(()),
                    Pick::Name(name) => write!(f, ":{name}"),
                    Pick::Position(at) => write!(f, ":@{at}"),
                }
            }
            Self::DockerDaemon(image) => write!(f, "docker-daemon:{image}"),
            Self::Registry(reference) => write!(f, "docker://{reference}"),
            Self::ContainersStorage(name) => write!(f, "containers-storage:{name}"),
        }
    }
}

impl Transport {
    /// The tag that the place itself names: what `good_tags` judges when nothing else is said.
    pub fn tag(&self) -> Option<String> {
        let of = |name: &str| {
            let last = name.rsplit('/').next().unwrap_or(name);
            Some(last.split_once(':').map_or(last, |(_, tag)| tag).to_owned())
                .filter(|tag| !tag.is_empty())
        };
        match self {
            Self::OciLayout {
                select: Some(Select::Tag(name)),
                ..
            }
            | Self::OciArchive {
                select: Some(Select::Tag(name)),
                ..
            }
            | Self::DockerArchive {
                pick: Pick::Name(name),
                ..
            } => of(name),
            Self::DockerDaemon(DaemonImage::Name(name)) | Self::Registry(name) => name.tag.clone(),
            _ => None,
        }
    }

    /// The name in a registry that the place itself has.
    pub fn reference(&self) -> Option<Reference> {
        match self {
            Self::DockerDaemon(DaemonImage::Name(name)) | Self::Registry(name) => {
                Some(name.clone())
            }
            Self::DockerArchive {
                pick: Pick::Name(name),
                ..
            } => name.parse().ok(),
            _ => None,
        }
    }

    /// Opens what lies in files; `None` for what a registry or an engine has to be asked for.
    ///
    /// # Errors
    /// When the files are not there or not an image, and for `containers-storage:`, which is
    /// named but not read.
    pub fn open_files(&self) -> Result<Option<Box<dyn ImageSource>>, SourceError> {
        Ok(Some(match self {
            Self::OciLayout { dir, select } => Box::new(LayoutSource::open(dir, select.as_ref())?),
            Self::OciArchive { file, select } => {
                Box::new(ArchiveSource::open_oci(file, select.as_ref())?)
            }
            Self::DockerArchive { file, pick } => Box::new(ArchiveSource::open_docker(file, pick)?),
            Self::ContainersStorage(name) => {
                return Err(SourceError::Unsupported {
                    what: self.to_string(),
                    reason: format!(
                        "the storage of podman and buildah is not supported yet; write the image \
                         to a file first: podman save --format oci-archive -o image.tar {name}, \
                         then name oci-archive:image.tar"
                    ),
                });
            }
            Self::DockerDaemon(_) | Self::Registry(_) => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Transport;

    const SHA: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn places_are_read_as_skopeo_writes_them() {
        let pinned = format!("oci:/x/y@{SHA}");
        for (text, want) in [
            ("oci:dir", "oci:dir"),
            ("oci:/a b/dir:1.0-1", "oci:/a b/dir:1.0-1"),
            ("oci:dir:quay.io/a/b:1", "oci:dir:quay.io/a/b:1"),
            (&pinned, &pinned),
            ("oci-archive:/tmp/x.tar", "oci-archive:/tmp/x.tar"),
            ("oci-archive:x.tar:v1", "oci-archive:x.tar:v1"),
            ("docker-archive:x.tar", "docker-archive:x.tar"),
            (
                "docker-archive:x.tar:nginx",
                "docker-archive:x.tar:docker.io/library/nginx:latest",
            ),
            ("docker-archive:x.tar:@1", "docker-archive:x.tar:@1"),
            (
                "docker-daemon:nginx:1",
                "docker-daemon:docker.io/library/nginx:1",
            ),
            ("docker://localhost:5000/a:1", "docker://localhost:5000/a:1"),
            ("quay.io/a/b", "docker://quay.io/a/b:latest"),
            ("localhost:5000/a", "docker://localhost:5000/a:latest"),
            ("containers-storage:x", "containers-storage:x"),
        ] {
            let place: Transport = text.parse().unwrap();
            assert_eq!(place.to_string(), want);
            assert_eq!(want.parse::<Transport>().unwrap(), place, "{want}");
        }
        let id = format!("docker-daemon:{SHA}");
        assert_eq!(id.parse::<Transport>().unwrap().to_string(), id);
    }

    #[test]
    fn what_names_no_place_is_refused_with_what_to_write() {
        for (text, reason) in [
            ("", "path component"),
            ("oci:", "path is empty"),
            ("oci:dir:", "empty"),
            ("oci:@sha256:12", "digest"),
            ("docker-archive::x", "path is empty"),
            ("docker-archive:x:@y", "position"),
            ("docker-archive:x:a/UPPER", "upper-case"),
            ("docker-daemon:", "path component"),
            ("docker:nginx", "docker://"),
            ("containers-storage:", "has to follow"),
            ("dir:/x", "skopeo copy dir:/x"),
            ("./image.tar", "docker-archive:FILE"),
            ("/abs/dir", "oci:DIR"),
        ] {
            let error = text.parse::<Transport>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn containers_storage_says_what_to_do_instead() {
        let place: Transport = "containers-storage:quay.io/a:1".parse().unwrap();
        let error = place.open_files().err().unwrap().to_string();
        assert!(
            error.contains("podman save --format oci-archive"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r"(oci|oci-archive|docker-archive|docker-daemon|docker)?:?(//)?\PC{0,30}") {
            if let Ok(place) = text.parse::<Transport>() {
                prop_assert_eq!(place.to_string().parse::<Transport>().unwrap(), place);
            }
        }
    }

    #[test]
    fn the_name_that_a_place_has_in_a_registry_is_told() {
        for (text, want) in [
            ("docker://quay.io/v/p:1", Some("quay.io/v/p:1")),
            ("quay.io/v/p:1", Some("quay.io/v/p:1")),
            ("docker-daemon:quay.io/v/p:1", Some("quay.io/v/p:1")),
            ("docker-archive:x.tar:quay.io/v/p:1", Some("quay.io/v/p:1")),
            ("docker-archive:x.tar", None),
            ("oci:dir:1.0-1", None),
        ] {
            let place: Transport = text.parse().unwrap();
            let name = place.reference().map(|name| name.to_string());
            assert_eq!(name.as_deref(), want, "{text}");
        }
    }
}
