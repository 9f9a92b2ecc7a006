//! From the texts of the command line and the environment to settings.

use super::{
    Words,
    ci::Ci,
    conventions,
    decode::{Leaf, Map, Problem},
    environment::Environment,
    fault::Faults,
    file::{Advisories, Build, Exemption, Image, Scan, SecretSource, Settings},
    given::Given,
    lists::{Joined, Tags},
    severity::{self, Severity},
    sourced::{Origin, Setting, Sourced},
    values::{KeyValue, RuleName},
};

impl Given {
    /// Settings of all the texts; what is wrong with them goes to `faults`.
    pub(super) fn settings(
        &self,
        words: &Words,
        environment: &Environment,
        faults: &mut Faults,
    ) -> Settings {
        let mut reader = Reader {
            given: self,
            words,
            environment,
            faults,
        };
        let (registry, repository) = reader.image();
        let image = Image {
            registry,
            repository,
            tag: reader.many("tags").map(|tags| tags.map(Tags)),
            mount_from: reader.many("mount-from"),
            ..Image::default()
        };
        let advisories = Advisories {
            critical_only: reader.flag("critical-only"),
            severity_cutoff: reader.severity_cutoff(),
            only_fixed: reader.flag("only-fixed"),
            ..Advisories::default()
        };
        let advisories = (advisories != Advisories::default()).then_some(advisories);
        let scan = Scan {
            profile: reader.one("profile"),
            only: reader.many("only"),
            required: reader.many("require").map(|rules| rules.map(Joined)),
            exceptions: reader.exceptions().map(|rules| rules.map(Joined)),
            base: reader.one("base"),
            advisories: advisories.map(section),
            baseline: reader.one("baseline"),
            fail_on: reader.one("fail-on"),
        };
        Settings {
            build: Some(section(reader.build())),
            ci: Some(section(reader.ci())),
            image: Some(section(image)),
            scan: Some(section(scan)),
            report: reader.many("format"),
            stages: reader.many("stages"),
            push: reader.flag("push"),
            timeout: reader.one("timeout"),
            ..Settings::default()
        }
    }
}

/// A section has no origin of its own; what stands in it does.
fn section<T>(value: T) -> Sourced<T> {
    Sourced::new(value, Origin::Default)
}

struct Reader<'a> {
    given: &'a Given,
    words: &'a Words,
    environment: &'a Environment,
    faults: &'a mut Faults,
}

