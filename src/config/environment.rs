//! The environment, read once: Plimsoll's own variables, the inputs of the action, what the CI and
//! the docker tools say. Values are kept as secrets, for any of them may be one.

use std::{
    collections::BTreeMap, ffi::OsString, fmt, os::unix::ffi::OsStringExt as _, path::PathBuf,
};

use super::{
    conventions::REFUSED,
    given::{KEYS, Key},
};
use crate::secret::Secret;

/// Prefix of Plimsoll's own variables.
const OWN: &str = "PLIMSOLL_";
/// Prefix of the inputs that GitHub hands to an action that is a container.
const INPUT: &str = "INPUT_";
/// All inputs at once, as JSON: what a composite action hands over.
const INPUTS: &str = "PLIMSOLL_INPUTS";
/// Own variables that are no settings.
const OTHER_OWN: &[&str] = &[
    INPUTS,
    "PLIMSOLL_LOG",
    "PLIMSOLL_SHARED",
    "PLIMSOLL_RELEASES",
];

/// The environment of the process.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Secret>,
    inputs: BTreeMap<String, Secret>,
    /// why `PLIMSOLL_INPUTS` could not be read
    inputs_error: Option<String>,
}

/// The run's place on GitHub Actions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GitHub {
    /// `owner/name`
    pub repository: Option<String>,
    /// commit
    pub sha: Option<String>,
    /// `refs/heads/main`
    pub reference: Option<String>,
    /// what started the workflow
    pub event: Option<String>,
    /// file with the payload of that event
    pub event_path: Option<PathBuf>,
    /// checkout
    pub workspace: Option<PathBuf>,
    /// file for the step summary
    pub step_summary: Option<PathBuf>,
    /// file for the outputs of the step
    pub output: Option<PathBuf>,
    /// web address of the forge
    pub server_url: Option<String>,
    /// address of its REST API
    pub api_url: Option<String>,
    /// number of the run
    pub run_id: Option<String>,
    /// who started it
    pub actor: Option<String>,
    /// debug logging was asked for
    pub debug: bool,
}

/// The run's place on GitLab CI.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GitLab {
    /// checkout
    pub project_dir: Option<PathBuf>,
    /// `group/name`
    pub project_path: Option<String>,
    /// commit
    pub commit_sha: Option<String>,
    /// branch or tag
    pub commit_ref: Option<String>,
    /// number of the merge request
    pub merge_request: Option<String>,
    /// web address of the forge
    pub server_url: Option<String>,
    /// web address of the job
    pub job_url: Option<String>,
    /// address of the REST API
    pub api_url: Option<String>,
    /// number of the project
    pub project_id: Option<u64>,
}

/// How the docker tools reach their daemon and logins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Docker {
    /// `DOCKER_HOST`
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`
    pub context: Option<String>,
    /// `DOCKER_CONFIG`, a directory
    pub config: Option<PathBuf>,
    /// `DOCKER_CERT_PATH`, a directory
    pub cert_path: Option<PathBuf>,
    /// `DOCKER_TLS_VERIFY` is set
    pub tls_verify: bool,
    /// `BUILDKIT_HOST`
    pub buildkit_host: Option<String>,
    /// `REGISTRY_AUTH_FILE`
    pub registry_auth_file: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`
    pub runtime_dir: Option<PathBuf>,
    /// `HOME`
    pub home: Option<PathBuf>,
}

