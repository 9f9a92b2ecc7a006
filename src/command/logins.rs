//! Logins: where they are found, and `login` and `logout`.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{
    config::{
        Docker, Environment,
        cli::{LoginArgs, LogoutArgs},
    },
    error::Error,
    plan::Plan,
    progress::Console,
    registry::{
        LoginError, RegistryOptions, Tried,
        auth::{AuthStore, Kept, Login},
        try_login,
    },
    secret::Secret,
};

/// The longest password, in bytes: some registries take whole service account keys.
const MAX_PASSWORD: u64 = 64 << 10;

/// Logins from where docker and podman keep them.
pub(super) fn auth_store(environment: &Environment) -> Result<AuthStore, Error> {
    let mut store = empty(environment);
    for file in files(&environment.docker()) {
        store = store
            .with_file_if_present(file)
            .map_err(|error| Error::Usage {
                what: error.to_string(),
                hint: Some("mend the file, or log in anew with `plimsoll login`".to_owned()),
            })?;
    }
    Ok(store)
}

/// What the inputs give goes before all files: for the registries of the images at hand.
pub(super) fn with_inputs(
    mut store: AuthStore,
    environment: &Environment,
    plans: &[Plan],
) -> AuthStore {
    let Some((username, password)) = environment.login() else {
        return store;
    };
    for registry in registries(plans) {
        let login = Login::Basic {
            username: username.clone(),
            password: password.clone(),
        };
        store = store.with_login(&registry, login);
    }
    store
}

/// The registries of the images at hand.
pub(super) fn registries(plans: &[Plan]) -> Vec<String> {
    let mut registries: Vec<String> = plans
        .iter()
        .filter_map(|plan| plan.image.clone().or_else(|| plan.scan.given()))
        .map(|reference| reference.registry)
        .collect();
    registries.sort_unstable();
    registries.dedup();
    registries
}

/// Lets the registries of the images at hand do without checks, and says so.
pub(super) fn go_unchecked(options: &mut RegistryOptions, plans: &[Plan], console: &Console) {
    options.insecure = registries(plans);
    for registry in &options.insecure {
        console.warn(&unchecked(registry));
    }
}

/// Directories with certificates of registries, as docker and podman have them.
pub(super) fn certificate_dirs(environment: &Environment) -> Vec<PathBuf> {
    let home = environment.docker().home;
    let below = |path: &str| home.as_ref().map(|home| home.join(path));
    let own = [
        below(".config/containers/certs.d"),
        below(".config/docker/certs.d"),
        below(".docker/certs.d"),
    ];
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    own.into_iter().flatten().chain(system).collect()
}

fn empty(environment: &Environment) -> AuthStore {
    let path = environment.path("PATH").unwrap_or_default();
    AuthStore::new().with_helper_dirs(std::env::split_paths(&path).collect())
}

/// Login files in the order in which they are asked.
fn files(docker: &Docker) -> Vec<PathBuf> {
    let home = docker.home.as_ref();
    let podman = docker.runtime_dir.as_ref();
    let files = [
        docker.registry_auth_file.clone(),
        docker_config(docker),
        podman.map(|run| run.join("containers/auth.json")),
        home.map(|home| home.join(".config/containers/auth.json")),
    ];
    files.into_iter().flatten().collect()
}

fn docker_config(docker: &Docker) -> Option<PathBuf> {
    let dir = docker.config.clone();
    let dir = dir.or_else(|| Some(docker.home.as_ref()?.join(".docker")))?;
    Some(dir.join("config.json"))
}

