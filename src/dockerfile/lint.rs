//! What is worth saying of a Dockerfile that is no assessment of its image.

use super::{
    fault,
    instruction::{Arguments, Instruction, Keyword},
    lines::LogicalLine,
    stage::Dockerfile,
};
use crate::finding::{Finding, Lint, LintLevel, Location};

/// Words that make the name of a variable the name of a secret (the list of BuildKit's build check
/// `SecretsUsedInArgOrEnv`).
const SECRET_WORDS: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
/// A name that ends so holds the place of a secret, not the secret.
const PLACE_WORDS: [&str; 7] = ["file", "path", "dir", "url", "uri", "name", "id"];

/// Lints of the whole file, in the order of its lines.
pub fn lints(file: &Dockerfile) -> Vec<Lint> {
    let mut found: Vec<Lint> = file
        .lines
        .iter()
        .flat_map(|line| continuation_lints(file, line))
        .collect();
    let staged = file.stages.iter().flat_map(|stage| &stage.instructions);
    for instruction in file.global_args.iter().chain(staged) {
        found.extend(instruction_lints(file, instruction));
    }
    found.sort_by_key(|lint| lint.finding.location.as_ref().map(|at| at.line));
    found
}

fn continuation_lints(file: &Dockerfile, line: &LogicalLine) -> Vec<Lint> {
    let mut found = Vec::new();
    if let Some(swallowed) = line.swallowed.as_ref().filter(|swallowed| !swallowed.split) {
        let keyword = line.text.split_whitespace().next().unwrap_or("");
        found.push(lint(
            (
                "dockerfile/dangling-continuation",
                "a dangling line continuation swallows the next instruction",
            ),
            LintLevel::Warning,
            &swallowed.keyword,
            fault::dangling_message(keyword, swallowed),
            file.source.line_location(swallowed.after),
            &fault::dangling_remedy(swallowed),
        ));
    }
    if let Some(last) = line.open_end {
        found.push(lint(
            (
                "dockerfile/continuation-at-end",
                "a line continuation leads to the end of the file",
            ),
            LintLevel::Warning,
            "end",
            format!(
                "line {} ends in a line continuation, and nothing follows",
                last + 1
            ),
            file.source.line_location(last),
            "take the continuation character away",
        ));
    }
    let meant = |index: &&usize| match &line.swallowed {
        Some(swallowed) if swallowed.split => **index < swallowed.after,
        _ => line.open_end.is_none(),
    };
    if let Some(first) = line.empty_lines.iter().find(meant) {
        found.push(lint(
            (
                "dockerfile/empty-continuation-line",
                "an empty line stands inside a continued instruction",
            ),
            LintLevel::Note,
            "empty",
            format!("line {} is empty inside a continued instruction", first + 1),
            file.source.line_location(*first),
            "take the empty line away, or start it with #",
        ));
    }
    found
}

fn instruction_lints(file: &Dockerfile, instruction: &Instruction) -> Vec<Lint> {
    match (&instruction.arguments, instruction.keyword) {
        (_, Keyword::Arg | Keyword::Env) => secrets(file, instruction),
        (Arguments::Text(word), Keyword::Maintainer) => {
            vec![lint(
            ("dockerfile/maintainer-deprecated", "MAINTAINER sets no label"),
            LintLevel::Note,
            "MAINTAINER",
            "MAINTAINER is deprecated, and sets the author of the image, not the label maintainer"
                .to_owned(),
            file.location(instruction),
            &format!("write LABEL maintainer={:?}", word.text),
        )]
        }
        (Arguments::Text(word), Keyword::Cmd | Keyword::Entrypoint)
            if word.text.starts_with("[\"") || word.text.starts_with("['") =>
        {
            vec![lint(
                (
                    "dockerfile/not-json",
                    "a command that looks like a JSON array is none",
                ),
                LintLevel::Warning,
                instruction.keyword.name(),
                format!(
                    "{} looks like a JSON array but is none, so a shell gets it as it stands",
                    instruction.keyword
                ),
                file.location(instruction),
                "use double quotes around each string and commas between them, and nothing behind",
            )]
        }
        _ => Vec::new(),
    }
}

fn secrets(file: &Dockerfile, instruction: &Instruction) -> Vec<Lint> {
    let keyword = instruction.keyword;
    let (rule, kept) = match keyword {
        Keyword::Arg => ("dockerfile/secret-in-arg", "history"),
        _ => ("dockerfile/secret-in-env", "configuration"),
    };
    let mut found = Vec::new();
    for pair in instruction
        .pairs()
        .iter()
        .filter(|pair| names_secret(&pair.key.text))
    {
        let bare = pair
            .value
            .as_deref()
            .unwrap_or("")
            .trim_matches(['"', '\'']);
        // An ARG without a default is given from outside: it may be used well by accident only.
        let level = match (keyword, bare.is_empty()) {
            (Keyword::Arg, true) => LintLevel::Note,
            (_, true) => continue,
            _ => LintLevel::Warning,
        };
        let name = pair.key.text.trim_matches(['"', '\'']);
        found.push(lint(
            (rule, "a secret is given by ARG or ENV"),
            level,
            name,
            format!("{keyword} {name} looks like a secret: its value stays in the image's {kept}"),
            file.word_location(&pair.key),
            "give it to the step that needs it with RUN --mount=type=secret",
        ));
    }
    found
}

fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let parts: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let place = parts.last().is_some_and(|last| PLACE_WORDS.contains(last));
    parts.iter().any(|part| SECRET_WORDS.contains(part)) && !place && !parts.contains(&"public")
}

fn lint(
    (rule, title): (&str, &str),
    level: LintLevel,
    key: &str,
    message: String,
    location: Location,
    remedy: &str,
) -> Lint {
    Lint {
        rule: rule.to_owned(),
        title: title.to_owned(),
        level,
        help_uri: None,
        finding: Finding::new(key, message).at(Some(location)).remedy(remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Dockerfile, lints};

    fn found(text: &str) -> Vec<(String, u32)> {
        let file = Dockerfile::read("Dockerfile", text).0.unwrap();
        let place = |lint: super::Lint| (lint.rule, lint.finding.location.unwrap().line);
        lints(&file).into_iter().map(place).collect()
    }

    #[test]
    fn each_lint_is_told_on_its_line() {
        for (text, want) in [
            (
                "FROM a\nRUN x \\\nCOPY y /z\n",
                &[("dangling-continuation", 2)][..],
            ),
            ("FROM a\nUSER 1 \\\n", &[("continuation-at-end", 2)]),
            ("FROM a\nUSER 1 \\\n# c\n\n", &[("continuation-at-end", 2)]),
            (
                "FROM a\nRUN x \\\n\n  y\n",
                &[("empty-continuation-line", 3)],
            ),
            ("FROM a\nMAINTAINER me\n", &[("maintainer-deprecated", 2)]),
            ("FROM a\nCMD ['x']\n", &[("not-json", 2)]),
            ("FROM a\nCMD [ -x ] && y\n", &[]),
            (
                "ARG TOKEN\nFROM a\nENV A=1 \\\n  DB_PASSWORD=x\n",
                &[("secret-in-arg", 1), ("secret-in-env", 4)],
            ),
            (
                "FROM a\nENV API_KEY_FILE=/run/x PUBLIC_KEY=y MONKEY=z PASSWORD=\"\"\n",
                &[],
            ),
        ] {
            let want: Vec<(String, u32)> = want
                .iter()
                .map(|(r, l)| (format!("dockerfile/{r}"), *l))
                .collect();
            assert_eq!(found(text), want, "{text:?}");
        }
    }
}
