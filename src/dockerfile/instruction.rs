//! One instruction: its keyword, flags and arguments, each with its place in the file.

use std::{fmt, ops::Range};

use super::{lines::Heredoc, words::Word};

/// The instructions of a Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the keywords themselves")]
pub enum Keyword {
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
}

/// Keyword, its spelling, the flags it takes.
const TABLE: [(Keyword, &str, &[&str]); 18] = [
    (
        Keyword::Add,
        "ADD",
        &[
            "chown",
            "chmod",
            "link",
            "checksum",
            "keep-git-dir",
            "exclude",
            "unpack",
        ],
    ),
    (Keyword::Arg, "ARG", &[]),
    (Keyword::Cmd, "CMD", &[]),
    (
        Keyword::Copy,
        "COPY",
        &["from", "chown", "chmod", "link", "parents", "exclude"],
    ),
    (Keyword::Entrypoint, "ENTRYPOINT", &[]),
    (Keyword::Env, "ENV", &[]),
    (Keyword::Expose, "EXPOSE", &[]),
    (Keyword::From, "FROM", &["platform"]),
    (
        Keyword::Healthcheck,
        "HEALTHCHECK",
        &[
            "interval",
            "timeout",
            "start-period",
            "start-interval",
            "retries",
        ],
    ),
    (Keyword::Label, "LABEL", &[]),
    (Keyword::Maintainer, "MAINTAINER", &[]),
    (Keyword::Onbuild, "ONBUILD", &[]),
    (
        Keyword::Run,
        "RUN",
        &["mount", "network", "security", "device"],
    ),
    (Keyword::Shell, "SHELL", &[]),
    (Keyword::Stopsignal, "STOPSIGNAL", &[]),
    (Keyword::User, "USER", &[]),
    (Keyword::Volume, "VOLUME", &[]),
    (Keyword::Workdir, "WORKDIR", &[]),
];

impl Keyword {
    /// Recognises a keyword in any case.
    pub fn parse(text: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|(_, name, _)| name.eq_ignore_ascii_case(text))
            .map(|(keyword, ..)| *keyword)
    }

    /// In upper case.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The flags it takes.
    pub(super) fn flags(self) -> &'static [&'static str] {
        self.row().2
    }

    fn row(self) -> &'static (Self, &'static str, &'static [&'static str]) {
        let found = TABLE.iter().find(|(keyword, ..)| *keyword == self);
        found.unwrap_or(&TABLE[0])
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `--name[=value]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// without the dashes
    pub name: String,
    /// as written
    pub value: Option<String>,
}

/// `key=value` of `ARG`, `ENV` and `LABEL`, quotes kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// as written
    pub key: Word,
    /// as written; `None` for an `ARG` without a default
    pub value: Option<String>,
}

/// The arguments, by the form that the instruction takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arguments {
    /// `FROM image [AS name]`
    From {
        /// image reference or stage
        image: Word,
        /// name of the stage
        name: Option<Word>,
    },
    /// `ARG`, `ENV`, `LABEL`
    Pairs(Vec<Pair>),
    /// `ADD`, `COPY`; here-documents stand among the sources as `<<NAME`
    Copy {
        /// at least one
        sources: Vec<Word>,
        /// file or directory in the image
        destination: Word,
    },
    /// a JSON array: `RUN`, `CMD`, `ENTRYPOINT`, `SHELL`, `VOLUME`
    Exec(Vec<String>),
    /// the whole rest of the line: shell form, `USER`, `WORKDIR`, `MAINTAINER`, …
    Text(Word),
    /// `EXPOSE`, `VOLUME`
    Words(Vec<Word>),
    /// `ONBUILD`
    Onbuild(Box<Instruction>),
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// which
    pub keyword: Keyword,
    /// bytes of the file, here-documents included
    pub span: Range<usize>,
    /// the joined line from the keyword on, without here-documents: what `BuildKit` names a step by
    pub code: String,
    /// `--name[=value]`
    pub flags: Vec<Flag>,
    /// the rest
    pub arguments: Arguments,
    /// here-documents
    pub heredocs: Vec<Heredoc>,
}

impl Instruction {
    /// The value of a flag; empty for a flag without one.
    pub fn flag(&self, name: &str) -> Option<&str> {
        let flag = self.flags.iter().find(|flag| flag.name == name)?;
        Some(flag.value.as_deref().unwrap_or(""))
    }

    /// The rest of the line for the instructions that take it whole; empty for others.
    pub fn text(&self) -> &str {
        match &self.arguments {
            Arguments::Text(word) => &word.text,
            _ => "",
        }
    }

    /// The pairs of `ARG`, `ENV` and `LABEL`; empty for others.
    pub fn pairs(&self) -> &[Pair] {
        match &self.arguments {
            Arguments::Pairs(pairs) => pairs,
            _ => &[],
        }
    }
}