/// The file that a login goes into: the one that was named, else one that both docker and podman
/// read, else podman's where that alone exists.
fn target(named: Option<&PathBuf>, cwd: &Path, docker: &Docker) -> Result<PathBuf, Error> {
    if let Some(named) = named {
        return Ok(cwd.join(named));
    }
    if let Some(file) = &docker.registry_auth_file {
        return Ok(cwd.join(file));
    }
    let podman = docker.runtime_dir.as_ref();
    let podman = podman.map(|run| run.join("containers/auth.json"));
    let podman = podman.filter(|file| docker.config.is_none() && file.exists());
    let dockers = docker_config(docker);
    let file = match (dockers, podman) {
        (Some(dockers), Some(podman)) if !dockers.exists() => Some(podman),
        (Some(dockers), _) => Some(dockers),
        (None, podman) => podman,
    };
    file.ok_or_else(|| Error::Usage {
        what: "there is no place for logins: neither HOME nor DOCKER_CONFIG is set".to_owned(),
        hint: Some("name a file with `--auth-file`".to_owned()),
    })
}

/// What is told to the user, one line each.
pub(super) fn login(
    args: &LoginArgs,
    environment: &Environment,
    cwd: &Path,
    unverified: bool,
) -> Result<Vec<String>, Error> {
    let scope = scope(&args.registry)?;
    if args.username.is_empty() || args.username.contains(':') {
        return Err(usage("a user name is not empty and has no `:`", None));
    }
    let file = target(args.auth_file.as_ref(), cwd, &environment.docker())?;
    let password = password(args, environment, cwd)?;
    let login = Login::Basic {
        username: args.username.clone(),
        password,
    };
    let registry = scope.split('/').next().unwrap_or(&scope).to_owned();
    let mut lines = Vec::new();
    if unverified {
        lines.push(format!("warning: {}", unchecked(&registry)));
    }
    let options = RegistryOptions {
        certificate_dirs: certificate_dirs(environment),
        insecure: if unverified {
            vec![registry]
        } else {
            Vec::new()
        },
        ..RegistryOptions::default()
    };
    let tried = try_login(&scope, &login, &options)?;
    let store = empty(environment);
    let kept = store
        .store(&file, &scope, &args.username, &login)
        .map_err(LoginError::from)?;
    if tried == Tried::NotAsked {
        lines.push(format!(
            "warning: {scope} asks for no login, so that the password could not be tried"
        ));
    }
    lines.push(format!(
        "logged in to {scope} as {}: {}",
        args.username,
        shown(&kept)
    ));
    lines.extend(shadows(&scope, &file, environment));
    Ok(lines)
}

/// What a user should know who goes without checks.
fn unchecked(registry: &str) -> String {
    format!("the certificate of {registry} is not checked (`tls-verify` is false)")
}

/// What is told to the user, one line each.
pub(super) fn logout(
    args: &LogoutArgs,
    environment: &Environment,
    cwd: &Path,
) -> Result<Vec<String>, Error> {
    let scope = scope(&args.registry)?;
    let file = target(args.auth_file.as_ref(), cwd, &environment.docker())?;
    let store = empty(environment);
    let removed = store.remove(&file, &scope).map_err(LoginError::from)?;
    let mut lines = vec![match removed {
        Some(Kept::File(file)) => format!("logged out of {scope}: removed from {}", file.display()),
        Some(Kept::Helper(helper, _)) => {
            format!("logged out of {scope}: removed from docker-credential-{helper}")
        }
        None => format!("there is no login for {scope} in {}", file.display()),
    }];
    lines.extend(shadows(&scope, &file, environment));
    Ok(lines)
}

/// Other files that hold a login for the same.
fn shadows(scope: &str, written: &Path, environment: &Environment) -> Vec<String> {
    let others = files(&environment.docker())
        .into_iter()
        .filter(|file| file != written);
    let holding = others.filter(|file| {
        AuthStore::new()
            .with_file_if_present(file)
            .is_ok_and(|store| store.has_entry(scope))
    });
    holding
        .map(|file| {
            format!(
                "warning: {} has a login for {scope} too, which other tools may find first",
                file.display()
            )
        })
        .collect()
}

