//! Pure: configuration to what will be built, assessed and pushed, and why.

mod baseline;
mod push;
mod words;

pub use baseline::BaselinePlan;
pub use push::PushPlan;
pub use words::describe;

use indexmap::IndexMap;

use crate::{
    advisory::Severity,
    config::{
        self, Advisories, Config, EngineChoice, Exemption, FailOn, ImageConfig, Listed, Map,
        Network, Origin, RuleName, Setting, Sourced, Stage,
    },
    engine::BuildPlan,
    layout::Transport,
    oci::{Platform, Reference, Tag},
    policy::{Exception, Profile},
};

/// What will be done for one image, and why.
#[derive(Debug, Clone)]
pub struct Plan {
    /// its name among several images
    pub name: Option<String>,
    /// stages to go through, in order
    pub stages: Sourced<Vec<Stage>>,
    /// the Dockerfile and how it is built; `scan` of an image may have none. `output` is empty
    /// when nobody named a directory
    pub build: Option<BuildPlan>,
    /// what builds
    pub engine: Sourced<EngineChoice>,
    /// how the image is assessed
    pub scan: ScanPlan,
    /// the image that was built goes to the Docker Engine too
    pub load: bool,
    /// where the accepted image goes; `None` when it is not pushed
    pub push: Option<PushPlan>,
    /// registry and repository, without tag
    pub image: Option<Reference>,
    /// every value that was set, and by whom
    pub listed: Vec<Listed>,
}

/// How an image is assessed.
#[derive(Debug, Clone, Default)]
pub struct ScanPlan {
    /// the image that was given to `scan`, with its transport
    pub image: Option<String>,
    /// platforms to assess; all that there are when empty
    pub platforms: Vec<Platform>,
    /// policy that it is held to
    pub profile: Profile,
    /// rules to assess; all when empty
    pub only: Vec<String>,
    /// rules that block although their level does not ask for it
    pub required: Vec<String>,
    /// rules that do not block
    pub exceptions: Vec<Exception>,
    /// tags to judge; the first is the one that is certified
    pub tags: Vec<Tag>,
    /// the tags were set on the command line or in the environment, so they go before the tag of the
    /// reference that `scan` was given
    pub tags_given: bool,
    /// tags that move once the image is published
    pub floating_tags: Vec<Tag>,
    /// version that the tag was made of: the first of the convention, as no registry is asked for
    /// the build numbers that exist; `None` when a tag was set
    pub first_of: Option<Tag>,
    /// base image, when the user says so
    pub base: Option<String>,
    /// what the image is compared with: a JSON report or another image
    pub baseline: Option<BaselinePlan>,
    /// what makes the run fail
    pub fail_on: FailOn,
    /// file that reports point at when no Dockerfile is known: the configuration, relative to the
    /// repository
    pub anchor: Option<String>,
    /// most days that the advisory data may be old
    pub max_age: i64,
    /// least severity of an erratum that fails the rule about vulnerabilities; Important when absent
    pub fails_from: Option<Severity>,
    /// vulnerabilities that no advisory mends are left out
    pub only_fixed: bool,
    /// whether the project needs privileges, when the user says so
    pub privileged: Option<bool>,
}

impl ScanPlan {
    /// The reference of the image that was given, when its transport has one.
    pub fn given(&self) -> Option<Reference> {
        let transport: Transport = self.image.as_ref()?.parse().ok()?;
        transport.reference()
    }
}

/// Days after which advisory data is too old to grade by.
pub const DEFAULT_MAX_AGE: i64 = 7;

/// One plan for each image.
pub fn plan(config: &Config) -> Vec<Plan> {
    config
        .images
        .iter()
        .map(|image| plan_image(config, image))
        .collect()
}

fn plan_image(config: &Config, image: &ImageConfig) -> Plan {
    let build = image.settings.build.as_ref().map(|build| &build.value);
    let engine = build.and_then(|build| build.engine.clone());
    let default = || Sourced::new(EngineChoice::Auto, Origin::Default);
    let scan = scan_plan(config, image);
    let name = reference(image);
    Plan {
        name: image.name.clone(),
        stages: config.stages.clone(),
        build: build_plan(config, image, name.as_ref(), &scan.tags),
        engine: engine.unwrap_or_else(default),
        load: build.and_then(|build| value(&build.load)) == Some(true),
        scan,
        push: push::push_plan(
            config,
            image.settings.image.as_ref().map(|image| &image.value),
            image.settings.push.as_ref(),
            name.as_ref(),
        ),
        image: name,
        listed: image.list(),
    }
}

/// Registry and repository, when both were given.
fn reference(image: &ImageConfig) -> Option<Reference> {
    let image = &image.settings.image.as_ref()?.value;
    Some(Reference {
        registry: value(&image.registry)?,
        repository: value(&image.repository)?,
        tag: None,
        digest: None,
    })
}

