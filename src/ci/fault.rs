//! Why a call to a forge came to nothing, and what to do about it: the permission or setting by its
//! name.

use std::{fmt, io, path::PathBuf};

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// results for code scanning
    Sarif,
    /// a check run with annotations
    CheckRun,
    /// the comment on the pull request
    Comment,
    /// the status of the commit
    Status,
    /// the note on the merge request
    Note,
    /// a token of the workflow's identity
    Identity,
}

impl What {
    /// The permission of a workflow's token that the call needs.
    pub fn permission(self) -> &'static str {
        match self {
            Self::Sarif => "security-events: write",
            Self::CheckRun => "checks: write",
            Self::Comment => "pull-requests: write",
            Self::Status => "statuses: write",
            Self::Note => "the scope api",
            Self::Identity => "id-token: write",
        }
    }

    /// The option that leaves it out.
    fn off(self) -> &'static str {
        match self {
            Self::Sarif => "`--upload-sarif false`",
            Self::CheckRun => "`ci.check-run: false`",
            Self::Comment | Self::Note => "`ci.comment: false`",
            Self::Status => "`ci.status: false`",
            Self::Identity => "`ci.registry-oidc`",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sarif => "SARIF upload",
            Self::CheckRun => "check run",
            Self::Comment => "pull request comment",
            Self::Status => "commit status",
            Self::Note => "merge request note",
            Self::Identity => "identity token",
        })
    }
}

/// Why a call came to nothing. None of it changes a verdict.
#[derive(Debug, thiserror::Error)]
pub enum CiError {
    /// the forge said no
    #[error("{what}: {host} refused it ({status}): {message}")]
    Refused {
        /// for what
        what: What,
        /// whom
        host: String,
        /// HTTP status
        status: u16,
        /// the forge's own words
        message: String,
    },
    /// too many requests, and the wait would be too long
    #[error("{what}: {host} takes no more requests for now{}", wait_of(*.wait))]
    Limited {
        /// for what
        what: What,
        /// whom
        host: String,
        /// seconds until it does again
        wait: Option<u64>,
    },
    /// no answer
    #[error("{what}: {host}: {reason}")]
    Unreachable {
        /// for what
        what: What,
        /// whom
        host: String,
        /// why
        reason: String,
    },
    /// an answer that makes no sense
    #[error("{what}: {host} answered with something else: {reason}")]
    Malformed {
        /// for what
        what: What,
        /// whom
        host: String,
        /// what is wrong with it
        reason: String,
    },
    /// the results arrived but were not taken in
    #[error("{} could not process the results: {}", .host, .errors.join("; "))]
    Processing {
        /// whom
        host: String,
        /// the forge's own words
        errors: Vec<String>,
    },
    /// the call cannot be made as things stand
    #[error("{what}: {reason}")]
    Unfit {
        /// for what
        what: What,
        /// why not
        reason: String,
        /// what to do
        remedy: Option<&'static str>,
    },
    /// a file of the CI
    #[error("cannot write {}: {source}", .path.display())]
    File {
        /// which
        path: PathBuf,
        /// cause
        source: io::Error,
    },
    /// stopped by the user
    #[error("{0}: interrupted")]
    Cancelled(What),
}

fn wait_of(wait: Option<u64>) -> String {
    wait.map_or_else(String::new, |seconds| {
        format!(" (again in {} min)", seconds.div_ceil(60))
    })
}

