//! The model of `plimsoll.yaml`. The same types hold what the command line and the environment set,
//! so that one rule merges all levels.

use std::path::PathBuf;

use jiff::civil::Date;

use super::{
    amounts::{Bytes, Count, Span},
    ci::Ci,
    decode::{Decoder, Map},
    lists::{Joined, Tags},
    section::section,
    severity::Severity,
    sourced::Origin,
    values::{
        Catalog, Days, EngineChoice, FailOn, KeyValue, Network, Port, ReportTo, RuleName, Stage,
        Tree,
    },
};
use crate::{
    oci::{Platform, Tag},
    policy::Profile,
};

section! {
    /// What Plimsoll builds, assesses and publishes. All of it is optional.
    pub struct Settings {
        /// The certification project
        "project" project: Project,
        /// Who makes the product
        "company" company: Company,
        /// Whom to write to
        "contacts" contacts: Vec<Contact>,
        /// Where the source comes from; the checkout that holds this file when absent
        "source" source: Source,
        /// How the image is built
        "build" build: Build,
        /// What the image is called
        "image" image: Image,
        /// How the image is assessed
        "scan" scan: Scan,
        /// Reports to write, each `FORMAT=PATH`, or `FORMAT` for standard output
        "report" report: Vec<ReportTo>,
        /// How the image is published
        "publish" publish: Publish,
        /// When the image is built anew
        "rebuild" rebuild: Rebuild,
        /// Who is told
        "notify" notify: Notify,
        /// What the forge and the CI are told of a run
        "ci" ci: Ci,
        /// Items of the certification checklist that only a person can tick
        "checklist" checklist: Vec<Attestation>,
        /// Stages of `plimsoll run`: `check`, `build`, `scan`, `push`; all but `push` when absent
        "stages" stages: Vec<Stage>,
        /// Push the image once it is accepted: `plimsoll run` goes through the stage `push` too
        "push" push: bool,
        /// Longest time that a whole run may take: `90s`, `30m`, `2h`; after it, a minute at most goes
        /// to telling what came of it
        "timeout" timeout: Span,
        /// Several images of one repository; what is set above holds for each of them
        "images" images: Vec<Entry>,
    } required []
}

section! {
    /// One image of several. What it sets goes before what is set above.
    pub struct Entry {
        /// Name of this image in reports and messages
        "name" name: String,
        /// The certification project
        "project" project: Project,
        /// Where the source comes from
        "source" source: Source,
        /// How the image is built
        "build" build: Build,
        /// What the image is called
        "image" image: Image,
        /// How the image is assessed
        "scan" scan: Scan,
        /// How the image is published
        "publish" publish: Publish,
        /// When the image is built anew
        "rebuild" rebuild: Rebuild,
        /// Items of the certification checklist that only a person can tick
        "checklist" checklist: Vec<Attestation>,
    } required ["name"]
}

section! {
    /// The certification project, as the catalog knows it.
    pub struct Project {
        /// Name of the project, such as `rhosp16-openstack-cinder-volume-myplugin`
        "name" name: String,
        /// Component id, with or without `ospid-`
        "id" id: String,
        /// Name of the product
        "product" product: String,
        /// Version of the product
        "product-version" product_version: String,
        /// Release category, such as `Generally Available`
        "release-category" release_category: String,
        /// Red Hat product that it runs on
        "red-hat-product" red_hat_product: String,
        /// Version of that product
        "red-hat-version" red_hat_version: String,
        /// Whether the plugin is in the tree of the Red Hat product
        "tree" tree: Tree,
        /// Namespace in the published registry: the company
        "namespace" namespace: String,
        /// Repository in the published registry: equal to the project's name
        "outbound-repository" outbound_repository: String,
        /// One line for the catalog
        "short-description" short_description: String,
        /// Description for the catalog
        "description" description: String,
        /// Platforms that the product supports
        "platforms" platforms: Vec<Platform>,
        /// Whether the image needs more than a restricted container has
        "privileged" privileged: bool,
        /// Publish as soon as an image has passed
        "auto-publish" auto_publish: bool,
    } required []
}

section! {
    /// Who makes the product.
    pub struct Company {
        /// Name of the company
        "name" name: String,
        /// Address on the web
        "website" website: String,
    } required []
}