fn build_plan(
    config: &Config,
    image: &ImageConfig,
    name: Option<&Reference>,
    tags: &[Tag],
) -> Option<BuildPlan> {
    let build = &image.settings.build.as_ref()?.value;
    let network = value(&build.network).map(|network| match network {
        Network::Default => "default",
        Network::None => "none",
        Network::Host => "host",
    });
    let name_of = |tag: &Tag| name.map(|name| format!("{name}:{tag}"));
    Some(BuildPlan {
        root: config.root.clone(),
        checkout: config.checkout.clone(),
        context: image.context.value.clone(),
        dockerfile: image.dockerfile.as_ref()?.value.clone(),
        target: value(&build.target),
        args: values(&build.args),
        labels: values(&build.labels),
        platforms: value(&build.platforms).unwrap_or_default(),
        secrets: image.secrets.clone(),
        ssh: image.ssh.clone(),
        network: network.map(str::to_owned),
        no_cache: value(&build.no_cache).unwrap_or_default(),
        pull: value(&build.pull).unwrap_or_default(),
        cache_from: value(&build.cache_from).unwrap_or_default(),
        cache_to: value(&build.cache_to).unwrap_or_default(),
        mirrors: image.mirrors.clone(),
        add_hosts: values(&build.add_hosts),
        cache_dir: image.cache_dir.clone().unwrap_or_default(),
        dump_llb: image.dump_llb.clone(),
        limits: value(&build.limits).unwrap_or_default().bounds(),
        source_date_epoch: image.source_date_epoch,
        names: tags.iter().filter_map(name_of).collect(),
        output: image.output.clone().unwrap_or_default(),
        ..BuildPlan::default()
    })
}

fn scan_plan(config: &Config, image: &ImageConfig) -> ScanPlan {
    let settings = &image.settings;
    let scan = settings
        .scan
        .as_ref()
        .map(|scan| scan.value.clone())
        .unwrap_or_default();
    let name = settings
        .image
        .as_ref()
        .map(|image| image.value.clone())
        .unwrap_or_default();
    let project = settings.project.as_ref().map(|project| &project.value);
    let platforms = settings
        .build
        .as_ref()
        .and_then(|build| build.value.platforms.clone());
    let rules = |rules: Vec<RuleName>| {
        let ids = rules.into_iter().flat_map(|rule| rule.ids);
        ids.map(str::to_owned).collect()
    };
    let given = |origin: &Origin| matches!(origin, Origin::Flag(_) | Origin::Variable(_));
    // What the file says of the image it builds does not concern an image that `scan` was given.
    let platforms = platforms.filter(|list| config.scan.is_none() || given(&list.origin));
    let set = value(&name.tag).map(|tags| tags.0).unwrap_or_default();
    let first_of = value(&name.version).filter(|_| set.is_empty());
    // The configuration made sure that the version leaves room for a number.
    let first = first_of
        .as_ref()
        .and_then(|version| Tag::next_build(version.as_str(), NO_TAGS).ok());
    let advisories = value(&scan.advisories);
    let fails_from = advisories.as_ref().and_then(fails_from);
    let only_fixed = advisories.as_ref().and_then(|own| value(&own.only_fixed));
    let max_age = advisories.and_then(|advisories| value(&advisories.max_age));
    ScanPlan {
        image: config.scan.clone(),
        platforms: platforms.map(|list| list.value).unwrap_or_default(),
        tags_given: name.tag.as_ref().is_some_and(|tags| given(&tags.origin)),
        profile: value(&scan.profile).unwrap_or_default(),
        only: rules(value(&scan.only).unwrap_or_default()),
        required: rules(value(&scan.required).unwrap_or_default().0),
        exceptions: value(&scan.exceptions)
            .unwrap_or_default()
            .0
            .into_iter()
            .flat_map(exceptions)
            .collect(),
        tags: set.into_iter().chain(first).collect(),
        floating_tags: value(&name.floating_tags).unwrap_or_default(),
        first_of,
        base: value(&scan.base),
        baseline: baseline::plan(config, &scan),
        fail_on: value(&scan.fail_on).unwrap_or_default(),
        anchor: anchor(config),
        max_age: max_age.map_or(DEFAULT_MAX_AGE, |days| i64::from(days.0)),
        fails_from,
        only_fixed: only_fixed.unwrap_or(false),
        privileged: project.and_then(|project| value(&project.privileged)),
    }
}

/// The least severity that fails; `critical-only` is the cutoff `critical`.
fn fails_from(advisories: &Advisories) -> Option<Severity> {
    if value(&advisories.critical_only) == Some(true) {
        return Some(Severity::Critical);
    }
    value(&advisories.severity_cutoff).map(|cutoff| match cutoff {
        config::Severity::Low => Severity::Low,
        config::Severity::Moderate => Severity::Moderate,
        config::Severity::Important => Severity::Important,
        config::Severity::Critical => Severity::Critical,
    })
}

/// The configuration file lies at the top of what it configures.
fn anchor(config: &Config) -> Option<String> {
    let name = config.file.as_ref()?.file_name()?;
    name.to_str().map(str::to_owned)
}

/// What is known of the tags that exist.
const NO_TAGS: [&str; 0] = [];

/// One exception for each rule that the name stands for.
fn exceptions(exemption: Exemption) -> Vec<Exception> {
    let (Some(rule), Some(reason)) = (exemption.rule, exemption.reason) else {
        return Vec::new();
    };
    let expires = exemption.expires.map(|expires| expires.value);
    let matching = exemption.matching.map(|matching| matching.value);
    let one = |id: &str| Exception {
        rule: id.to_owned(),
        reason: reason.value.clone(),
        expires,
        matching: matching.clone(),
    };
    rule.value.ids.into_iter().map(one).collect()
}

#[expect(clippy::ref_option, reason = "settings are fields of this type")]
fn value<T: Clone>(setting: &Setting<T>) -> Option<T> {
    setting.as_ref().map(|setting| setting.value.clone())
}

#[expect(clippy::ref_option, reason = "settings are fields of this type")]
fn values(setting: &Setting<Map<String>>) -> IndexMap<String, String> {
    let entries = setting.iter().flat_map(|map| &map.value);
    entries
        .map(|(key, value)| (key.clone(), value.value.clone()))
        .collect()
}
