//! The command line. Help texts are the first documentation that a user reads; they say what is
//! done, with which unit, and give an example.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
    ValueHint,
};
use clap_complete::Shell;

pub use super::cli_choices::{ColorChoice, ProgressChoice};
use super::cli_help as help;
pub use super::cli_init::{CiKind, InitArgs};
pub use super::cli_push::{LoginArgs, LogoutArgs, PushArgs, RunPushArgs, TransferArgs};
pub use super::{
    cli_advisories::AdvisoriesCommand,
    cli_cache::{CacheCommand, PruneArgs},
    cli_ci::CiArgs,
    cli_compare::{CompareArgs, PolicyArgs},
    cli_for::{ForArgs, ListArgs},
};

/// From a repository's Dockerfile to a certified container image.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "plimsoll",
    version,
    propagate_version = true,
    infer_long_args = false,
    about = "From a repository's Dockerfile to a certified container image",
    disable_help_subcommand = true,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = false
)]
pub struct Cli {
    /// options of every command
    #[command(flatten)]
    pub global: GlobalArgs,
    /// what to do
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Configuration file; its directory is the repository root. Without it `plimsoll.yaml` is
    /// looked for here and upwards, as far as the root of the git checkout
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Report to write: FORMAT to standard output, FORMAT=PATH to a file; repeatable. Replaces the
    /// reports that `plimsoll.yaml` asks for
    #[arg(long, short = 'f', global = true, value_name = "FORMAT[=PATH]")]
    pub format: Vec<String>,
    /// Report to write besides those that are asked for elsewhere; repeatable
    #[arg(long, global = true, value_name = "FORMAT[=PATH]")]
    pub report: Vec<String>,
    /// Say more: where each value of the configuration comes from
    #[arg(long, short, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say less on standard error: -q warnings and errors, -qq errors alone
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub quiet: u8,
    /// When to colour: `auto` on a terminal unless `NO_COLOR` is set
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true
    )]
    pub color: ColorChoice,
    /// How to show progress: `tty` bars, `plain` lines; `auto` bars on a terminal, lines elsewhere
    #[arg(
        long,
        global = true,
        value_name = "HOW",
        default_value = "auto",
        hide_default_value = true
    )]
    pub progress: ProgressChoice,
    /// Exit with 0 although the image was rejected or could not be assessed (codes 1 and 4)
    #[arg(long, global = true)]
    pub exit_zero: bool,
    /// Whether certificates of the image's registry are checked: true or false; false also allows a
    /// registry without TLS; true when absent
    #[arg(long, global = true, value_name = "BOOL")]
    pub tls_verify: Option<String>,
    /// Longest time that the whole run may take: 90s, 30m or 2h; after it, a minute at most goes to
    /// telling what came of it; it ends with code 143
    #[arg(long, global = true, value_name = "SPAN")]
    pub timeout: Option<String>,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Check, build and scan as `plimsoll.yaml` says, and write the reports: the CI job
    #[command(after_help = help::RUN)]
    Run(Box<RunArgs>),
    /// Read configuration and Dockerfile and predict the assessments; no engine, no network
    #[command(after_help = help::CHECK)]
    Check(Box<CheckArgs>),
    /// Build the image into an OCI layout
    #[command(after_help = help::BUILD)]
    Build(Box<BuildArgs>),
    /// Assess an image, wherever it is kept; no daemon needed
    #[command(after_help = help::SCAN)]
    Scan(Box<ScanArgs>),
    /// Write `plimsoll.yaml` and the CI job for this repository; nothing that exists is touched
    #[command(after_help = help::INIT)]
    Init(InitArgs),
    /// Assess an image and, once it is accepted, push the very bytes that were assessed
    #[command(after_help = help::PUSH)]
    Push(Box<PushArgs>),
    /// Store a password or registry key where docker and podman find it
    #[command(after_help = help::LOGIN)]
    Login(LoginArgs),
    /// Remove what `login` stored
    #[command(after_help = help::LOGOUT)]
    Logout(LogoutArgs),
    /// Show the page of a rule, or list all rules
    #[command(after_help = help::EXPLAIN)]
    Explain {
        /// Rule, by its id or one of openshift-preflight's names
        rule: Option<String>,
    },
    /// Make the advisory database and tell what is in it
    #[command(subcommand, after_help = help::ADVISORIES)]
    Advisories(AdvisoriesCommand),
    /// Look after the embedded engine's cache
    #[command(subcommand, after_help = help::CACHE)]
    Cache(CacheCommand),
    /// Print the JSON Schema of the configuration or of the JSON report
    #[command(after_help = help::SCHEMA)]
    Schema {
        /// Which one
        #[arg(default_value = "config")]
        of: SchemaOf,
    },
    /// Print shell completions
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = help::MAN)]
    Man,
}