/// Words of GitHub's answers, in lower case, and what to do. The first that fits counts. `{need}` is
/// the permission, `{off}` the option that leaves the call out.
const REMEDIES: &[(&str, &str)] = &[
    (
        "resource not accessible by integration",
        "give the job `permissions:` with `{need}`; a pull request from a fork or by Dependabot never has it",
    ),
    (
        "resource not accessible by personal access token",
        "give the personal access token `{need}` for this repository, or use the workflow's own token",
    ),
    (
        "you must authenticate via a github app",
        "check runs take the workflow's own token (`github.token`), no personal access token",
    ),
    (
        "security must be enabled",
        "turn on Code Security under Settings > Advanced Security (it needs a licence on private repositories), or leave it out with {off}",
    ),
    (
        "code scanning is not enabled",
        "turn on code scanning under Settings > Advanced Security (it needs a licence on private repositories), or leave it out with {off}",
    ),
    (
        "default setup is enabled",
        "turn off CodeQL's default setup under Settings > Advanced Security, or give these results another `--category`",
    ),
    (
        "commit not found",
        "check out the commit that the workflow runs for (`GITHUB_SHA`) and push commits made in the job first; `--sha` and `--ref` name another",
    ),
    (
        "no commit found for sha",
        "check out the commit that the workflow runs for (`GITHUB_SHA`) and push commits made in the job first; `--sha` and `--ref` name another",
    ),
    (
        "not found in this repository",
        "the branch, tag or pull request is gone or was renamed; `--ref` and `--sha` name another",
    ),
    (
        "multiple runs with the same category",
        "give each image its own `--category`",
    ),
    (
        "invalid security severity value",
        "this is a bug in plimsoll: please report it with the SARIF report (`--report sarif=plimsoll.sarif`)",
    ),
    (
        "could not convert rules",
        "this is a bug in plimsoll: please report it with the SARIF report (`--report sarif=plimsoll.sarif`)",
    ),
    (
        "uri scheme",
        "run plimsoll in the checkout of the repository, so that paths are relative to it",
    ),
    (
        "rejecting sarif",
        "see the limits that the message names; `--only` and exceptions make the report smaller",
    ),
    (
        "archived",
        "the repository is archived and takes nothing: leave it out with {off}",
    ),
    (
        "saml",
        "authorise the token for the organisation's single sign-on",
    ),
    (
        "ip allow list",
        "add the runner's address to the organisation's IP allow list",
    ),
    (
        "bad credentials",
        "the token is wrong or has expired: `GITHUB_TOKEN: ${{ github.token }}` gives this run's own",
    ),
];

impl CiError {
    /// What to do about it; names the permission or the setting.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Refused {
                what,
                status,
                message,
                ..
            } => refused(*what, *status, message),
            Self::Processing { errors, .. } => {
                errors.iter().find_map(|error| by_words(What::Sarif, error))
            }
            Self::Limited { .. } => Some(
                "run fewer jobs at a time, or run this one again later; the verdict stands"
                    .to_owned(),
            ),
            Self::Unreachable { .. } => Some(
                "see whether the runner reaches it: `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE` are honoured"
                    .to_owned(),
            ),
            Self::Unfit { remedy, .. } => remedy.map(str::to_owned),
            Self::Malformed { .. } => Some("see whether `GITHUB_API_URL` or `CI_API_V4_URL` is right, and whether a proxy answers in its place".to_owned()),
            Self::File { .. } | Self::Cancelled(_) => None,
        }
    }

    /// The token was refused for what it may do, which is how a fork's token always is.
    pub fn is_forbidden(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 401 | 403 | 404,
                ..
            }
        )
    }
}

fn by_words(what: What, message: &str) -> Option<String> {
    let message = message.to_lowercase();
    let (_, remedy) = REMEDIES.iter().find(|(words, _)| message.contains(words))?;
    Some(
        remedy
            .replace("{need}", what.permission())
            .replace("{off}", what.off()),
    )
}

fn refused(what: What, status: u16, message: &str) -> Option<String> {
    let by_status = match status {
        401 => "the token is wrong or has expired".to_owned(),
        403 => format!("the token needs `{}`", what.permission()),
        404 => format!(
            "the token cannot see it: it needs `{}`, and on private repositories `contents: read` and `actions: read`",
            what.permission()
        ),
        410 => format!("it is turned off in the repository's settings: leave it out with {}", what.off()),
        413 => "the report is too large: `--only`, exceptions or a split into several images make it smaller".to_owned(),
        422 => "the forge found a value it does not take; with -v the calls are shown".to_owned(),
        301 | 302 | 307 | 308 => "the repository has moved: set its new name in the checkout's workflow".to_owned(),
        500.. => "the forge has trouble of its own: run the job again later; the verdict stands".to_owned(),
        _ => return by_words(what, message),
    };
    by_words(what, message).or(Some(by_status))
}