section! {
    /// Somebody to write to.
    pub struct Contact {
        /// Name of the person or team
        "name" name: String,
        /// Mail address
        "email" email: String,
        /// What for: `technical`, `marketing`, `security`
        "role" role: String,
    } required ["email"]
}

section! {
    /// Where the source comes from.
    pub struct Source {
        /// Git repository, `https://…` or `git@…`
        "url" url: String,
        /// Branch, tag or commit
        "ref" reference: String,
        /// File that holds the SSH key
        "ssh-key-file" ssh_key_file: PathBuf,
        /// Variable of the environment that holds the SSH key
        "ssh-key-env" ssh_key_env: String,
    } required []
}

section! {
    /// How the image is built.
    pub struct Build {
        /// Directory that the build sees, within the repository
        "context" context: PathBuf,
        /// Dockerfile, relative to the context, else to the repository
        "dockerfile" dockerfile: PathBuf,
        /// Stage of the Dockerfile to build; the last when absent
        "target" target: String,
        /// Values of `ARG`; no place for secrets
        "args" args: Map<String>,
        /// Labels put on top of the Dockerfile's
        "labels" labels: Map<String>,
        /// Secrets for `RUN --mount=type=secret`, by id
        "secrets" secrets: Map<SecretSource>,
        /// SSH agents or keys for `RUN --mount=type=ssh`: `default`, or `ID=PATH`
        "ssh" ssh: Vec<KeyValue>,
        /// Platforms to build for, such as `linux/amd64`; the engine's own when absent
        "platforms" platforms: Vec<Platform>,
        /// Network of `RUN`: `default`, `none` or `host`
        "network" network: Network,
        /// Ignore the cache
        "no-cache" no_cache: bool,
        /// Look up every base image anew
        "pull" pull: bool,
        /// Caches to read, such as `type=registry,ref=…`
        "cache-from" cache_from: Vec<String>,
        /// Caches to write
        "cache-to" cache_to: Vec<String>,
        /// What builds
        "engine" engine: EngineChoice,
        /// Directory of the embedded engine's cache; the user's cache directory when absent
        "cache-dir" cache_dir: PathBuf,
        /// Bounds on each step of the embedded engine; none when absent
        "limits" limits: StepLimits,
        /// Base images to take from elsewhere: reference or prefix of one, to `oci:DIR[:TAG]` or
        /// another reference or prefix
        "mirrors" mirrors: Map<String>,
        /// Entries of `/etc/hosts` during the build: host name to address
        "add-hosts" add_hosts: Map<String>,
        /// Directory that becomes the OCI layout
        "output" output: PathBuf,
        /// Give the image to the Docker Engine too, under its name and tags
        "load" load: bool,
    } required []
}

section! {
    /// Bounds on each step that the embedded engine runs; a step that passes one fails.
    pub struct StepLimits {
        /// Memory, such as `2g`, where the host lets a control group be made
        "memory" memory: Bytes,
        /// Processes and threads at once
        "pids" pids: Count,
        /// How long a step may take: `90s`, `30m`, `2h`
        "timeout" timeout: Span,
        /// What a step may write into the image, such as `10g`
        "disk" disk: Bytes,
    } required []
}

section! {
    /// Where a secret comes from: a file or a variable, one of the two.
    pub struct SecretSource {
        /// File that holds the secret
        "src" src: PathBuf,
        /// Variable of the environment that holds the secret
        "env" env: String,
    } required [] check one_source
}

section! {
    /// What the image is called.
    pub struct Image {
        /// Host name of the registry, with its port
        "registry" registry: String,
        /// Path of the image in the registry
        "repository" repository: String,
        /// Tags to push, such as `[1.0-1]`; the first is the one that is certified
        "tag" tag: Tags,
        /// Version for automatic tags: `1.0` makes `1.0-1`, `1.0-2`, …
        "version" version: Tag,
        /// Tags that move to this image once it is published, such as `[latest]`
        "floating-tags" floating_tags: Vec<Tag>,
        /// Repositories of the same registry that may hold some of the layers: they are taken from
        /// there instead of sent
        "mount-from" mount_from: Vec<String>,
    } required []
}