/// Which schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// `plimsoll.yaml`
    Config,
    /// the JSON report
    Report,
}

/// `plimsoll run`.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Stages to go through: check, build, scan, push; all but push when absent. A scan needs the
    /// build, a push the scan
    #[arg(value_name = "STAGE", value_delimiter = ',')]
    pub stages: Vec<String>,
    /// Print what would be done and why, and do nothing; with -v also where each value comes from
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// what is built
    #[command(flatten)]
    pub what: DockerfileArgs,
    /// how it is built
    #[command(flatten)]
    pub build: EngineArgs,
    /// how it is called
    #[command(flatten)]
    pub name: NameArgs,
    /// whether it is pushed
    #[command(flatten)]
    pub push: RunPushArgs,
    /// how it is assessed
    #[command(flatten)]
    pub scan: PolicyArgs,
    /// who is told
    #[command(flatten)]
    pub ci: CiArgs,
}

/// `plimsoll check`.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckArgs {
    /// what is read
    #[command(flatten)]
    pub what: DockerfileArgs,
    /// Stage of the Dockerfile that would be built; the last when absent
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// what it would be built with
    #[command(flatten)]
    pub values: ValueArgs,
    /// how it is called
    #[command(flatten)]
    pub name: NameArgs,
    /// how it is assessed
    #[command(flatten)]
    pub scan: PolicyArgs,
}

/// `plimsoll build`.
#[derive(Debug, Clone, Default, Args)]
pub struct BuildArgs {
    /// what is built
    #[command(flatten)]
    pub what: DockerfileArgs,
    /// how it is built
    #[command(flatten)]
    pub build: EngineArgs,
    /// how it is called
    #[command(flatten)]
    pub name: NameArgs,
    /// Write the graph of the build as BuildKit's LLB too (`pb.Definition`, as `buildctl build` reads
    /// it; the context is the local source `context`), before anything runs; embedded engine alone.
    /// What LLB cannot say is refused by line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Build options")]
    pub dump_llb: Option<PathBuf>,
}

/// `plimsoll scan`.
#[derive(Debug, Clone, Default, Args)]
pub struct ScanArgs {
    /// Image, by transport: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE`,
    /// `docker-daemon:REF`, `docker://REF`, or a bare reference for a registry
    pub image: String,
    /// Platform to take from an index, such as `linux/amd64`; every one when absent; repeatable
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// what it was built from
    #[command(flatten)]
    pub what: DockerfileArgs,
    /// Tag to judge; that of the reference when absent; repeatable
    #[arg(
        long,
        short,
        value_name = "TAG",
        value_delimiter = ',',
        help_heading = "Name of the image"
    )]
    pub tag: Vec<String>,
    /// how it is assessed
    #[command(flatten)]
    pub scan: PolicyArgs,
    /// Grade as of this day (UTC, `YYYY-MM-DD`) instead of now, with the advisories that are known
    #[arg(long, value_name = "DATE", help_heading = "Scan options")]
    pub as_of: Option<jiff::civil::Date>,
    /// who is told
    #[command(flatten)]
    pub ci: CiArgs,
}

