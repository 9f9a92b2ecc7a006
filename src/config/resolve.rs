//! All levels merged, and what they name looked up: paths, secrets, agents.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use jiff::civil::Date;

use super::{
    ConfigError, Words,
    amounts::{cache_dir, dump_llb},
    cli::{Cli, Command},
    conventions,
    decode::Value as _,
    effective::{Config, ImageConfig},
    environment::Environment,
    fault::Faults,
    file::{Build, Entry, Image, Scan, Settings},
    given::Given,
    load::{canonical, decode, find, read},
    paths::{Bases, is_free},
    sourced::{Origin, Sourced},
    switches::unknown_variables,
    values::{EngineChoice, ReportTo, Stage},
};
use crate::{
    oci::{Reference, Tag},
    policy::Profile,
};

/// Reads and merges everything: command line before environment before file before defaults.
/// `cwd` is the current directory, `today` the date in UTC.
pub fn load(
    cli: &Cli,
    environment: &Environment,
    cwd: &Path,
    today: Date,
    words: &Words,
) -> Result<Config, ConfigError> {
    let place = find(named(cli, environment).as_deref(), cwd)?;
    let (file, mut faults) = match &place.file {
        Some(path) => decode(&path.display().to_string(), &read(path, cwd)?, words, today),
        None => Default::default(),
    };
    let mut from_cli = Given::from_command(&cli.command);
    from_cli.add("format", &cli.global.format);
    from_cli.add("report", &cli.global.report);
    let mut from_environment = Given::from_environment(environment, &mut faults);
    from_cli.add("timeout", cli.global.timeout.as_slice());
    from_cli.add("tls-verify", cli.global.tls_verify.as_slice());
    let bases = Bases {
        root: place.root.clone(),
        cwd: canonical(cwd)?,
    };
    from_environment.translate(&bases, &mut faults);
    conventions::refuse(environment, &mut faults);
    let levels = vec![
        from_cli.settings(words, environment, &mut faults),
        from_environment.settings(words, environment, &mut faults),
        file,
        defaults(),
    ];
    let mut resolver = Resolver {
        cli,
        environment,
        bases,
        words,
        faults,
    };
    let mut warnings = unknown_variables(environment);
    let images = resolver.images(levels.clone(), &mut warnings);
    let merged = merge(levels);
    let stages = resolver.stages(&merged);
    let reports = resolver.reports(merged.report, &[&from_environment, &from_cli]);
    let checkout = resolver.checkout(merged.ci.as_ref());
    let ci = resolver.ci(merged.ci);
    let config = Config {
        root: place.root,
        file: place.file,
        stages,
        dry_run: resolver.dry_run(&from_environment),
        exit_zero: resolver.exit_zero(&from_environment),
        unverified: resolver.unverified(&[&from_cli, &from_environment]),
        timeout: merged.timeout,
        checkout,
        reports,
        force: resolver.force(&from_environment),
        images,
        scan: match &cli.command {
            Command::Scan(scan) => Some(scan.image.clone()),
            Command::Push(push) => Some(push.source.clone()),
            _ => None,
        },
        ci,
        warnings,
    };
    if resolver.faults.list.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError::Faults(Box::new(resolver.faults)))
    }
}

/// The configuration file that the command line or the environment names.
pub(super) fn named(cli: &Cli, environment: &Environment) -> Option<PathBuf> {
    let given = cli.global.config.clone();
    given.or_else(|| {
        let (_, path) = environment.setting("config")?;
        path.expose_str().map(PathBuf::from)
    })
}

/// The lowest level.
fn defaults() -> Settings {
    let no = || Some(by_default(false));
    let build = Build {
        context: Some(by_default(".".into())),
        no_cache: no(),
        pull: no(),
        engine: Some(by_default(EngineChoice::Auto)),
        ..Build::default()
    };
    let scan = Scan {
        profile: Some(by_default(Profile::Container)),
        ..Scan::default()
    };
    let stages = vec![Stage::Check, Stage::Build, Stage::Scan];
    let report = ReportTo {
        format: "table".to_owned(),
        path: None,
    };
    Settings {
        build: Some(by_default(build)),
        image: Some(by_default(Image::default())),
        scan: Some(by_default(scan)),
        stages: Some(by_default(stages)),
        report: Some(by_default(vec![report])),
        ..Settings::default()
    }
}