#[cfg(test)]
mod tests {
    use super::{CiError, REMEDIES, What};

    fn remedy(what: What, status: u16, message: &str) -> String {
        let error = CiError::Refused {
            what,
            host: "github.com".to_owned(),
            status,
            message: message.to_owned(),
        };
        error.remedy().unwrap()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn every_answer_of_code_scanning_has_a_remedy_that_names_what_to_change() {
        for (status, message, want) in [
            (
                403,
                "Resource not accessible by integration",
                "security-events: write",
            ),
            (
                403,
                "Resource not accessible by personal access token",
                "security-events: write",
            ),
            (
                403,
                "Advanced Security must be enabled for this repository to use code scanning.",
                "Settings > Advanced Security",
            ),
            (
                403,
                "Code Security must be enabled for this repository to use code scanning.",
                "Settings > Advanced Security",
            ),
            (
                403,
                "Code Scanning is not enabled for this repository. Please enable code scanning in the repository settings.",
                "Settings > Advanced Security",
            ),
            (403, "Repository was archived so is read-only.", "archived"),
            (
                403,
                "Although you appear to have the correct authorization credentials, the `o` organization has an IP allow list enabled",
                "IP allow list",
            ),
            (
                403,
                "Resource protected by organization SAML enforcement.",
                "single sign-on",
            ),
            (403, "something new", "security-events: write"),
            (401, "Bad credentials", "expired"),
            (404, "Not Found", "contents: read"),
            (400, "commit not found", "GITHUB_SHA"),
            (
                404,
                "ref 'refs/heads/x' not found in this repository",
                "--ref",
            ),
            (
                400,
                "rejecting SARIF, as there are more runs than allowed (30 > 20)",
                "limits",
            ),
            (
                422,
                "A delivery cannot contain multiple runs with the same category",
                "--category",
            ),
            (413, "Payload Too Large", "too large"),
            (503, "Service Unavailable", "later"),
            (307, "Moved", "moved"),
        ] {
            let got = remedy(What::Sarif, status, message);
            assert!(got.contains(want), "{status} {message}: {got}");
        }
        for (errors, want) in [
            (
                "could not convert rules: invalid security severity value, is not a number: high",
                "bug",
            ),
            (
                "locationFromSarifResult: SARIF URI scheme \"file\" did not match the checkout URI scheme \"https\"",
                "checkout",
            ),
            (
                "CodeQL analyses from advanced configurations cannot be processed when the default setup is enabled",
                "default setup",
            ),
            (
                "A delivery cannot contain multiple runs with the same category",
                "--category",
            ),
        ] {
            let error = CiError::Processing {
                host: "github.com".to_owned(),
                errors: vec![errors.to_owned()],
            };
            let got = error.remedy().unwrap();
            assert!(got.contains(want), "{errors}: {got}");
        }
    }

    #[test]
    fn each_call_names_its_own_permission() {
        for (what, permission) in [
            (What::CheckRun, "checks: write"),
            (What::Comment, "pull-requests: write"),
            (What::Status, "statuses: write"),
        ] {
            let got = remedy(what, 403, "Resource not accessible by integration");
            assert!(got.contains(permission), "{got}");
        }
    }

    #[test]
    fn the_table_is_in_lower_case_and_its_remedies_are_sentences_of_the_house() {
        for (words, remedy) in REMEDIES {
            assert_eq!(*words, words.to_lowercase());
            assert!(!remedy.ends_with('.'), "{remedy}");
        }
    }
}
