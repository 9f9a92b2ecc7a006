//! The files that `init` writes, as texts. Nothing is read or written here.

use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use crate::config::cli::CiKind;

/// The workflow of a pull request, as the examples have it.
const PULL_REQUEST: &str = include_str!("../../../examples/workflows/pull-request.yml");
/// The workflow of a release.
const RELEASE: &str = include_str!("../../../examples/workflows/release.yml");
/// The workflow that keeps an image fresh.
const REBUILD: &str = include_str!("../../../examples/workflows/rebuild.yml");
/// The task of Tekton.
const TEKTON: &str = include_str!("../../../examples/ci/tekton-task.yaml");
/// The stage of Jenkins.
const JENKINS: &str = include_str!("../../../examples/ci/Jenkinsfile");
/// The pipeline of Azure.
const AZURE: &str = include_str!("../../../examples/ci/azure-pipelines.yml");
/// The job of GitLab.
const GITLAB: &str = include_str!("../../../examples/ci/gitlab-ci.yml");
/// Image and tag that stand in all examples.
const EXAMPLE_IMAGE: &str = "quay.io/example/app";
const EXAMPLE_TAG: &str = "1.0-1";

/// What the user wants, all questions answered.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    pub(super) images: Vec<Named>,
    pub(super) ci: Vec<CiKind>,
}

/// One image.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// relative to the repository
    pub(super) dockerfile: PathBuf,
    /// relative to the repository; empty for its root
    pub(super) context: PathBuf,
    /// `registry/repository`
    pub(super) image: String,
    pub(super) tag: String,
}

/// A file to write, relative to the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

fn file(path: impl Into<PathBuf>, text: impl Into<String>) -> NewFile {
    NewFile {
        path: path.into(),
        text: text.into(),
    }
}

/// All files, the configuration first.
pub(super) fn files(answers: &Answers) -> Result<Vec<NewFile>, serde_yaml::Error> {
    let mut files = vec![file("plimsoll.yaml", configuration(answers)?)];
    for ci in &answers.ci {
        let adapt = |text: &str| adapt(text, answers);
        match ci {
            CiKind::Github => {
                let name = |name: &str| format!(".github/workflows/plimsoll-{name}.yml");
                files.push(file(name("pull-request"), adapt(PULL_REQUEST)));
                files.push(file(name("release"), adapt(RELEASE)));
                files.push(file(name("rebuild"), adapt(REBUILD)));
            }
            CiKind::Gitlab => files.push(file(".gitlab-ci.yml", adapt(GITLAB))),
            CiKind::Tekton => files.push(file(".tekton/plimsoll-task.yaml", adapt(TEKTON))),
            CiKind::Jenkins => files.push(file("Jenkinsfile", adapt(JENKINS))),
            CiKind::Azure => files.push(file("azure-pipelines.yml", adapt(AZURE))),
            CiKind::None => {}
        }
    }
    Ok(files)
}

/// An example with the repository's own names. What `plimsoll.yaml` says is not said twice: a job
/// that builds names neither image nor tag.
fn adapt(text: &str, answers: &Answers) -> String {
    let Some(first) = answers.images.first() else {
        return text.to_owned();
    };
    let own = |line: &&str| {
        let line = line.trim();
        line != format!("tags: {EXAMPLE_TAG}") && line != format!("image: {EXAMPLE_IMAGE}")
    };
    let mut kept: String = text
        .lines()
        .filter(own)
        .flat_map(|line| [line, "\n"])
        .collect();
    kept = kept.replace(EXAMPLE_IMAGE, &first.image);
    kept
}

fn configuration(answers: &Answers) -> Result<String, serde_yaml::Error> {
    let mut top = Mapping::new();
    if let [one] = answers.images.as_slice() {
        sections(one, &mut top);
    } else {
        let entries = answers.images.iter().map(|image| {
            let mut entry = Mapping::new();
            let name = image.image.rsplit('/').next().unwrap_or(&image.image);
            entry.insert("name".into(), name.into());
            sections(image, &mut entry);
            Value::Mapping(entry)
        });
        top.insert("images".into(), Value::Sequence(entries.collect()));
    }
    let reports = [
        "table",
        "sarif=plimsoll-reports/plimsoll.sarif",
        "json=plimsoll-reports/plimsoll.json",
    ];
    let reports = reports.into_iter().map(Value::from).collect();
    top.insert("report".into(), Value::Sequence(reports));
    let yaml = serde_yaml::to_string(&Value::Mapping(top))?;
    Ok(format!(
        "# What plimsoll builds, assesses and pushes; `plimsoll schema config` lists every key.\n{yaml}"
    ))
}

fn sections(image: &Named, into: &mut Mapping) {
    let mut build = Mapping::new();
    if !image.context.as_os_str().is_empty() {
        build.insert("context".into(), shown(&image.context).into());
    }
    let relative = image.dockerfile.strip_prefix(&image.context);
    let dockerfile = relative.unwrap_or(&image.dockerfile);
    build.insert("dockerfile".into(), shown(dockerfile).into());
    into.insert("build".into(), Value::Mapping(build));
    let (registry, repository) = image
        .image
        .split_once('/')
        .unwrap_or(("quay.io", &image.image));
    let mut name = Mapping::new();
    name.insert("registry".into(), registry.into());
    name.insert("repository".into(), repository.into());
    name.insert("tag".into(), image.tag.as_str().into());
    into.insert("image".into(), Value::Mapping(name));
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(images: &[(&str, &str)]) -> Answers {
        let images = images.iter().map(|(dockerfile, context)| Named {
            dockerfile: dockerfile.into(),
            context: context.into(),
            image: "quay.io/org/tool".to_owned(),
            tag: "2.0-3".to_owned(),
        });
        Answers {
            images: images.collect(),
            ci: vec![CiKind::Github, CiKind::Gitlab],
        }
    }

    #[test]
    fn a_tag_that_looks_like_a_number_stays_a_text() {
        let mut answers = answers(&[("Dockerfile", "")]);
        answers.images[0].tag = "1.10".to_owned();
        let text = configuration(&answers).unwrap();
        assert!(text.contains("tag: '1.10'"), "{text}");
    }

    #[test]
    fn a_job_says_nothing_that_the_configuration_says() {
        let files = files(&answers(&[("Dockerfile", "")])).unwrap();
        for file in &files[1..] {
            assert!(
                !file.text.contains("quay.io/example"),
                "{}",
                file.path.display()
            );
            assert!(
                !file.text.contains("tags: 1.0-1"),
                "{}",
                file.path.display()
            );
        }
    }

    #[test]
    fn several_images_become_a_list() {
        let text =
            configuration(&answers(&[("a/Dockerfile", "a"), ("b/Dockerfile", "b")])).unwrap();
        assert!(text.contains("images:\n- name: tool\n"), "{text}");
        assert!(text.contains("context: a"), "{text}");
    }
}