/// Context and Dockerfile.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Dockerfile")]
pub struct DockerfileArgs {
    /// Directory that the build sees, within the repository; the repository root when absent
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub context: Option<PathBuf>,
    /// Dockerfile, relative to the context, else to the current directory; `Dockerfile` or
    /// `Containerfile` when absent
    #[arg(long, alias = "dockerfile", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}

/// Values that a build puts in.
#[derive(Debug, Clone, Default, Args)]
pub struct ValueArgs {
    /// Value of an `ARG`, or KEY alone for that of the environment; no place for secrets; repeatable
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub build_arg: Vec<String>,
    /// Label put on top of the Dockerfile's; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
}

/// How the image is built, in build-push-action's words.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Build options")]
pub struct EngineArgs {
    /// Stage of the Dockerfile to build; the last when absent
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// what goes into the Dockerfile
    #[command(flatten)]
    pub values: ValueArgs,
    /// Secret for `RUN --mount=type=secret`, from a file or a variable of the environment;
    /// repeatable
    #[arg(long, value_name = "id=ID,src=FILE|env=NAME")]
    pub secret: Vec<String>,
    /// SSH agent or key for `RUN --mount=type=ssh`: `default` is the agent of `SSH_AUTH_SOCK`;
    /// repeatable
    #[arg(long, value_name = "default|ID=PATH")]
    pub ssh: Vec<String>,
    /// Platform to build for, such as `linux/amd64`; the engine's own when absent; repeatable
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Network of `RUN`: default, none or host
    #[arg(long, value_name = "MODE")]
    pub network: Option<String>,
    /// Ignore the cache
    #[arg(long)]
    pub no_cache: bool,
    /// Look up every base image anew
    #[arg(long)]
    pub pull: bool,
    /// Cache to read, such as `type=registry,ref=registry.example.com/cache`; repeatable
    #[arg(long, value_name = "CACHE")]
    pub cache_from: Vec<String>,
    /// Cache to write, such as `type=inline`; repeatable
    #[arg(long, value_name = "CACHE")]
    pub cache_to: Vec<String>,
    /// What builds: auto, buildkit, docker or embedded; `auto` prefers a BuildKit within reach
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,
    /// Directory of the embedded engine's cache; `plimsoll` in the user's cache directory when absent
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache_dir: Option<PathBuf>,
    /// Base image to take from elsewhere: reference or prefix of one = `oci:DIR[:TAG]` or another
    /// reference or prefix; repeatable
    #[arg(long, value_name = "FROM=TO")]
    pub mirror: Vec<String>,
    /// Entry of `/etc/hosts` during the build; repeatable
    #[arg(long, value_name = "HOST=ADDRESS")]
    pub add_host: Vec<String>,
    /// Directory that becomes the OCI layout; a temporary one when absent
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output: Option<PathBuf>,
    /// Give the image to the Docker Engine too, under `--image` and its tags
    #[arg(long)]
    pub load: bool,
}

/// What the image is called.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Name of the image")]
pub struct NameArgs {
    /// Tag of the image, at most 32 characters, such as `1.0-1`; the first is the one that is
    /// certified; repeatable
    #[arg(long, short, value_name = "TAG", value_delimiter = ',')]
    pub tag: Vec<String>,
    /// Registry and repository of the image, such as `registry.example.com/team/app`
    #[arg(long, value_name = "REGISTRY/REPOSITORY")]
    pub image: Option<String>,
}

impl Cli {
    /// The grammar; `exit_codes` is the table below the help of the program.
    pub fn grammar(exit_codes: &str) -> clap::Command {
        Self::command().after_help(help::top(exit_codes))
    }

    /// Reads the arguments, the program's name first. The error is help or version (exit 0, standard
    /// output) or a usage error (exit 2, standard error), as [`clap::Error`] knows.
    pub fn from_args(
        args: impl IntoIterator<Item = OsString>,
        exit_codes: &str,
    ) -> Result<Self, clap::Error> {
        let mut grammar = Self::grammar(exit_codes);
        let matches = grammar.try_get_matches_from_mut(args)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut grammar))
    }

    /// Completions for a shell.
    pub fn completions(shell: Shell) -> Vec<u8> {
        let mut out = Vec::new();
        clap_complete::generate(shell, &mut Self::command(), "plimsoll", &mut out);
        out
    }

    /// The manual page of the program and all its commands, in roff.
    pub fn man(exit_codes: &str) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut root = Self::grammar(exit_codes);
        root.build();
        clap_mangen::Man::new(root.clone()).render(&mut out)?;
        for command in root.get_subcommands() {
            let title = format!("plimsoll-{}", command.get_name());
            let man = clap_mangen::Man::new(command.clone().name(title));
            man.render(&mut out)?;
        }
        Ok(out)
    }
}
