//! Plimsoll takes a repository's Dockerfile to a certified, published, kept-fresh container image.
//!
//! # Bird's eye
//!
//! ```text
//! arguments, environment, file ──config──▶ Config ──plan──▶ Plan
//! Plan ──engine──▶ Built (OCI layout, digest)          build fails ▶ finding at a line, exit 3
//! Built ──layout──▶ verified layers ──inventory──▶ facts ─┐
//! Dockerfile, tags, base image ──gather───────────────────┴▶ Subject
//! Subject ──check──▶ assessments ──policy──▶ Judgement ──▶ Report
//! Judgement ──accept──▶ Accepted ──registry──▶ Pushed      rejected ▶ no way to the registry, exit 1
//! Report ──report──▶ table, JSON, SARIF, JUnit, … (always written, before any exit code)
//! ```
//!
//! # The order of modules
//!
//! A module uses only those before it; a test holds them to it.
//!
//! | | module | for |
//! | --- | --- | --- |
//! | words | [`oci`] | references, digests, manifests, configurations, paths inside images |
//! | | [`secret`] | the one type of a secret |
//! | | [`rpm`] | package databases and headers, from bytes |
//! | | [`rule`], [`finding`] | what is asked; what was found, where, and how heavy it is |
//! | | [`dockerfile`] | the Dockerfile with lines; which instruction made which layer |
//! | judge | [`subject`] | the immutable facts of one image |
//! | | [`inventory`] | one pass over verified layers |
//! | | [`check`] | one file a rule |
//! | | [`policy`] | profiles, exceptions, judgement, the token that push will ask for |
//! | | [`report`] | formats |
//! | reach | [`registry`], [`layout`] | images in registries, on disk |
//! | | [`fetch`] | files of a web server: only when they changed, resumed where they broke off |
//! | | [`engine`] | BuildKit |
//! | | [`ci`], [`progress`] | what a run shows while it works |
//! | run | [`config`], [`plan`] | all settings with their origins; what will be done, and why |
//! | | [`gather`] | facts from outside, or why they could not be had |
//! | | [`error`] | errors as users read them, the one table of exit codes |
//! | | [`pipeline`] | the order of the stages |
//! | | [`command`] | the command line |
//!
//! # Invariants
//!
//! - Words and judge are pure: no clock, environment, file or socket.
//! - No blob is read but through [`oci::VerifyingReader`]; no layer is believed before its diff id.
//! - *Not assessed* is never *passed*.
//! - Nothing is pushed but what [`policy::Accepted`] covers: the very manifests that were judged. Tags
//!   are set when everything else is there.
//! - No format changes an exit code.
//! - Secrets have one type, which never prints and is never serialised.
//! - Nothing of an image is unpacked to disk by a scan, and no link in an image leads out of it.
//!
//! # Words
//!
//! *Image reference*: registry/repository with tag or digest. *Digest*: of a blob as stored. *Diff
//! id*: of a layer uncompressed. *Image id*: digest of the configuration. *Rule*: what is asked;
//! *check*: the code that decides it; *assessment*: its outcome on one image; *finding*: one
//! violation; *exception*: a rule that does not block for a while. *NEVRA*: name, epoch, version,
//! release, architecture.

pub mod advisory;
pub mod check;
pub mod ci;
pub mod command;
pub mod config;
pub mod dockerfile;
pub mod engine;
pub mod error;
pub mod fetch;
pub mod finding;
pub mod gather;
pub mod inventory;
pub mod layout;
pub mod oci;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod progress;
pub mod registry;
pub mod report;
pub mod rpm;
pub mod rule;
pub mod secret;
pub mod subject;