impl Reader<'_> {
    fn ci(&mut self) -> Ci {
        Ci {
            upload_sarif: self.one("upload-sarif"),
            wait_for_processing: self.flag("wait-for-processing"),
            category: self.one("category"),
            checkout_path: self.one("checkout-path"),
            reference: self.one("ref"),
            sha: self.one("sha"),
            check_run: self.flag("check-run"),
            comment: self.flag("comment"),
            status: self.flag("status"),
            annotations: self.one("annotations"),
            job_summary: self.flag("job-summary"),
            token_file: self.one("token-file"),
            dotenv: self.one("dotenv"),
            results_dir: self.one("results-dir"),
            registry_oidc: self.one("registry-oidc"),
            dry_run: self.flag("ci-dry-run"),
        }
    }

    fn build(&mut self) -> Build {
        Build {
            context: self.one("context"),
            dockerfile: self.one("file"),
            target: self.one("target"),
            args: self.args(),
            labels: self.map("labels"),
            secrets: self.secrets(),
            ssh: self.many("ssh"),
            platforms: self.many("platforms"),
            network: self.one("network"),
            no_cache: self.flag("no-cache"),
            pull: self.flag("pull"),
            cache_from: self.many("cache-from"),
            cache_to: self.many("cache-to"),
            engine: self.one("engine"),
            cache_dir: self.one("cache-dir"),
            limits: None,
            mirrors: self.mirrors(),
            add_hosts: self.map("add-hosts"),
            output: self.one("output"),
            load: self.flag("load"),
        }
    }

    fn parse<T>(
        &mut self,
        origin: &Origin,
        text: &str,
        read: impl FnOnce(&str, &Words) -> Result<T, Problem>,
    ) -> Option<T> {
        match read(text, self.words) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.faults
                    .push(origin.clone(), problem.message, problem.help);
                None
            }
        }
    }

    fn all<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str, &Words) -> Result<T, Problem>,
    ) -> Setting<Vec<T>> {
        let (origin, texts) = self.given.get(name)?;
        let values = texts
            .iter()
            .filter_map(|text| self.parse(origin, text, &read))
            .collect();
        Some(Sourced::new(values, origin.clone()))
    }

    fn one<T: Leaf>(&mut self, name: &str) -> Setting<T> {
        let (origin, texts) = self.given.get(name)?;
        let value = self.parse(origin, texts.first()?, T::parse)?;
        Some(Sourced::new(value, origin.clone()))
    }

    fn many<T: Leaf>(&mut self, name: &str) -> Setting<Vec<T>> {
        self.all(name, T::parse)
    }

    fn flag(&mut self, name: &str) -> Setting<bool> {
        let (origin, texts) = self.given.get(name)?;
        let value = self.parse(origin, texts.first()?, |text, _| boolean(text))?;
        Some(Sourced::new(value, origin.clone()))
    }

    fn map(&mut self, name: &str) -> Setting<Map<String>> {
        let pairs = self.all(name, |text, words| {
            let KeyValue { key, value } = KeyValue::parse(text, words)?;
            let value = value.ok_or_else(|| no_value(text))?;
            Ok((key, value))
        })?;
        Some(joined(pairs))
    }

    /// Mirrors, and the images among named contexts.
    fn mirrors(&mut self) -> Setting<Map<String>> {
        let contexts = self.all("build-contexts", conventions::context).map(joined);
        match (self.map("mirrors"), contexts) {
            (Some(mut mirrors), Some(contexts)) => {
                for (name, place) in contexts.value {
                    mirrors.value.entry(name).or_insert(place);
                }
                Some(mirrors)
            }
            (mirrors, contexts) => mirrors.or(contexts),
        }
    }

    fn severity_cutoff(&mut self) -> Setting<Severity> {
        let (origin, texts) = self.given.get("severity-cutoff")?;
        let words = self.words;
        let read = |_: &str, _: &Words| severity::cutoff(texts, words);
        let value = self.parse(origin, "", read)?;
        Some(Sourced::new(value, origin.clone()))
    }

    /// Build arguments: `KEY` alone takes the value of the environment; unset there, it is not set
    /// for the build either.
    fn args(&mut self) -> Setting<Map<String>> {
        let environment = self.environment;
        let pairs = self.all("build-args", |text, words| {
            let KeyValue { key, value } = KeyValue::parse(text, words)?;
            let value = value.or_else(|| environment.text(&key).map(str::to_owned));
            let help = "set it, or write KEY=VALUE".to_owned();
            let unset = || Problem::new(format!("the environment has no `{key}`")).help(Some(help));
            let value = value.ok_or_else(unset)?;
            Ok((key, value))
        })?;
        Some(joined(pairs))
    }

    fn secrets(&mut self) -> Setting<Map<SecretSource>> {
        let mut found: Setting<Map<SecretSource>> = None;
        let forms: [(&str, SecretReader); 3] = [
            ("secret-envs", |text, origin| {
                simple_secret(text, origin, "env")
            }),
            ("secret-files", |text, origin| {
                simple_secret(text, origin, "src")
            }),
            ("secret", secret),
        ];
        for (name, read) in forms {
            let Some((origin, _)) = self.given.get(name) else {
                continue;
            };
            let Some(pairs) = self.all(name, |text, _| read(text, origin)) else {
                continue;
            };
            let map = joined(pairs);
            match &mut found {
                Some(found) => found.value.extend(map.value),
                None => found = Some(map),
            }
        }
        found
    }

    fn exceptions(&mut self) -> Setting<Vec<Exemption>> {
        let (origin, _) = self.given.get("skip")?;
        self.all("skip", |text, words| {
            let KeyValue { key, value } = KeyValue::parse(text, words)?;
            let help = "write RULE=REASON: the reason goes into the reports".to_owned();
            let rule = RuleName::parse(&key, words)?;
            let reason = value
                .filter(|reason| !reason.trim().is_empty())
                .ok_or_else(|| {
                    Problem::new(format!("no reason is given for skipping `{key}`"))
                        .help(Some(help))
                })?;
            Ok(Exemption {
                rule: Some(Sourced::new(rule, origin.clone())),
                reason: Some(Sourced::new(reason, origin.clone())),
                ..Exemption::default()
            })
        })
    }

    fn image(&mut self) -> (Setting<String>, Setting<String>) {
        let registry = self.one::<String>("registry");
        let Some(image) = self.one::<String>("image") else {
            return (registry, None);
        };
        // What stands first in `image` is a registry when it looks like one, as docker has it.
        let first = image.value.split('/').next().unwrap_or_default();
        let names_one = first.contains(['.', ':']) || first == "localhost";
        if let (Some(registry), false) = (registry, names_one) {
            return (Some(registry), Some(image));
        }
        match image.value.split_once('/') {
            Some((registry, repository)) if !registry.is_empty() && !repository.is_empty() => (
                Some(Sourced::new(registry.to_owned(), image.origin.clone())),
                Some(Sourced::new(repository.to_owned(), image.origin.clone())),
            ),
            _ => {
                let message = format!("`{}` names no registry", image.value.escape_debug());
                let help = "write REGISTRY/REPOSITORY, such as `registry.example.com/team/app`";
                self.faults
                    .push(image.origin, message, Some(help.to_owned()));
                (None, None)
            }
        }
    }
}

