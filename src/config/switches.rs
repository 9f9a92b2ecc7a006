//! What holds for a whole run: switches that the command line, the environment and the inputs of other
//! actions set in several ways, and where the checkout begins.

use std::path::PathBuf;

use super::{
    ConfigError,
    ci::Ci,
    cli::{Cli, Command},
    conventions::pardons,
    environment::Environment,
    fault::Faults,
    given::Given,
    load::top_of,
    resolve::Resolver,
    sourced::{Origin, Sourced},
    texts::boolean,
};

impl Resolver<'_> {
    fn switch(&mut self, given: &Given, name: &str) -> Option<bool> {
        let (origin, texts) = given.get(name)?;
        match boolean(texts.first().map_or("", String::as_str)) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.faults
                    .push(origin.clone(), problem.message, problem.help);
                None
            }
        }
    }

    /// Whether nothing is to be done.
    pub(super) fn dry_run(&mut self, given: &Given) -> bool {
        let asked = match &self.cli.command {
            Command::Run(run) => run.dry_run,
            Command::Push(push) => push.dry_run,
            _ => false,
        };
        let set = self.switch(given, "dry-run");
        asked || set == Some(true)
    }

    /// Whether tags may be moved.
    pub(super) fn force(&mut self, given: &Given) -> bool {
        let asked = match &self.cli.command {
            Command::Run(run) => run.push.transfer.force,
            Command::Push(push) => push.transfer.force,
            _ => false,
        };
        let set = self.switch(given, "force");
        asked || set == Some(true)
    }

    /// Whether the verdict leaves the exit code alone.
    pub(super) fn exit_zero(&mut self, given: &Given) -> bool {
        let mut pardoned = self.cli.global.exit_zero;
        pardoned |= self.switch(given, "exit-zero") == Some(true);
        pardoned |= self.switch(given, "fail-build") == Some(false);
        for name in ["exit-code", "failure-threshold"] {
            let Some((origin, [text, ..])) = given.get(name) else {
                continue;
            };
            match pardons(name, text) {
                Ok(pardons) => pardoned |= pardons,
                Err(problem) => self
                    .faults
                    .push(origin.clone(), problem.message, problem.help),
            }
        }
        pardoned
    }

    /// Whether the certificates of the image's registry go unchecked; the first that says so counts.
    pub(super) fn unverified(&mut self, levels: &[&Given]) -> bool {
        let set = levels
            .iter()
            .find_map(|given| self.switch(given, "tls-verify"));
        set == Some(false)
    }

    /// The top of the checkout, which locations are relative to.
    pub(super) fn checkout(&mut self, ci: Option<&Sourced<Ci>>) -> PathBuf {
        let root = self.bases.root.clone();
        let Some(named) = ci.and_then(|ci| ci.value.checkout_path.as_ref()) else {
            return top_of(&root).unwrap_or(root);
        };
        let path = self.bases.absolute(named);
        match path.canonicalize() {
            Ok(path) if root.starts_with(&path) => path,
            Ok(path) => {
                let message = format!("{} does not hold {}", path.display(), root.display());
                let help = "name the directory that the repository was checked out into".to_owned();
                self.faults.push(named.origin.clone(), message, Some(help));
                root
            }
            Err(error) => {
                let message = format!("{}: {error}", path.display());
                self.faults.push(named.origin.clone(), message, None);
                root
            }
        }
    }

    /// `SOURCE_DATE_EPOCH`, in seconds since 1970.
    pub(super) fn source_date_epoch(&mut self) -> Option<i64> {
        const NAME: &str = "SOURCE_DATE_EPOCH";
        let text = self.environment.text(NAME)?;
        let seconds = text.parse().ok().filter(|seconds: &i64| *seconds >= 0);
        let origin = Origin::Variable(NAME.to_owned());
        if seconds.is_none() && !self.faults.list.iter().any(|fault| fault.origin == origin) {
            let message = format!(
                "`{}` is no number of seconds since 1970",
                text.escape_debug()
            );
            self.faults.push(origin, message, None);
        }
        seconds
    }
}

/// Whether the certificate of the registry goes unchecked, for commands that read no configuration.
///
/// # Errors
/// When what says so is neither true nor false.
pub fn unverified(cli: &Cli, environment: &Environment) -> Result<bool, ConfigError> {
    let mut faults = Faults::default();
    let variable = environment.setting("tls-verify");
    let variable = variable.map(|(name, value)| {
        let text = value.expose_str().unwrap_or_default().to_owned();
        (Origin::Variable(name), text)
    });
    let flag = cli.global.tls_verify.clone();
    let flag = flag.map(|text| (Origin::Flag("--tls-verify"), text));
    let Some((origin, text)) = flag.or(variable) else {
        return Ok(false);
    };
    match boolean(text.trim()) {
        Ok(verify) => Ok(!verify),
        Err(problem) => {
            faults.push(origin, problem.message, problem.help);
            Err(ConfigError::Faults(Box::new(faults)))
        }
    }
}

pub(super) fn unknown_variables(environment: &Environment) -> Vec<String> {
    let unknown = environment.unknown();
    let note = |name: &&str| format!("`{name}` is set in the environment but means nothing");
    unknown.iter().map(note).collect()
}
