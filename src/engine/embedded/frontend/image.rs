//! The image configuration on its way from the base image to the target, with the keys that
//! `BuildKit` keeps, in its order; others of a base image are dropped as it drops them.

#![expect(
    clippy::zero_sized_map_values,
    reason = "the configuration writes a set as a map of nothing"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::health::Health;
use crate::oci::Platform;

/// `PATH` of an image that has none.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Image {
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "nullable"
    )]
    pub(super) author: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) architecture: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) os: String,
    #[serde(
        rename = "os.version",
        skip_serializing_if = "String::is_empty",
        deserialize_with = "nullable"
    )]
    os_version: String,
    #[serde(
        rename = "os.features",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "nullable"
    )]
    os_features: Vec<String>,
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "nullable"
    )]
    variant: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) config: Config,
    #[serde(skip_serializing, deserialize_with = "nullable")]
    pub(super) rootfs: RootFs,
    #[serde(skip_serializing, deserialize_with = "nullable")]
    pub(super) history: Vec<History>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RootFs {
    #[serde(deserialize_with = "nullable")]
    pub(super) diff_ids: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct History {
    #[serde(deserialize_with = "nullable")]
    pub(super) created_by: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) comment: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) empty_layer: bool,
}

/// `{}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Present {}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Config {
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "nullable"
    )]
    pub(super) user: String,
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "nullable"
    )]
    pub(super) exposed_ports: BTreeMap<String, Present>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(super) env: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(super) entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(super) cmd: Vec<String>,
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "nullable"
    )]
    pub(super) volumes: BTreeMap<String, Present>,
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "nullable"
    )]
    pub(super) working_dir: String,
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "nullable"
    )]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "nullable"
    )]
    pub(super) stop_signal: String,
    #[serde(
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "nullable"
    )]
    pub(super) args_escaped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) healthcheck: Option<Health>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(super) on_build: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(super) shell: Vec<String>,
}

/// `null` is the same as nothing.
fn nullable<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

impl Image {
    /// `FROM scratch`.
    pub(super) fn empty(platform: &Platform) -> Self {
        let mut image = Self {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone().unwrap_or_default(),
            ..Self::default()
        };
        "/".clone_into(&mut image.config.working_dir);
        image.path();
        image
    }

    /// Makes sure that there is a `PATH`.
    pub(super) fn path(&mut self) {
        if !self.config.env.iter().any(|pair| key(pair) == "PATH") {
            self.config.env.push(PATH.to_owned());
        }
    }

    /// Sets a variable where it stands, or behind the others.
    pub(super) fn set_env(&mut self, name: &str, value: &str) {
        let pair = format!("{name}={value}");
        match self.config.env.iter_mut().find(|pair| key(pair) == name) {
            Some(there) => *there = pair,
            None => self.config.env.push(pair),
        }
    }

    /// The arguments of a shell form.
    pub(super) fn with_shell(&self, text: String) -> Vec<String> {
        let mut args = self.config.shell.clone();
        if args.is_empty() {
            args = vec!["/bin/sh".to_owned(), "-c".to_owned()];
        }
        args.push(text);
        args
    }

    /// No layers, and no history that tells of any.
    pub(super) fn is_empty(&self) -> bool {
        self.rootfs.diff_ids.is_empty() && self.history.iter().all(|entry| entry.empty_layer)
    }

    /// What it says it is for; what it does not say is the build's.
    pub(super) fn platform(&self, build: &Platform) -> Platform {
        let or = |own: &str, other: &str| if own.is_empty() { other } else { own }.to_owned();
        let variant = match (self.architecture.as_str(), self.variant.as_str()) {
            (_, "") | ("arm64", "8" | "v8") => None,
            (_, variant) => Some(variant.to_owned()),
        };
        Platform {
            os: or(&self.os, &build.os),
            architecture: or(&self.architecture, &build.architecture),
            variant,
        }
    }

    /// As OCI JSON without `rootfs`, `history` and `created`.
    pub(super) fn json(mut self, platform: &Platform) -> Result<serde_json::Value, String> {
        self.os.clone_from(&platform.os);
        self.architecture.clone_from(&platform.architecture);
        self.variant = platform.variant.clone().unwrap_or_default();
        serde_json::to_value(&self).map_err(|error| error.to_string())
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let config = &self.config;
        let lists = [
            &config.env,
            &config.entrypoint,
            &config.cmd,
            &config.on_build,
        ];
        let listed: usize = lists.into_iter().flatten().map(String::len).sum();
        let labels: usize = config.labels.iter().map(|(k, v)| k.len() + v.len()).sum();
        let keys = config.volumes.keys().chain(config.exposed_ports.keys());
        listed + labels + keys.map(String::len).sum::<usize>()
    }
}

fn key(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(key, _)| key)
}
