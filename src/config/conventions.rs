//! Inputs that other actions have, so that a workflow moves over without surprises: those that mean
//! something here are translated, the others are refused by name. None is passed over in silence.

use super::{
    Words,
    decode::{Leaf as _, Problem},
    environment::Environment,
    fault::{Faults, quoted},
    given::Given,
    load::read_at_most,
    paths::Bases,
    sourced::Origin,
    texts::boolean,
    values::KeyValue,
};

/// Largest file of exceptions, in bytes: 1 MiB.
const MAX_IGNORE: u64 = 1024 * 1024;

/// Inputs of other actions without a counterpart here.
#[derive(Debug)]
pub(super) struct Refused {
    /// its names
    pub(super) names: &'static [&'static str],
    /// the value that asks for what is done anyway; empty when there is none
    taken: &'static str,
    /// what to use instead
    instead: &'static str,
}

const fn refused(
    names: &'static [&'static str],
    taken: &'static str,
    instead: &'static str,
) -> Refused {
    Refused {
        names,
        taken,
        instead,
    }
}

/// All of them.
pub(super) const REFUSED: &[Refused] = &[
    refused(
        &["outputs"],
        "",
        "`output` names the directory of the OCI layout, `load: true` gives the image to the Docker \
         Engine, `push: true` sends it to its registry once it is accepted",
    ),
    refused(
        &["provenance", "attests"],
        "false",
        "attest the output `digest` in a step of its own, such as actions/attest-build-provenance",
    ),
    refused(
        &["sbom"],
        "false",
        "the SBOM is a report: `report: cyclonedx=sbom.cdx.json`, or `spdx`",
    ),
    refused(
        &["vex"],
        "",
        "Red Hat's VEX documents come with `plimsoll advisories update`; an exception of your own \
         goes by `skip: RULE=REASON`",
    ),
    refused(
        &["online"],
        "true",
        "`stages: check` reads configuration and Dockerfile without a network",
    ),
    refused(
        &["persona"],
        "",
        "`profile` chooses the policy, `require` makes rules block",
    ),
    refused(
        &["sarif_file"],
        "",
        "results are uploaded by themselves; `report: sarif=PATH` keeps them in a file too",
    ),
];

/// Refuses what has no counterpart.
pub(super) fn refuse(environment: &Environment, faults: &mut Faults) {
    for refused in REFUSED {
        for name in refused.names {
            let Some((variable, value)) = environment.setting(name) else {
                continue;
            };
            let text = value.expose_str().unwrap_or_default().trim();
            let same = match (boolean(text), boolean(refused.taken)) {
                (Ok(given), Ok(taken)) => given == taken,
                _ => false,
            };
            if !same && !text.is_empty() {
                let message =
                    format!("`{name}` is an input of other actions that has no meaning here");
                let help = refused.instead.to_owned();
                faults.push(Origin::Variable(variable), message, Some(help));
            }
        }
    }
}

impl Given {
    /// Puts what other actions say in two inputs, or in a file, into the one that says it here.
    pub(super) fn translate(&mut self, bases: &Bases, faults: &mut Faults) {
        self.file_of_the_report(faults);
        self.layout_is_a_directory(faults);
        self.ignore_file(bases, faults);
    }

    /// `output-file` is where the one report of `format` goes.
    fn file_of_the_report(&mut self, faults: &mut Faults) {
        let Some((origin, paths)) = self.take("output-file") else {
            return;
        };
        let path = paths.into_iter().next().unwrap_or_default();
        match self.texts_mut("format").map(Vec::as_mut_slice) {
            Some([one]) if !one.contains('=') => *one = format!("{one}={path}"),
            _ => {
                let message = "it is the file of one report that `format` names, and `format` names \
                               none, several, or one with its file";
                let help = "write `format: FORMAT=PATH`, such as `sarif=plimsoll.sarif`".to_owned();
                faults.push(origin, message.to_owned(), Some(help));
            }
        }
    }

    /// For other scanners `output` is the file of the report.
    fn layout_is_a_directory(&self, faults: &mut Faults) {
        const REPORTS: [&str; 6] = [".sarif", ".json", ".xml", ".txt", ".html", ".md"];
        let Some((origin, [path, ..])) = self.get("output") else {
            return;
        };
        if REPORTS.iter().any(|ending| path.ends_with(ending)) {
            let message = format!(
                "`{}` looks like a report, but this is the directory of the OCI layout",
                path.escape_debug()
            );
            let help = "the file of a report goes by `output-file`, or `format: FORMAT=PATH`";
            faults.push(origin.clone(), message, Some(help.to_owned()));
        }
    }

    /// The lines of `ignore-file` are exceptions as those of `skip`.
    fn ignore_file(&mut self, bases: &Bases, faults: &mut Faults) {
        let Some((origin, paths)) = self.take("ignore-file") else {
            return;
        };
        let path = paths.into_iter().next().unwrap_or_default();
        let text = match read_at_most(&bases.of(&origin).join(&path), MAX_IGNORE + 1) {
            Ok(bytes) if bytes.len() as u64 > MAX_IGNORE => Err("larger than 1 MiB".to_owned()),
            Ok(bytes) => String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let text = match text {
            Ok(text) => text,
            Err(reason) => {
                let message = format!("cannot read {}: {reason}", path.escape_debug());
                let help = "name a file with one RULE=REASON a line".to_owned();
                return faults.push(origin, message, Some(help));
            }
        };
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        match self.texts_mut("skip") {
            Some(texts) => texts.extend(lines),
            None => self.put("skip", origin, lines),
        }
    }
}

/// What an input says of the exit code; `Some(true)` asks for 0 whatever is found.
pub(super) fn pardons(name: &str, text: &str) -> Result<bool, Problem> {
    let (pardoning, plain, others): (&[&str], &[&str], _) = match name {
        "exit-code" => (
            &["0"],
            &["1"],
            "the exit codes are fixed: 0 accepted, 1 rejected, others why there is no verdict",
        ),
        _ => (
            &["none", "ignore", "no-fail"],
            &["error"],
            "`require: RULE` makes a rule block that only warns",
        ),
    };
    if pardoning.contains(&text) {
        return Ok(true);
    }
    if plain.contains(&text) {
        return Ok(false);
    }
    let known: Vec<&str> = plain.iter().chain(pardoning).copied().collect();
    let message = format!("`{}` is none of {}", text.escape_debug(), quoted(&known));
    Err(Problem::new(message).help(Some(others.to_owned())))
}

/// A named context of buildx as a mirror: it stands for the image of that name.
pub(super) fn context(text: &str, words: &Words) -> Result<(String, String), Problem> {
    let KeyValue { key, value } = KeyValue::parse(text, words)?;
    let value = value.unwrap_or_default();
    if let Some(image) = value.strip_prefix("docker-image://") {
        return Ok((key, image.to_owned()));
    }
    match value.strip_prefix("oci-layout://") {
        Some(layout) if !layout.contains('@') => Ok((key, format!("oci:{layout}"))),
        _ => {
            let message = format!(
                "`{}`: only images can stand in for a base image: docker-image://REFERENCE or \
                 oci-layout://DIRECTORY[:TAG]",
                text.escape_debug()
            );
            let help = "files of other directories have to lie within `context`".to_owned();
            Err(Problem::new(message).help(Some(help)))
        }
    }
}