type SecretReader = fn(&str, &Origin) -> Result<(String, SecretSource), Problem>;

fn joined<T>(pairs: Sourced<Vec<(String, T)>>) -> Sourced<Map<T>> {
    let origin = pairs.origin.clone();
    let place = |(key, value)| (key, Sourced::new(value, origin.clone()));
    pairs.map(|pairs| pairs.into_iter().map(place).collect())
}

fn no_value(text: &str) -> Problem {
    Problem::new(format!("`{}` has no value", text.escape_debug()))
        .help(Some("write NAME=VALUE".to_owned()))
}

/// `true` or `false`, as CI systems and shells write them.
pub(super) fn boolean(text: &str) -> Result<bool, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(Problem::new(format!(
            "`{}` is neither true nor false",
            text.escape_debug()
        ))),
    }
}

/// `ID=NAME` or `ID=PATH`.
fn simple_secret(
    text: &str,
    origin: &Origin,
    field: &str,
) -> Result<(String, SecretSource), Problem> {
    let (id, value) = text.split_once('=').ok_or_else(|| no_value(text))?;
    secret(&format!("id={id},{field}={value}"), origin)
}

/// `id=ID,src=FILE` or `id=ID,env=NAME`, as `docker buildx build` has it. The text is not repeated
/// in messages: it may hold what was meant to be secret.
fn secret(text: &str, origin: &Origin) -> Result<(String, SecretSource), Problem> {
    const HELP: &str = "write id=ID,src=FILE or id=ID,env=NAME; a secret itself never goes here";
    let wrong = |message: &str| Problem::new(message).help(Some(HELP.to_owned()));
    let (mut id, mut source) = (None, SecretSource::default());
    for part in text.split(',') {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| wrong("a part without `=`"))?;
        match key.trim() {
            "id" => id = Some(value.to_owned()),
            "src" | "source" => source.src = Some(Sourced::new(value.into(), origin.clone())),
            "env" => source.env = Some(Sourced::new(value.to_owned(), origin.clone())),
            "type" if matches!(value, "file" | "env") => {}
            _ => return Err(wrong("a part that is none of id, src and env")),
        }
    }
    let id = id
        .filter(|id| !id.is_empty())
        .ok_or_else(|| wrong("a secret without id"))?;
    if source.src.is_some() == source.env.is_some() {
        return Err(wrong("a secret wants one source: src or env"));
    }
    Ok((id, source))
}
