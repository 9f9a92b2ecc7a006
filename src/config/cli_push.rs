//! The command line of `plimsoll push`, `login` and `logout`, and of the stage push.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::cli::{DockerfileArgs, NameArgs, PolicyArgs};

/// `plimsoll push`.
#[derive(Debug, Clone, Default, Args)]
pub struct PushArgs {
    /// Image, by transport: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE`,
    /// `docker-daemon:REF`, `docker://REF`, or a bare reference for a registry
    #[arg(value_name = "IMAGE")]
    pub source: String,
    /// Print what would be done and why, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// how it goes there
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// where it goes
    #[command(flatten)]
    pub name: NameArgs,
    /// what it was built from
    #[command(flatten)]
    pub what: DockerfileArgs,
    /// how it is assessed
    #[command(flatten)]
    pub scan: PolicyArgs,
}

/// `plimsoll run`: whether the image is pushed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Push options")]
pub struct RunPushArgs {
    /// Push the image to `--image` with its tags, once it is accepted; as the stage push
    #[arg(long)]
    pub push: bool,
    /// how it goes there
    #[command(flatten)]
    pub transfer: TransferArgs,
}

/// How an image goes to a registry.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Push options")]
pub struct TransferArgs {
    /// Repository of the same registry that may hold some of the layers, such as that of the base
    /// image: they are taken from there instead of sent; repeatable
    #[arg(long, value_name = "REPOSITORY", value_delimiter = ',')]
    pub mount_from: Vec<String>,
    /// Move a tag that names another image; without it only tags that float, such as `latest`, do
    #[arg(long)]
    pub force: bool,
}

/// `plimsoll login`.
#[derive(Debug, Clone, Args)]
pub struct LoginArgs {
    /// Registry, such as `quay.io` or `registry.example.com:5000`, or a namespace in it:
    /// `quay.io/team`
    pub registry: String,
    /// User name; a registry key of the certification service belongs to `unused`
    #[arg(long, short, value_name = "USER", default_value = "unused")]
    pub username: String,
    /// Read the password or registry key from standard input
    #[arg(long, conflicts_with = "password_file")]
    pub password_stdin: bool,
    /// Read the password or registry key from a file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
    /// File to store it in; the one that docker and podman look into when absent
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub auth_file: Option<PathBuf>,
}

/// `plimsoll logout`.
#[derive(Debug, Clone, Args)]
pub struct LogoutArgs {
    /// Registry or namespace, as it was given to `login`
    pub registry: String,
    /// File that it is stored in; the one that docker and podman look into when absent
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub auth_file: Option<PathBuf>,
}
