//! The CI a run stands in: its log (foldable groups, masks, a fence around output that is not ours),
//! its files (outputs, summary, results), and the forge's API ([`github`], [`gitlab`]).
//!
//! Knows no configuration and no exit code; what is wanted of all this is decided above.

pub mod api;
pub mod azure;
mod exchange;
mod fault;
pub mod files;
pub mod github;
pub mod gitlab;
pub mod outputs;
mod sticky;
pub mod text;

pub use fault::{CiError, What};

use crate::secret::Secret;

/// A word that nobody can guess, from inside a build or a repository: hash maps are seeded from the
/// system's random source.
pub(crate) fn unguessable() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let word = || RandomState::new().hash_one(0u8);
    format!("plimsoll-{:016x}{:016x}", word(), word())
}

/// Which log the run writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ci {
    /// GitHub Actions: workflow commands
    GitHub,
    /// GitLab CI: section markers
    GitLab,
    /// Azure Pipelines: logging commands
    Azure,
    /// anything else
    #[default]
    Plain,
}

impl Ci {
    /// Opens a foldable group. `name` is `[a-z_]+`; `unix` is the time in seconds since 1970.
    pub fn open(self, name: &str, title: &str, unix: i64) -> Option<String> {
        match self {
            Self::GitHub => Some(format!("::group::{}", escape_data(title))),
            Self::GitLab => Some(format!(
                "\u{1b}[0Ksection_start:{unix}:{name}\r\u{1b}[0K{title}"
            )),
            Self::Azure => Some(format!("##[group]{}", one_line(title))),
            Self::Plain => None,
        }
    }

    /// Closes the group `name`.
    pub fn close(self, name: &str, unix: i64) -> Option<String> {
        match self {
            Self::GitHub => Some("::endgroup::".to_owned()),
            Self::GitLab => Some(format!("\u{1b}[0Ksection_end:{unix}:{name}\r\u{1b}[0K")),
            Self::Azure => Some("##[endgroup]".to_owned()),
            Self::Plain => None,
        }
    }

    /// Keeps the CI from obeying what a build prints, until [`Ci::unfence`] with the same token.
    /// The token must not be guessable from inside the build.
    pub fn fence(self, token: &str) -> Option<String> {
        (self == Self::GitHub).then(|| format!("::stop-commands::{token}"))
    }

    /// Ends a [`Ci::fence`].
    pub fn unfence(self, token: &str) -> Option<String> {
        (self == Self::GitHub).then(|| format!("::{token}::"))
    }

    /// Text of others, so that the CI does not obey it. GitHub looks for its older commands, `##[…]`,
    /// anywhere in a line, for those of today where a line begins, blanks aside. Azure looks for all
    /// of its own anywhere.
    pub fn harmless(self, text: &str) -> String {
        match self {
            Self::GitHub => {
                let lines = text.split_inclusive(['\n', '\r']);
                let line = |line: &str| {
                    if line.trim_start().starts_with("::") {
                        line.replacen("::", ": :", 1)
                    } else {
                        line.to_owned()
                    }
                };
                lines.map(line).collect::<String>().replace("##[", "# #[")
            }
            Self::Azure => text.replace("##[", "# #[").replace("##vso[", "# #vso["),
            Self::GitLab | Self::Plain => text.to_owned(),
        }
    }

    /// Asks the CI to hide a secret in everything that follows. GitLab has no such command.
    pub fn mask(self, secret: &Secret) -> Option<String> {
        let text = secret.expose_str().filter(|text| !text.trim().is_empty())?;
        match self {
            Self::GitHub => Some(format!("::add-mask::{}", escape_data(text))),
            Self::Azure => Some(format!("##vso[task.setsecret]{}", azure::escape_data(text))),
            Self::GitLab | Self::Plain => None,
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

/// Escapes the data of a workflow command (actions/toolkit, `escapeData`).
fn escape_data(text: &str) -> String {
    crate::report::escape_data(text)
}

#[cfg(test)]
mod tests {
    use super::Ci;
    use crate::secret::Secret;

    #[test]
    fn groups_are_written_in_the_words_of_each_ci() {
        assert_eq!(
            Ci::GitHub.open("build", "a%\nb", 7).unwrap(),
            "::group::a%25%0Ab"
        );
        assert_eq!(Ci::GitHub.close("build", 7).unwrap(), "::endgroup::");
        assert_eq!(
            Ci::GitLab.open("build", "Build", 7).unwrap(),
            "\u{1b}[0Ksection_start:7:build\r\u{1b}[0KBuild"
        );
        assert_eq!(Ci::Plain.open("build", "Build", 7), None);
    }

    #[test]
    fn older_commands_are_broken_up_where_they_would_be_obeyed() {
        assert_eq!(Ci::GitHub.harmless("a ##[error]b"), "a # #[error]b");
        assert_eq!(Ci::Plain.harmless("a ##[error]b"), "a ##[error]b");
        assert_eq!(
            Ci::GitHub.harmless("a::b\n  ::error::c\r::d::\n"),
            "a::b\n  : :error::c\r: :d::\n"
        );
        assert_eq!(Ci::Plain.harmless("::a::"), "::a::");
    }

    #[test]
    fn only_github_can_mask_and_nothing_is_masked_for_an_empty_secret() {
        assert_eq!(
            Ci::GitHub.mask(&Secret::new("a\nb")).unwrap(),
            "::add-mask::a%0Ab"
        );
        assert_eq!(Ci::GitHub.mask(&Secret::new(" ")), None);
        assert_eq!(Ci::GitLab.mask(&Secret::new("x")), None);
    }
}