fn shown(kept: &Kept) -> String {
    match kept {
        Kept::File(file) => format!("stored in {} (not encrypted)", file.display()),
        Kept::Helper(helper, file) => format!(
            "stored with docker-credential-{helper}, which {} names",
            file.display()
        ),
    }
}

fn usage(what: &str, hint: Option<&str>) -> Error {
    Error::Usage {
        what: what.to_owned(),
        hint: hint.map(str::to_owned),
    }
}

/// `https://quay.io/`, `quay.io/team` and the like, without what a browser adds.
fn scope(registry: &str) -> Result<String, LoginError> {
    let (text, url) = match registry.split_once("://") {
        Some(("https" | "http", rest)) => (rest, true),
        Some(_) => return Err(LoginError::NoRegistry(registry.to_owned())),
        None => (registry, false),
    };
    let text = text.trim_end_matches('/');
    let text = match text.split_once('/') {
        Some((host, _)) if url => host,
        Some((host, "v1" | "v2")) => host,
        _ => text,
    };
    let probe = format!("{text}/x");
    let valid = probe.parse::<crate::oci::Reference>();
    match valid {
        Ok(reference) if reference.tag.is_none() && reference.digest.is_none() => {
            Ok(text.to_owned())
        }
        _ => Err(LoginError::NoRegistry(registry.to_owned())),
    }
}

/// From standard input, a file, or the inputs; never from the command line.
fn password(args: &LoginArgs, environment: &Environment, cwd: &Path) -> Result<Secret, Error> {
    let bytes = if args.password_stdin {
        read(io::stdin().lock(), "standard input")?
    } else if let Some(file) = &args.password_file {
        let shown = file.display().to_string();
        read(open(&cwd.join(file), &shown)?, &shown)?
    } else if let Some((_, password)) = environment.login() {
        return Ok(password);
    } else {
        return Err(usage(
            "no password was given",
            Some("hand it over with `--password-stdin`, `--password-file` or PLIMSOLL_PASSWORD"),
        ));
    };
    let mut password = bytes.as_slice();
    // What an editor or `echo` adds.
    password = password.strip_suffix(b"\n").unwrap_or(password);
    password = password.strip_suffix(b"\r").unwrap_or(password);
    if password.is_empty() || std::str::from_utf8(password).is_err() || password.contains(&0) {
        return Err(usage("the password is empty, or is no text", None));
    }
    Ok(Secret::new(password))
}

fn read(from: impl io::Read, what: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = from.take(MAX_PASSWORD + 1).read_to_end(&mut bytes);
    match read {
        Ok(_) if bytes.len() as u64 > MAX_PASSWORD => Err(usage(
            &format!("the password from {what} is longer than {MAX_PASSWORD} bytes"),
            None,
        )),
        Ok(_) => Ok(bytes),
        Err(error) => Err(usage(&format!("the password from {what}: {error}"), None)),
    }
}

#[expect(clippy::disallowed_methods, reason = "the user named the file")]
fn open(path: &Path, shown: &str) -> Result<File, Error> {
    File::open(path).map_err(|error| usage(&format!("the password from {shown}: {error}"), None))
}

#[cfg(test)]
mod tests {
    use super::scope;

    #[test]
    fn registries_are_named_as_people_write_them() {
        for (text, want) in [
            ("quay.io", Some("quay.io")),
            ("https://quay.io/", Some("quay.io")),
            ("https://quay.io/v2/", Some("quay.io")),
            ("quay.io/team", Some("quay.io/team")),
            ("quay.io/v2", Some("quay.io")),
            ("localhost:5000", Some("localhost:5000")),
            (
                "registry.example.com:5000/a/b",
                Some("registry.example.com:5000/a/b"),
            ),
            ("", None),
            ("ftp://quay.io", None),
            ("quay.io/Team", None),
            ("quay.io/team:tag", None),
            ("-x", None),
            ("a b", None),
        ] {
            assert_eq!(scope(text).ok().as_deref(), want, "{text}");
        }
    }
}