impl Environment {
    /// Takes the variables over; `main` hands in what the process was given.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        // A name that is not UTF-8 is none that anything here or in the configuration can ask for.
        let variables: BTreeMap<String, Secret> = variables
            .into_iter()
            .filter_map(|(name, value)| {
                Some((name.into_string().ok()?, Secret::new(value.into_vec())))
            })
            .collect();
        let mut environment = Self {
            variables,
            ..Self::default()
        };
        environment.read_inputs();
        environment
    }

    fn read_inputs(&mut self) {
        let Some(json) = self.text(INPUTS) else {
            return;
        };
        match serde_json::from_str::<BTreeMap<String, serde_json::Value>>(json) {
            Err(error) => {
                self.inputs_error = Some(format!(
                    "not a JSON object (line {}, column {})",
                    error.line(),
                    error.column()
                ));
            }
            Ok(inputs) => {
                self.inputs = inputs
                    .into_iter()
                    .map(|(name, value)| match value {
                        serde_json::Value::String(text) => (name, Secret::new(text)),
                        serde_json::Value::Null => (name, Secret::new("")),
                        other => (name, Secret::new(other.to_string())),
                    })
                    .collect();
            }
        }
    }

    /// Why the variable that carries the inputs is of no use.
    pub(super) fn inputs_error(&self) -> Option<(&'static str, &str)> {
        self.inputs_error.as_deref().map(|error| (INPUTS, error))
    }

    /// A variable, whatever it is; empty counts as unset.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.variables
            .get(name)
            .filter(|value| !value.expose().is_empty())
    }

    /// A variable as text; `None` when it is unset, empty or not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.secret(name)?.expose_str()
    }

    /// A variable as a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        let bytes = self.secret(name)?.expose().to_vec();
        Some(PathBuf::from(OsString::from_vec(bytes)))
    }

    /// A setting by one of its names: the input of the action, else the variable; with the name it
    /// was found under. Empty counts as unset, for GitHub hands over unset inputs as empty ones.
    pub fn setting(&self, name: &str) -> Option<(String, &Secret)> {
        let upper = name.to_ascii_uppercase();
        let snake = upper.replace('-', "_");
        let variables = [format!("{INPUT}{upper}"), format!("{INPUT}{snake}")];
        let input = variables.into_iter().find_map(|name| {
            let value = self.secret(&name)?;
            Some((name, value))
        });
        let json = || {
            let value = self
                .inputs
                .get(name)
                .filter(|value| !value.expose().is_empty())?;
            Some((format!("input {name}"), value))
        };
        let own = || {
            let name = format!("{OWN}{snake}");
            let value = self.secret(&name)?;
            Some((name, value))
        };
        input.or_else(json).or_else(own)
    }

    /// Variables that begin with `PLIMSOLL_` and mean nothing: slips of the pen.
    pub(super) fn unknown(&self) -> Vec<&str> {
        let known = |name: &str| {
            let rest = name.strip_prefix(OWN).unwrap_or_default();
            let key = rest.to_ascii_lowercase().replace('_', "-");
            OTHER_OWN.contains(&name)
                || KEYS.iter().any(|it: &Key| it.names.contains(&&*key))
                || REFUSED.iter().any(|it| it.names.contains(&&*key))
        };
        let own = self
            .variables
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with(OWN));
        own.filter(|name| !known(name)).collect()
    }

    /// Whether a CI runs this.
    pub fn is_ci(&self) -> bool {
        self.text("CI").is_some_and(|ci| ci != "false" && ci != "0")
    }

    /// `NO_COLOR` is set, or the terminal is a dumb one.
    pub fn no_color(&self) -> bool {
        self.text("NO_COLOR").is_some() || self.text("TERM") == Some("dumb")
    }

    /// The token of the forge: the input, else the CI's.
    pub fn token(&self) -> Option<Secret> {
        let input = ["token", "github-token"]
            .iter()
            .find_map(|name| self.setting(name));
        input
            .map(|(_, token)| token)
            .or_else(|| self.secret("GITHUB_TOKEN"))
            .cloned()
    }

    /// A token of GitLab that may write: the input, else `GITLAB_TOKEN`. The job's own may not.
    pub fn gitlab_token(&self) -> Option<Secret> {
        let input = self.setting("gitlab-token").map(|(_, token)| token);
        input.or_else(|| self.secret("GITLAB_TOKEN")).cloned()
    }

    /// Where the workflow asks for its identity, and the token for asking.
    pub fn identity(&self) -> Option<(String, Secret)> {
        let url = self.text("ACTIONS_ID_TOKEN_REQUEST_URL")?;
        let token = self.secret("ACTIONS_ID_TOKEN_REQUEST_TOKEN")?;
        Some((url.to_owned(), token.clone()))
    }

    /// Whether Azure Pipelines runs this.
    pub fn is_azure(&self) -> bool {
        self.text("TF_BUILD")
            .is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// User name for a registry.
    pub fn username(&self) -> Option<&str> {
        self.setting("username")
            .and_then(|(_, user)| user.expose_str())
    }

    /// User name and password or registry key that the inputs or variables give for a registry.
    pub fn login(&self) -> Option<(String, Secret)> {
        let (_, password) = self.setting("password")?;
        let user = self.username().unwrap_or("unused");
        Some((user.to_owned(), password.clone()))
    }

    /// The values that must never be printed: tokens, passwords, and what `secrets` gave.
    pub fn secrets(&self) -> Vec<Secret> {
        let settings = [
            "token",
            "github-token",
            "gitlab-token",
            "password",
            "secrets",
        ];
        let settings = settings
            .iter()
            .filter_map(|name| Some(self.setting(name)?.1.clone()));
        let variables = [
            "GITHUB_TOKEN",
            "GITLAB_TOKEN",
            "CI_JOB_TOKEN",
            "CI_REGISTRY_PASSWORD",
            "CI_DEPLOY_PASSWORD",
            "CI_DEPENDENCY_PROXY_PASSWORD",
            "SYSTEM_ACCESSTOKEN",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            "ACTIONS_RUNTIME_TOKEN",
        ];
        settings
            .chain(
                variables
                    .iter()
                    .filter_map(|name| self.secret(name).cloned()),
            )
            .collect()
    }

    /// An image that the inputs give for `run` to scan instead of building one.
    pub fn image_to_scan(&self) -> Option<String> {
        let (_, image) = self.setting("image-ref")?;
        image.expose_str().map(|image| image.trim().to_owned())
    }

    /// The docker tools' variables.
    pub fn docker(&self) -> Docker {
        let text = |name| self.text(name).map(str::to_owned);
        Docker {
            host: self
                .setting("docker-host")
                .and_then(|(_, host)| host.expose_str().map(str::to_owned))
                .or_else(|| text("DOCKER_HOST")),
            context: text("DOCKER_CONTEXT"),
            config: self.path("DOCKER_CONFIG"),
            cert_path: self.path("DOCKER_CERT_PATH"),
            tls_verify: self.secret("DOCKER_TLS_VERIFY").is_some(),
            buildkit_host: text("BUILDKIT_HOST"),
            registry_auth_file: self.path("REGISTRY_AUTH_FILE"),
            runtime_dir: self.path("XDG_RUNTIME_DIR"),
            home: self.path("HOME"),
        }
    }

    /// The file or directory for outputs that a setting names.
    pub fn file_for(&self, name: &str) -> Option<String> {
        let (_, path) = self.setting(name)?;
        path.expose_str().map(|path| path.trim().to_owned())
    }

    /// Where the steps of the job begin, when a CI says so.
    pub fn workspace(&self) -> Option<PathBuf> {
        let github = self.github().and_then(|github| github.workspace);
        github.or_else(|| self.gitlab()?.project_dir)
    }

    /// GitHub Actions, when it runs this.
    pub fn github(&self) -> Option<GitHub> {
        let text = |name| self.text(name).map(str::to_owned);
        (self.text("GITHUB_ACTIONS") == Some("true")).then(|| GitHub {
            repository: text("GITHUB_REPOSITORY"),
            sha: text("GITHUB_SHA"),
            reference: text("GITHUB_REF"),
            event: text("GITHUB_EVENT_NAME"),
            event_path: self.path("GITHUB_EVENT_PATH"),
            workspace: self.path("GITHUB_WORKSPACE"),
            step_summary: self.path("GITHUB_STEP_SUMMARY"),
            output: self.path("GITHUB_OUTPUT"),
            server_url: text("GITHUB_SERVER_URL"),
            api_url: text("GITHUB_API_URL"),
            run_id: text("GITHUB_RUN_ID"),
            actor: text("GITHUB_ACTOR"),
            debug: self.text("RUNNER_DEBUG") == Some("1"),
        })
    }

    /// GitLab CI, when it runs this.
    pub fn gitlab(&self) -> Option<GitLab> {
        let text = |name| self.text(name).map(str::to_owned);
        (self.text("GITLAB_CI") == Some("true")).then(|| GitLab {
            project_dir: self.path("CI_PROJECT_DIR"),
            project_path: text("CI_PROJECT_PATH"),
            commit_sha: text("CI_COMMIT_SHA"),
            commit_ref: text("CI_COMMIT_REF_NAME"),
            merge_request: text("CI_MERGE_REQUEST_IID"),
            server_url: text("CI_SERVER_URL"),
            job_url: text("CI_JOB_URL"),
            api_url: text("CI_API_V4_URL"),
            project_id: self.text("CI_PROJECT_ID").and_then(|id| id.parse().ok()),
        })
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.variables.keys().collect();
        f.debug_struct("Environment")
            .field("names", &names)
            .finish_non_exhaustive()
    }
}
