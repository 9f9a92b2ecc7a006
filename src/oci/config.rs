//! The image configuration (image-spec, config.md), with labels in the order they are written.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{DiffId, Platform};

/// The image configuration; unknown keys (Docker writes some) are ignored.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct ImageConfig {
    /// GOARCH name
    pub architecture: String,
    /// GOOS name
    pub os: String,
    /// CPU variant
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// RFC 3339 date-time
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// how a container of this image is run
    #[serde(default)]
    pub config: Option<Config>,
    /// the layers, uncompressed
    pub rootfs: RootFs,
    /// how each layer came to be, oldest first
    #[serde(default)]
    pub history: Option<Vec<History>>,
}

/// `config` of the image configuration.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// `USER`: name or uid, `[:group]`; absent or empty is root
    pub user: Option<String>,
    /// `KEY=VALUE`
    pub env: Option<Vec<String>>,
    /// `ENTRYPOINT`
    pub entrypoint: Option<Vec<String>>,
    /// `CMD`
    pub cmd: Option<Vec<String>>,
    /// `LABEL`, in the order written
    pub labels: Option<IndexMap<String, String>>,
    /// `WORKDIR`
    pub working_dir: Option<String>,
    /// `EXPOSE`
    pub exposed_ports: Option<IndexMap<String, serde_json::Value>>,
    /// `VOLUME`
    pub volumes: Option<IndexMap<String, serde_json::Value>>,
}

fn or_none<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<DiffId>, D::Error> {
    Ok(Option::<Vec<DiffId>>::deserialize(from)?.unwrap_or_default())
}

/// `rootfs` of the image configuration.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct RootFs {
    /// digests of the uncompressed layers, base first; `BuildKit` writes `null` for none
    #[serde(deserialize_with = "or_none")]
    pub diff_ids: Vec<DiffId>,
}

/// One entry of `history`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct History {
    /// RFC 3339 date-time
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// the command that made it, as the builder wrote it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// `buildkit.dockerfile.v0` when BuildKit wrote it; else free text
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// it changed only the configuration
    #[serde(default)]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// The platform the image says it is for.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        }
    }

    /// The value of a label, if it is set.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.config
            .as_ref()?
            .labels
            .as_ref()?
            .get(name)
            .map(String::as_str)
    }

    /// `USER`, empty when it was never said.
    pub fn user(&self) -> &str {
        self.config
            .as_ref()
            .and_then(|c| c.user.as_deref())
            .unwrap_or("")
    }
}
