//! What the command line and the environment set, brought into one form: texts by key. One table
//! names each key everywhere, one function makes settings of them.

use super::{
    cli::{CiArgs, Command, DockerfileArgs, EngineArgs, NameArgs, PolicyArgs, ValueArgs},
    environment::Environment,
    fault::Faults,
    sourced::Origin,
};

/// How the environment writes several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// one value
    One,
    /// separated by line ends, commas or blanks
    Words,
    /// one a line
    Lines,
}

/// A key that the command line and the environment know.
#[derive(Debug)]
pub(super) struct Key {
    /// names of the input and, in capitals after `PLIMSOLL_`, of the variable; the first is ours
    pub(super) names: &'static [&'static str],
    /// option of the command line
    pub(super) flag: &'static str,
    pub(super) split: Split,
}

const fn key(names: &'static [&'static str], flag: &'static str, split: Split) -> Key {
    Key { names, flag, split }
}

/// Every key.
pub(super) const KEYS: &[Key] = &[
    key(&["config"], "--config", Split::One),
    key(&["stages"], "STAGE", Split::Words),
    key(&["dry-run"], "--dry-run", Split::One),
    key(&["exit-zero", "no-fail"], "--exit-zero", Split::One),
    key(&["fail-build"], "", Split::One),
    key(&["exit-code"], "", Split::One),
    key(&["failure-threshold"], "", Split::One),
    key(&["timeout"], "--timeout", Split::One),
    key(&["format", "output-format"], "--format", Split::Words),
    key(&["output-file"], "", Split::One),
    key(&["report"], "--report", Split::Words),
    key(&["context"], "--context", Split::One),
    key(
        &["file", "dockerfile", "containerfiles", "dockerfiles"],
        "--file",
        Split::One,
    ),
    key(&["target"], "--target", Split::One),
    key(&["build-args", "build-arg"], "--build-arg", Split::Lines),
    key(&["labels", "label"], "--label", Split::Lines),
    key(&["secret"], "--secret", Split::Lines),
    key(&["secrets"], "", Split::Lines),
    key(&["secret-envs"], "", Split::Lines),
    key(&["secret-files"], "", Split::Lines),
    key(&["ssh"], "--ssh", Split::Lines),
    key(&["platforms", "platform"], "--platform", Split::Words),
    key(&["network"], "--network", Split::One),
    key(&["no-cache"], "--no-cache", Split::One),
    key(&["pull"], "--pull", Split::One),
    key(&["cache-from"], "--cache-from", Split::Lines),
    key(&["cache-to"], "--cache-to", Split::Lines),
    key(&["engine"], "--engine", Split::One),
    key(&["cache-dir"], "--cache-dir", Split::One),
    key(&["mirrors", "mirror"], "--mirror", Split::Lines),
    key(&["add-hosts", "add-host"], "--add-host", Split::Lines),
    key(&["build-contexts"], "", Split::Lines),
    key(&["output"], "--output", Split::One),
    key(&["load"], "--load", Split::One),
    key(&["tags", "tag"], "--tag", Split::Words),
    key(&["image"], "--image", Split::One),
    key(&["registry"], "", Split::One),
    key(&["image-ref"], "", Split::One),
    key(&["tls-verify"], "--tls-verify", Split::One),
    key(&["docker-host"], "", Split::One),
    key(&["push"], "--push", Split::One),
    key(&["mount-from"], "--mount-from", Split::Words),
    key(&["force"], "--force", Split::One),
    key(&["profile"], "--profile", Split::One),
    key(&["only"], "--only", Split::Words),
    key(&["skip", "ignore"], "--skip", Split::Lines),
    key(&["ignore-file", "trivyignores"], "", Split::One),
    key(&["require"], "--require", Split::Words),
    key(&["base"], "--base", Split::One),
    key(&["critical-only"], "--critical-only", Split::One),
    key(
        &["severity-cutoff", "min-severity", "severity"],
        "--severity-cutoff",
        Split::Words,
    ),
    key(
        &["only-fixed", "ignore-unfixed"],
        "--only-fixed",
        Split::One,
    ),
    key(&["baseline"], "--baseline", Split::One),
    key(&["fail-on"], "--fail-on", Split::One),
    key(&["as-of"], "--as-of", Split::One),
    key(
        &["upload-sarif", "advanced-security"],
        "--upload-sarif",
        Split::One,
    ),
    key(
        &["wait-for-processing"],
        "--wait-for-processing",
        Split::One,
    ),
    key(&["category"], "--category", Split::One),
    key(
        &["checkout-path", "checkout_path"],
        "--checkout-path",
        Split::One,
    ),
    key(&["ref"], "--ref", Split::One),
    key(&["sha"], "--sha", Split::One),
    key(&["check-run"], "--check-run", Split::One),
    key(&["comment", "comment-on-pr"], "--comment", Split::One),
    key(&["status"], "--status", Split::One),
    key(&["annotations"], "--annotations", Split::One),
    key(&["job-summary", "jobSummary"], "--job-summary", Split::One),
    key(&["token-file"], "--token-file", Split::One),
    key(&["dotenv"], "--dotenv", Split::One),
    key(&["results-dir"], "--results-dir", Split::One),
    key(&["registry-oidc"], "--registry-oidc", Split::One),
    key(&["ci-dry-run"], "--ci-dry-run", Split::One),
    key(&["gitlab-token"], "", Split::One),
    key(&["username"], "", Split::One),
    key(&["password"], "", Split::One),
    key(&["token", "github-token"], "", Split::One),
];