fn by_default<T>(value: T) -> Sourced<T> {
    Sourced::new(value, Origin::Default)
}

/// Merges levels, the highest first.
pub(super) fn merge(levels: impl IntoIterator<Item = Settings>) -> Settings {
    let mut levels = levels.into_iter();
    let highest = levels.next().unwrap_or_default();
    let rest: Vec<Settings> = levels.collect();
    rest.into_iter().fold(highest, Settings::over)
}

/// What an entry of `images` sets, as a level above the shared keys.
fn level(entry: Entry) -> Settings {
    Settings {
        project: entry.project,
        source: entry.source,
        build: entry.build,
        image: entry.image,
        scan: entry.scan,
        publish: entry.publish,
        rebuild: entry.rebuild,
        checklist: entry.checklist,
        ..Settings::default()
    }
}

pub(super) struct Resolver<'a> {
    pub(super) cli: &'a Cli,
    pub(super) environment: &'a Environment,
    pub(super) bases: Bases,
    pub(super) words: &'a Words,
    pub(super) faults: Faults,
}

impl Resolver<'_> {
    /// The images; `levels` are command line, environment, file and defaults.
    fn images(
        &mut self,
        mut levels: Vec<Settings>,
        warnings: &mut Vec<String>,
    ) -> Vec<ImageConfig> {
        let entries = levels.iter_mut().find_map(|level| level.images.take());
        let entries = entries.map(|entries| entries.value).unwrap_or_default();
        let scans = self.is_given();
        if entries.is_empty() || scans {
            if !entries.is_empty() {
                let note =
                    "of `images`, an image that is named takes only what is set above them for all";
                warnings.push(note.to_owned());
            }
            return self.image(None, merge(levels)).into_iter().collect();
        }
        if entries.len() > 1 {
            self.no_shared_file(levels.first());
        }
        self.names_differ(&entries);
        let image = |entry: Entry| {
            let name = entry.name.clone().map(|name| name.value);
            let mut levels = levels.clone();
            // Below command line and environment, above what the file shares.
            levels.insert(2.min(levels.len()), level(entry));
            self.image(name, merge(levels))
        };
        entries.into_iter().filter_map(image).collect()
    }

    /// The command was given an image that exists.
    fn is_given(&self) -> bool {
        matches!(self.cli.command, Command::Scan(_) | Command::Push(_))
    }

    /// A Dockerfile on the command line would hold for every image.
    fn no_shared_file(&mut self, cli: Option<&Settings>) {
        let build = cli.and_then(|cli| Some(&cli.build.as_ref()?.value));
        let given = build.and_then(|build| build.dockerfile.as_ref());
        if let Some(given) = given {
            let message = "the configuration has several images, this would hold for each of them";
            let help = "set `build.dockerfile` of the image".to_owned();
            self.faults
                .push(given.origin.clone(), message.to_owned(), Some(help));
        }
    }

    fn names_differ(&mut self, entries: &[Entry]) {
        for (index, entry) in entries.iter().enumerate() {
            let Some(name) = &entry.name else { continue };
            let earlier = entries
                .iter()
                .take(index)
                .filter_map(|entry| entry.name.as_ref());
            if earlier.into_iter().any(|other| other.value == name.value) {
                let message = format!("a second image with the name `{}`", name.value);
                self.faults.push(name.origin.clone(), message, None);
            }
        }
    }

    fn image(&mut self, name: Option<String>, settings: Settings) -> Option<ImageConfig> {
        let build = settings
            .build
            .clone()
            .map(|build| build.value)
            .unwrap_or_default();
        let wanted = build.context.clone()?;
        let context = match self.bases.context(&wanted) {
            Ok(path) => Sourced::new(path, wanted.origin),
            Err(problem) => {
                self.faults
                    .push(wanted.origin, problem.message, problem.help);
                return None;
            }
        };
        let dockerfile = self.dockerfile(&build, &context.value);
        self.check_name(settings.image.as_ref().map(|image| &image.value));
        self.check_push(&settings);
        self.check_load(&settings);
        let builds = matches!(self.cli.command, Command::Run(_) | Command::Build(_));
        let (secrets, ssh) = if builds {
            (self.secrets(&build), self.ssh(&build))
        } else {
            Default::default()
        };
        let output = build.output.as_ref().map(|path| self.bases.absolute(path));
        if matches!(self.cli.command, Command::Build(_)) && output.is_none() {
            let message = "`plimsoll build` wants to know where the image goes".to_owned();
            let help = "name a directory with `--output` or `build.output`".to_owned();
            self.faults.push(Origin::Default, message, Some(help));
        }
        let output = match &name {
            Some(name) => output.map(|path| path.join(name)),
            None => output,
        };
        if let (Some(path), Some(wanted), true) = (&output, &build.output, builds)
            && let Err(problem) = is_free(path)
        {
            let origin = wanted.origin.clone();
            self.faults.push(origin, problem.message, problem.help);
        }
        Some(ImageConfig {
            mirrors: self.mirrors(&build),
            source_date_epoch: self.source_date_epoch(),
            cache_dir: cache_dir(&build, &self.bases, self.environment),
            dump_llb: dump_llb(&self.cli.command, &self.bases, name.as_deref()),
            name,
            settings,
            context,
            dockerfile,
            secrets,
            ssh,
            output,
        })
    }

    /// Registry and repository together must be a reference, whoever set the one and the other.
    fn check_name(&mut self, image: Option<&Image>) {
        let Some(image) = image else { return };
        if let (Some(version), None) = (&image.version, &image.tag) {
            let none: [&str; 0] = [];
            for error in Tag::next_build(version.value.as_str(), none)
                .err()
                .into_iter()
                .flatten()
            {
                self.faults
                    .push(version.origin.clone(), error.to_string(), None);
            }
        }
        let (origin, problem) = match (&image.registry, &image.repository) {
            (None, None) => return,
            (Some(registry), Some(repository)) => {
                let text = format!("{}/{}", registry.value, repository.value);
                let reason = match text.parse::<Reference>() {
                    Err(error) => error.to_string(),
                    Ok(name) if name.tag.is_some() || name.digest.is_some() => {
                        format!("`{text}` has a tag or digest; the tag goes into `image.tag`")
                    }
                    Ok(_) => return,
                };
                (&repository.origin, reason)
            }
            (Some(registry), None) => {
                (&registry.origin, "`image.repository` is missing".to_owned())
            }
            (None, Some(repository)) => {
                (&repository.origin, "`image.registry` is missing".to_owned())
            }
        };
        self.faults.push(origin.clone(), problem, None);
    }

    /// `scan` judges images that may come from elsewhere: only a Dockerfile that was named counts.
    fn dockerfile(&mut self, build: &Build, context: &Path) -> Option<Sourced<PathBuf>> {
        let wanted = build.dockerfile.as_ref();
        if self.is_given() && wanted.is_none() {
            return None;
        }
        let origin = wanted.map_or(Origin::Default, |path| path.origin.clone());
        match self.bases.dockerfile(wanted, context) {
            Ok(path) => Some(Sourced::new(path, origin)),
            Err(problem) => {
                self.faults.push(origin, problem.message, problem.help);
                None
            }
        }
    }

    fn mirrors(&self, build: &Build) -> IndexMap<String, String> {
        let mirrors = build.mirrors.iter().flat_map(|mirrors| &mirrors.value);
        mirrors
            .map(|(from, to)| {
                let to = match to.value.strip_prefix("oci:") {
                    Some(path) => {
                        format!("oci:{}", self.bases.of(&to.origin).join(path).display())
                    }
                    None => to.value.clone(),
                };
                (from.clone(), to)
            })
            .collect()
    }
}
