//! What `RUN` and `COPY` do to packages and files, as far as their words tell.

use super::{Case, base::KnownBase, failed, shell, unknown};
use crate::{
    dockerfile::{Keyword, Step},
    finding::{Finding, Location, Outcome, Verdict},
    oci::ImagePath,
    rpm::is_prohibited,
};

/// No more findings than this are told of one file.
const MOST_FINDINGS: usize = 100;
/// Directories of the package database.
const DATABASES: [&str; 2] = ["/var/lib/rpm", "/usr/lib/sysimage/rpm"];
/// Ends of names of files that hold secrets, and what they are.
const SECRET_FILES: [(&str, &str); 10] = [
    ("id_rsa", "a private SSH key"),
    ("id_ed25519", "a private SSH key"),
    ("id_ecdsa", "a private SSH key"),
    (".netrc", "passwords of hosts"),
    (".npmrc", "tokens of a package registry"),
    (".pypirc", "tokens of a package registry"),
    (".git-credentials", "passwords of git hosts"),
    (".docker/config.json", "keys of image registries"),
    (".aws/credentials", "keys of a cloud"),
    (".env", "settings with secrets"),
];

fn runs<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a Step> {
    let steps = case.resolved.steps.iter();
    steps.filter(|step| step.instruction.keyword == Keyword::Run)
}

pub(super) fn rpm_list(case: &Case<'_>) -> Outcome {
    if let Some(finding) = database_removed(case) {
        return failed(finding);
    }
    match case.base {
        KnownBase::Scratch => failed(
            Finding::new(
                "rpm",
                "the image starts from scratch, so it has no package database",
            )
            .at(Some(case.resolved.base_location.clone()))
            .remedy("start from a Universal Base Image"),
        ),
        _ => unknown("the package database is read from the built image"),
    }
}

pub(super) fn rpm_verify(case: &Case<'_>) -> Outcome {
    match database_removed(case) {
        Some(finding) => failed(finding),
        None => unknown("files are laid beside their packages once the image is built"),
    }
}

fn database_removed(case: &Case<'_>) -> Option<Finding> {
    let removes = |command: &Vec<String>| {
        command.first().is_some_and(|program| program == "rm")
            && command.iter().any(|word| {
                let path = ImagePath::from(word.trim_end_matches('*'));
                word.starts_with('/') && DATABASES.iter().any(|db| path == ImagePath::from(*db))
            })
    };
    let step = runs(case).find(|step| shell::commands(step).iter().any(removes))?;
    Some(
        Finding::new("rpm", "RUN removes the package database")
            .at(Some(case.file.location(&step.instruction)))
            .remedy("keep the package database, so that the packages can be listed"),
    )
}

pub(super) fn has_no_prohibited_packages(case: &Case<'_>) -> Outcome {
    let mut findings = Vec::new();
    for step in runs(case) {
        if findings.len() >= MOST_FINDINGS {
            break;
        }
        for package in shell::commands(step)
            .iter()
            .flat_map(|command| installed(command))
        {
            let name = package_name(package);
            if is_prohibited(name) && findings.len() < MOST_FINDINGS {
                let message = format!("RUN installs {package}, which may not be redistributed");
                findings.push(
                    Finding::new(name, message)
                        .at(Some(word_in(case, step, package)))
                        .of_package(package)
                        .remedy("leave the package out; the host's kernel runs the container"),
                );
            }
        }
    }
    if findings.is_empty() {
        return unknown("the packages are listed from the built image");
    }
    Outcome::Assessed(Verdict::Failed(findings))
}

/// The packages that a package manager is told to install.
fn installed(command: &[String]) -> &[String] {
    let program = command.first().map_or("", String::as_str);
    let manager = matches!(
        program.rsplit('/').next().unwrap_or(program),
        "dnf" | "yum" | "microdnf" | "dnf-3" | "dnf5" | "tdnf"
    );
    let verb = command
        .iter()
        .position(|word| matches!(word.as_str(), "install" | "reinstall" | "localinstall"));
    verb.filter(|_| manager)
        .and_then(|at| command.get(at + 1..))
        .unwrap_or_default()
}

/// `kernel-core-5.14.0-1.el9.x86_64` to `kernel-core`: what stands before the first part that
/// starts with a digit.
fn package_name(package: &str) -> &str {
    let cut = package.match_indices('-').find(|(at, _)| {
        package
            .get(at + 1..)
            .is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
    });
    let name = cut.map_or(package, |(at, _)| package.get(..at).unwrap_or(package));
    let architectures = [
        ".x86_64", ".aarch64", ".ppc64le", ".s390x", ".noarch", ".i686",
    ];
    let bare = architectures
        .iter()
        .find_map(|arch| name.strip_suffix(arch));
    bare.unwrap_or(name)
}

/// The line that holds a word of an instruction; the whole instruction when it is not found.
fn word_in(case: &Case<'_>, step: &Step, word: &str) -> Location {
    let span = &step.instruction.span;
    let text = case.file.text().get(span.clone()).unwrap_or("");
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && !"-_.".contains(c));
    let found = text.match_indices(word).find(|(at, _)| {
        let (before, behind) = text.split_at(*at);
        edge(before.chars().next_back()) && edge(behind.chars().nth(word.chars().count()))
    });
    let whole = case.file.location(&step.instruction);
    found.map_or(whole, |(at, _)| {
        case.file
            .source
            .location(&(span.start + at..span.start + at + word.len()))
    })
}

pub(super) fn has_no_secrets(case: &Case<'_>) -> Outcome {
    let mut findings = Vec::new();
    for step in &case.resolved.steps {
        let instruction = &step.instruction;
        let copies = matches!(instruction.keyword, Keyword::Copy | Keyword::Add);
        let Some((_, sources)) = step.words.split_last().filter(|_| copies) else {
            continue;
        };
        for source in sources {
            let holds = |end: &str| source == end || source.ends_with(&format!("/{end}"));
            let Some((_, what)) = SECRET_FILES.iter().find(|(end, _)| holds(end)) else {
                continue;
            };
            let message = format!(
                "{} puts {source} into a layer, which holds {what}",
                instruction.keyword
            );
            findings.push(
                Finding::new(source, message)
                    .at(Some(case.file.location(instruction)))
                    .remedy("give it to the step that needs it with RUN --mount=type=secret"),
            );
        }
    }
    if findings.is_empty() {
        return unknown("files of the layers are looked at once the image is built");
    }
    Outcome::Assessed(Verdict::Failed(findings))
}

#[cfg(test)]
mod tests {
    use super::package_name;

    #[test]
    fn packages_are_named_with_and_without_version() {
        for (package, want) in [
            ("kernel", "kernel"),
            ("kernel-core-5.14.0-1.el9.x86_64", "kernel-core"),
            ("kernel.x86_64", "kernel"),
            ("kernel-headers", "kernel-headers"),
            ("grub2-tools", "grub2-tools"),
        ] {
            assert_eq!(package_name(package), want);
        }
    }
}