/// Texts by key, all of one level.
#[derive(Debug, Default)]
pub(super) struct Given(Vec<(&'static str, Origin, Vec<String>)>);

impl Given {
    /// What the environment sets. Values of secrets stay behind.
    pub(super) fn from_environment(environment: &Environment, faults: &mut Faults) -> Self {
        let mut given = Self::default();
        if let Some((name, error)) = environment.inputs_error() {
            faults.push(Origin::Variable(name.to_owned()), error.to_owned(), None);
        }
        for key in KEYS.iter().filter(|key| !SECRET.contains(&key.names[0])) {
            let Some((name, value)) = key.names.iter().find_map(|name| environment.setting(name))
            else {
                continue;
            };
            let origin = Origin::Variable(name);
            let Some(text) = value.expose_str() else {
                faults.push(origin, "not UTF-8".to_owned(), None);
                continue;
            };
            let is_break = |c: char| match key.split {
                Split::One => false,
                Split::Words => c == ',' || c.is_whitespace(),
                Split::Lines => c == '\n',
            };
            let texts = text
                .split(is_break)
                .map(str::trim)
                .filter(|text| !text.is_empty());
            given
                .0
                .push((key.names[0], origin, texts.map(str::to_owned).collect()));
        }
        given
    }

    /// What the command line sets.
    pub(super) fn from_command(command: &Command) -> Self {
        let mut given = Self::default();
        match command {
            Command::Run(run) => {
                given.add("stages", &run.stages);
                given.dockerfile(&run.what);
                given.build(&run.build);
                given.name(&run.name);
                given.policy(&run.scan);
                given.add("push", &yes(run.push.push));
                given.add("mount-from", &run.push.transfer.mount_from);
                given.ci(&run.ci);
            }
            Command::Check(check) => {
                given.dockerfile(&check.what);
                given.add("target", check.target.as_slice());
                given.values(&check.values);
                given.name(&check.name);
                given.policy(&check.scan);
            }
            Command::Build(build) => {
                given.dockerfile(&build.what);
                given.build(&build.build);
                given.name(&build.name);
            }
            Command::Scan(scan) => {
                given.dockerfile(&scan.what);
                given.add("platforms", &scan.platform);
                given.add("tags", &scan.tag);
                given.policy(&scan.scan);
                given.ci(&scan.ci);
            }
            Command::Push(push) => {
                given.dockerfile(&push.what);
                given.name(&push.name);
                given.policy(&push.scan);
                given.add("mount-from", &push.transfer.mount_from);
            }
            _ => {}
        }
        given
    }

    /// Adds the texts of an option of the command line.
    pub(super) fn add(&mut self, name: &'static str, texts: &[String]) {
        let flag = KEYS
            .iter()
            .find(|key| key.names[0] == name)
            .map(|key| key.flag);
        if let (Some(flag), false) = (flag, texts.is_empty()) {
            self.0.push((name, Origin::Flag(flag), texts.to_vec()));
        }
    }

    fn dockerfile(&mut self, args: &DockerfileArgs) {
        for (name, path) in [("context", &args.context), ("file", &args.file)] {
            let text = path
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned());
            self.add(name, text.as_slice());
        }
    }

    fn values(&mut self, args: &ValueArgs) {
        self.add("build-args", &args.build_arg);
        self.add("labels", &args.label);
    }

    fn build(&mut self, args: &EngineArgs) {
        let output = args
            .output
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned());
        self.add("target", args.target.as_slice());
        self.values(&args.values);
        self.add("secret", &args.secret);
        self.add("ssh", &args.ssh);
        self.add("platforms", &args.platform);
        self.add("network", args.network.as_slice());
        self.add("no-cache", &yes(args.no_cache));
        self.add("pull", &yes(args.pull));
        self.add("cache-from", &args.cache_from);
        self.add("cache-to", &args.cache_to);
        self.add("engine", args.engine.as_slice());
        let cache_dir = args.cache_dir.as_ref();
        let cache_dir = cache_dir.map(|path| path.to_string_lossy().into_owned());
        self.add("cache-dir", cache_dir.as_slice());
        self.add("mirrors", &args.mirror);
        self.add("add-hosts", &args.add_host);
        self.add("output", output.as_slice());
        self.add("load", &yes(args.load));
    }

    fn ci(&mut self, args: &CiArgs) {
        for (name, text) in [
            ("upload-sarif", &args.upload_sarif),
            ("wait-for-processing", &args.wait_for_processing),
            ("category", &args.category),
            ("checkout-path", &args.checkout_path),
            ("ref", &args.reference),
            ("sha", &args.sha),
            ("annotations", &args.annotations),
            ("job-summary", &args.job_summary),
            ("token-file", &args.token_file),
            ("dotenv", &args.dotenv),
            ("results-dir", &args.results_dir),
            ("registry-oidc", &args.registry_oidc),
        ] {
            self.add(name, text.as_slice());
        }
        for (name, set) in [
            ("check-run", args.check_run),
            ("comment", args.comment),
            ("status", args.status),
            ("ci-dry-run", args.ci_dry_run),
        ] {
            self.add(name, &yes(set));
        }
    }

    fn name(&mut self, args: &NameArgs) {
        self.add("tags", &args.tag);
        self.add("image", args.image.as_slice());
    }

    fn policy(&mut self, args: &PolicyArgs) {
        self.add("profile", args.profile.as_slice());
        self.add("only", &args.only);
        self.add("skip", &args.skip);
        self.add("require", &args.require);
        self.add("base", args.base.as_slice());
        self.add("critical-only", &yes(args.critical_only));
        self.add("severity-cutoff", args.severity_cutoff.as_slice());
        self.add("only-fixed", &yes(args.only_fixed));
        self.add("baseline", args.compare.baseline.as_slice());
        self.add("fail-on", args.compare.fail_on.as_slice());
    }

    /// Adds texts of a level that is no command line.
    pub(super) fn put(&mut self, name: &'static str, origin: Origin, texts: Vec<String>) {
        self.0.push((name, origin, texts));
    }

    /// The texts of a key, to be added to.
    pub(super) fn texts_mut(&mut self, name: &str) -> Option<&mut Vec<String>> {
        let found = self.0.iter_mut().find(|(given, ..)| *given == name);
        found.map(|(_, _, texts)| texts)
    }

    /// Takes a key away.
    pub(super) fn take(&mut self, name: &str) -> Option<(Origin, Vec<String>)> {
        let at = self.0.iter().position(|(given, ..)| *given == name)?;
        let (_, origin, texts) = self.0.remove(at);
        Some((origin, texts))
    }

    /// The texts of a key.
    pub(super) fn get(&self, name: &str) -> Option<(&Origin, &[String])> {
        let found = self
            .0
            .iter()
            .find(|(given, _, texts)| *given == name && !texts.is_empty());
        found.map(|(_, origin, texts)| (origin, &**texts))
    }
}

/// A switch that was given.
fn yes(set: bool) -> Vec<String> {
    set.then(|| "true".to_owned()).into_iter().collect()
}

/// Keys whose values are secrets; they are read where they are used.
const SECRET: &[&str] = &["secrets", "password", "token", "gitlab-token"];