section! {
    /// How the image is assessed.
    pub struct Scan {
        /// Policy that the image is held to
        "profile" profile: Profile,
        /// Assess these rules alone
        "only" only: Vec<RuleName>,
        /// Rules that block although their level does not ask for it
        "required" required: Joined<RuleName>,
        /// Rules that do not block for a while
        "exceptions" exceptions: Joined<Exemption>,
        /// Base image, when it cannot be told from the Dockerfile
        "base" base: String,
        /// What the image is compared with: an earlier JSON report, or another image such as the
        /// published one
        "baseline" baseline: String,
        /// What makes the run fail: `any` finding that blocks, or only those that are `new` against
        /// the baseline
        "fail-on" fail_on: FailOn,
        /// The advisory database
        "advisories" advisories: Advisories,
    } required []
}

section! {
    /// A rule that does not block, why, and until when.
    pub struct Exemption {
        /// Rule, by its id or one of openshift-preflight's names
        "rule" rule: RuleName,
        /// Why it was granted
        "reason" reason: String,
        /// Last day it holds, UTC
        "expires" expires: Date,
        /// Only findings whose key or path matches this; all when absent
        "matching" matching: String,
    } required ["rule", "reason"] check not_expired
}

section! {
    /// Where advisories come from and how old they may be.
    pub struct Advisories {
        /// Feed that `plimsoll advisories update` takes advisories from: an address, a directory or an
        /// archive; Red Hat's own when absent. `--from` wins
        "source" source: String,
        /// The same of documents of single vulnerabilities, which change no grade; none are taken over
        /// when absent. `--vex` wins
        "vex" vex: String,
        /// Files with the OpenPGP keys that signatures of the feed are checked by, instead of Red
        /// Hat's own; `--key` wins
        "keys" keys: Vec<String>,
        /// A document or archive without a signature that holds ends the update
        "require-signature" require_signature: bool,
        /// Oldest age that still counts, in days: `7d`
        "max-age" max_age: Days,
        /// `free_of_critical_vulnerabilities` fails on Critical errata alone; the grade does not change
        "critical-only" critical_only: bool,
        /// Least severity of an unapplied erratum that fails `free_of_critical_vulnerabilities`:
        /// `critical`, `important` (the default), `moderate` or `low`; the grade does not change
        "severity-cutoff" severity_cutoff: Severity,
        /// Leave out vulnerabilities that no advisory mends
        "only-fixed" only_fixed: bool,
    } required []
}

section! {
    /// How the image is published.
    pub struct Publish {
        /// Where: beside the image in the `registry`, or in `redhat`'s catalog
        "catalog" catalog: Catalog,
        /// Publish as soon as an image has passed
        "auto" auto: bool,
    } required []
}

section! {
    /// When the image is built anew.
    pub struct Rebuild {
        /// Build anew when advisories or a newer base ask for it; implies `publish.auto`
        "auto" auto: bool,
    } required []
}

section! {
    /// Who is told.
    pub struct Notify {
        /// Mail server
        "smtp" smtp: Smtp,
        /// Mail addresses
        "recipients" recipients: Vec<String>,
        /// Open an issue in the forge
        "issue" issue: bool,
    } required []
}

section! {
    /// A mail server.
    pub struct Smtp {
        /// Host name
        "host" host: String,
        /// Port, 1 to 65535
        "port" port: Port,
        /// Address that mails come from
        "from" from: String,
        /// User name
        "user" user: String,
        /// Variable of the environment that holds the password
        "password-env" password_env: String,
    } required ["host"]
}

section! {
    /// An item of the checklist that somebody vouches for.
    pub struct Attestation {
        /// Which item
        "item" item: String,
        /// Who vouches
        "who" who: String,
        /// Since when
        "when" when: Date,
        /// Evidence
        "link" link: String,
    } required ["item", "who", "when"]
}

fn one_source(secret: &SecretSource, cx: &mut Decoder<'_>) {
    if let (Some(src), Some(_)) = (&secret.src, &secret.env)
        && let Origin::File(mark) = &src.origin
    {
        let help = Some("keep `src` or `env`".to_owned());
        cx.fault(mark, "a secret with two sources".to_owned(), help);
    }
}

fn not_expired(exemption: &Exemption, cx: &mut Decoder<'_>) {
    if let Some(expires) = &exemption.expires
        && let Origin::File(mark) = &expires.origin
        && expires.value < cx.today
    {
        let (last, today) = (expires.value, cx.today);
        let message = format!("the exception expired on {last} (today is {today} UTC)");
        let help = "mend what it excuses and remove it, or have it granted anew";
        cx.fault(mark, message, Some(help.to_owned()));
    }
}
