//! Options of `plimsoll advisories for`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::cli_advisories::DatabaseArgs;

/// `plimsoll advisories for`.
#[derive(Debug, Clone, Default, Args)]
pub struct ForArgs {
    /// Image, by transport as `plimsoll scan` takes it
    #[arg(required_unless_present = "packages", conflicts_with = "packages")]
    pub image: Option<String>,
    /// Platform to take from an index, such as `linux/amd64`; every one when absent; repeatable
    #[arg(
        long,
        value_name = "OS/ARCH",
        value_delimiter = ',',
        conflicts_with = "packages"
    )]
    pub platform: Vec<String>,
    /// a list of packages
    #[command(flatten)]
    pub list: ListArgs,
    /// Grade as of this day (UTC, `YYYY-MM-DD`) instead of now, with the advisories that are known
    #[arg(long, value_name = "DATE")]
    pub as_of: Option<jiff::civil::Date>,
    /// Read the layers although their package list is kept in the cache directory
    #[arg(long, conflicts_with = "packages")]
    pub no_cache: bool,
    /// where the database lies
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// A list of packages in the place of an image.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Package list")]
pub struct ListArgs {
    /// List of packages instead of an image, `-` for standard input: on each line, with tabs between,
    /// name, epoch, version, release, architecture and signing key, and if known module label, vendor
    /// and source package; or `name-[epoch:]version-release.arch` alone, as `rpm -qa` prints it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub packages: Option<PathBuf>,
    /// Enabled module streams (`httpd 2.4` or `httpd:2.4` on a line, or files of
    /// `/etc/dnf/modules.d`), for packages of modules without a label; repeatable
    #[arg(
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        requires = "packages"
    )]
    pub modules: Vec<PathBuf>,
    /// Architecture of packages that name none, such as `x86_64`
    #[arg(long, value_name = "ARCH", requires = "packages")]
    pub arch: Option<String>,
    /// Repository that the packages come from, such as `rhel-8-for-x86_64-baseos-rpms`; repeatable;
    /// the main ones of the release when neither this nor `--cpe` is given
    #[arg(long, value_name = "ID", value_delimiter = ',', requires = "packages")]
    pub repository: Vec<String>,
    /// Product that the packages come from, such as `cpe:/a:redhat:rhel_eus:8.6::appstream`
    #[arg(long, value_name = "CPE", requires = "packages")]
    pub cpe: Option<String>,
    /// Release of Red Hat Enterprise Linux, such as `8.6`; that of the package `redhat-release` when
    /// absent
    #[arg(long, value_name = "VERSION", requires = "packages")]
    pub release: Option<String>,
    /// Take packages whose signing key and vendor are not listed for Red Hat's; they are not looked up
    /// otherwise
    #[arg(long, requires = "packages")]
    pub assume_signed: bool,
}
