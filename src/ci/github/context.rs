//! Which commit and ref a run speaks of, from the workflow's environment, the event's payload and the
//! checkout. Pure.

use serde_json::Value;

use super::Checkout;

/// What the workflow's environment says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Workflow {
    /// `GITHUB_REPOSITORY`: `owner/name`
    pub repository: String,
    /// `GITHUB_EVENT_NAME`
    pub event: String,
    /// `GITHUB_REF`
    pub reference: String,
    /// `GITHUB_SHA`
    pub sha: String,
    /// `GITHUB_ACTOR`: who started it
    pub actor: String,
}

/// A commit and the ref it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// `refs/heads/…`, `refs/tags/…`, `refs/pull/…`
    pub reference: String,
    /// 40 or 64 hexadecimal digits
    pub sha: String,
}

/// How far the token of a run reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// as far as the workflow's `permissions` say
    Own,
    /// a pull request from a fork: reads only
    Fork,
    /// Dependabot: reads only
    Dependabot,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// owner of the repository
    pub owner: String,
    /// its name
    pub name: String,
    /// what results are uploaded for; or why nothing can be
    pub upload: Result<Commit, String>,
    /// commit that statuses and check runs are shown on: the head of a pull request
    pub head: String,
    /// number of the pull request
    pub pull: Option<u64>,
    /// how far the token reaches
    pub trust: Trust,
}

/// Why it is not known where the run stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// a variable is missing or makes no sense
    #[error("{name} is {}", if .value.is_empty() { "not set".to_owned() } else { format!("`{}`", .value.escape_debug()) })]
    Variable {
        /// which
        name: &'static str,
        /// its value
        value: String,
    },
}

impl Context {
    /// Path of the repository in the API.
    pub fn route(&self) -> String {
        format!("/repos/{}/{}", self.owner, self.name)
    }
}

/// Where a run stands. `given` is a commit that the user named; `checkout` is what lies on disk.
pub fn context(
    workflow: &Workflow,
    payload: &Value,
    checkout: &Checkout,
    given: Option<Commit>,
) -> Result<Context, ContextError> {
    let wrong = |name, value: &str| ContextError::Variable {
        name,
        value: value.to_owned(),
    };
    let (owner, name) = workflow
        .repository
        .split_once('/')
        .filter(|(owner, name)| is_name(owner) && is_name(name))
        .ok_or_else(|| wrong("GITHUB_REPOSITORY", &workflow.repository))?;
    if !is_sha(&workflow.sha) {
        return Err(wrong("GITHUB_SHA", &workflow.sha));
    }
    let pull = &payload["pull_request"];
    let head = pull["head"]["sha"].as_str().filter(|sha| is_sha(sha));
    let number = pull["number"]
        .as_u64()
        .or_else(|| pull_of(&workflow.reference));
    let upload = given.unwrap_or_else(|| commit(workflow, pull, number, checkout));
    Ok(Context {
        owner: owner.to_owned(),
        name: name.to_owned(),
        upload: fit(upload),
        head: head.unwrap_or(&workflow.sha).to_owned(),
        pull: number,
        trust: trust(workflow, pull),
    })
}

/// The commit that was checked out, by the ref that GitHub knows it by.
fn commit(workflow: &Workflow, pull: &Value, number: Option<u64>, checkout: &Checkout) -> Commit {
    let as_is = || Commit {
        reference: workflow.reference.clone(),
        sha: workflow.sha.clone(),
    };
    let by_ref = |number: u64, which: &str, sha: &str| Commit {
        reference: format!("refs/pull/{number}/{which}"),
        sha: sha.to_owned(),
    };
    let (Some(number), Some(head)) = (number, checkout.head.as_deref()) else {
        return as_is();
    };
    if head == workflow.sha {
        return as_is();
    }
    if workflow.reference.starts_with("refs/pull/") {
        // checkout@v1 fetches the merge ref, which may have moved on since the event.
        let merged = checkout.merge.as_deref() == Some(head);
        let which = if merged { "merge" } else { "head" };
        return by_ref(number, which, if merged { &workflow.sha } else { head });
    }
    // `pull_request_target` runs for the base branch. Findings of the pull request, if that is what
    // was checked out, are no findings of that branch.
    match head {
        _ if pull["head"]["sha"].as_str() == Some(head) => by_ref(number, "head", head),
        _ if pull["merge_commit_sha"].as_str() == Some(head) => by_ref(number, "merge", head),
        _ => as_is(),
    }
}

/// What the upload would refuse is not sent.
fn fit(commit: Commit) -> Result<Commit, String> {
    let known = ["refs/heads/", "refs/tags/", "refs/pull/"];
    let reference = commit.reference.as_str();
    let named = known.iter().any(|prefix| {
        reference
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty())
    });
    if !named {
        return Err(format!(
            "`{}` is no branch, tag or pull request that results could be shown for",
            reference.escape_debug()
        ));
    }
    if !is_sha(&commit.sha) {
        return Err(format!("`{}` is no commit", commit.sha.escape_debug()));
    }
    Ok(commit)
}

fn trust(workflow: &Workflow, pull: &Value) -> Trust {
    // A workflow that runs for the base branch has that branch's token, whoever's pull request it is;
    // only Dependabot's never writes.
    if workflow.actor == "dependabot[bot]" {
        return Trust::Dependabot;
    }
    let forks = matches!(
        workflow.event.as_str(),
        "pull_request" | "pull_request_review" | "pull_request_review_comment"
    );
    let from = pull["head"]["repo"]["full_name"].as_str();
    // The repository of a fork that was deleted is `null`.
    let own = from.is_some_and(|from| from.eq_ignore_ascii_case(&workflow.repository));
    if forks && pull.is_object() && !own {
        return Trust::Fork;
    }
    Trust::Own
}

/// `refs/pull/N/…`
fn pull_of(reference: &str) -> Option<u64> {
    let (number, _) = reference.strip_prefix("refs/pull/")?.split_once('/')?;
    number.parse().ok()
}

fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !text.is_empty() && text.bytes().all(known) && !matches!(text, "." | "..")
}

pub(super) fn is_sha(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Checkout, Commit, Context, Trust, Workflow, context};

    const MERGE: &str = "1111111111111111111111111111111111111111";
    const HEAD: &str = "2222222222222222222222222222222222222222";
    const OTHER: &str = "3333333333333333333333333333333333333333";

    fn workflow(event: &str, reference: &str, sha: &str) -> Workflow {
        Workflow {
            repository: "octo/app".to_owned(),
            event: event.to_owned(),
            reference: reference.to_owned(),
            sha: sha.to_owned(),
            actor: "mona".to_owned(),
        }
    }

    fn pull(repository: &Value) -> Value {
        json!({
            "action": "synchronize",
            "number": 7,
            "pull_request": {
                "number": 7,
                "merge_commit_sha": MERGE,
                "head": { "sha": HEAD, "ref": "topic", "repo": repository },
                "base": { "sha": OTHER, "ref": "main", "repo": { "full_name": "octo/app" } },
            },
        })
    }

    fn own() -> Value {
        pull(&json!({ "full_name": "octo/app" }))
    }

    fn stands(workflow: &Workflow, payload: &Value, head: &str, merge: Option<&str>) -> Context {
        let checkout = Checkout {
            head: Some(head.to_owned()),
            merge: merge.map(str::to_owned),
        };
        context(workflow, payload, &checkout, None).unwrap()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn every_event_speaks_of_the_ref_and_commit_that_github_knows() {
        let merge_ref = "refs/pull/7/merge";
        let target = "refs/heads/main";
        let queue = "refs/heads/gh-readonly-queue/main/pr-7-abc";
        for (event, reference, sha, payload, head, want_ref, want_sha, want_head) in [
            (
                "push",
                "refs/heads/main",
                OTHER,
                json!({}),
                OTHER,
                "refs/heads/main",
                OTHER,
                OTHER,
            ),
            (
                "push",
                "refs/tags/v1",
                OTHER,
                json!({}),
                OTHER,
                "refs/tags/v1",
                OTHER,
                OTHER,
            ),
            // as checkout does it by default
            (
                "pull_request",
                merge_ref,
                MERGE,
                own(),
                MERGE,
                merge_ref,
                MERGE,
                HEAD,
            ),
            // the workflow checked out the head
            (
                "pull_request",
                merge_ref,
                MERGE,
                own(),
                HEAD,
                "refs/pull/7/head",
                HEAD,
                HEAD,
            ),
            (
                "merge_group",
                queue,
                OTHER,
                json!({ "merge_group": { "head_sha": OTHER } }),
                OTHER,
                queue,
                OTHER,
                OTHER,
            ),
            (
                "schedule",
                "refs/heads/main",
                OTHER,
                json!({ "schedule": "0 6 * * 1" }),
                OTHER,
                "refs/heads/main",
                OTHER,
                OTHER,
            ),
            (
                "workflow_dispatch",
                "refs/heads/topic",
                OTHER,
                json!({ "inputs": {} }),
                OTHER,
                "refs/heads/topic",
                OTHER,
                OTHER,
            ),
            // the base branch, as it should be
            (
                "pull_request_target",
                target,
                OTHER,
                own(),
                OTHER,
                target,
                OTHER,
                HEAD,
            ),
            // the pull request's own content: never told of the base branch
            (
                "pull_request_target",
                target,
                OTHER,
                own(),
                HEAD,
                "refs/pull/7/head",
                HEAD,
                HEAD,
            ),
            (
                "pull_request_target",
                target,
                OTHER,
                own(),
                MERGE,
                "refs/pull/7/merge",
                MERGE,
                HEAD,
            ),
        ] {
            let context = stands(&workflow(event, reference, sha), &payload, head, None);
            let upload = context.upload.unwrap();
            assert_eq!(upload.reference, want_ref, "{event}");
            assert_eq!(upload.sha, want_sha, "{event}");
            assert_eq!(context.head, want_head, "{event}");
            assert_eq!(
                context.pull.is_some(),
                payload["pull_request"].is_object(),
                "{event}"
            );
            assert_eq!(context.trust, Trust::Own, "{event}");
        }
    }

    #[test]
    fn a_merge_ref_that_moved_on_is_still_the_merge_ref() {
        let workflow = workflow("pull_request", "refs/pull/7/merge", MERGE);
        let upload = stands(&workflow, &own(), OTHER, Some(OTHER))
            .upload
            .unwrap();
        assert_eq!(
            (upload.reference.as_str(), upload.sha.as_str()),
            ("refs/pull/7/merge", MERGE)
        );
    }

    #[test]
    fn without_a_checkout_the_workflow_is_taken_at_its_word() {
        let workflow = workflow("pull_request", "refs/pull/7/merge", MERGE);
        let context = context(&workflow, &own(), &Checkout::default(), None).unwrap();
        assert_eq!(context.upload.unwrap().sha, MERGE);
        assert_eq!(context.head, HEAD);
    }

    #[test]
    fn tokens_of_forks_and_of_dependabot_are_known_to_read_only() {
        let fork = || pull(&json!({ "full_name": "evil/app" }));
        for (event, actor, payload, want) in [
            ("pull_request", "mona", fork(), Trust::Fork),
            ("pull_request", "mona", pull(&Value::Null), Trust::Fork),
            ("pull_request", "mona", own(), Trust::Own),
            (
                "pull_request",
                "mona",
                pull(&json!({ "full_name": "Octo/App" })),
                Trust::Own,
            ),
            ("pull_request_target", "mona", fork(), Trust::Own),
            ("pull_request", "dependabot[bot]", own(), Trust::Dependabot),
            ("push", "dependabot[bot]", json!({}), Trust::Dependabot),
            ("push", "mona", json!({}), Trust::Own),
        ] {
            let mut workflow = workflow(event, "refs/pull/7/merge", MERGE);
            workflow.actor = actor.to_owned();
            let context = stands(&workflow, &payload, MERGE, None);
            assert_eq!(context.trust, want, "{event} {actor} {payload}");
        }
    }

    #[test]
    fn what_the_user_named_goes_before_everything() {
        let given = Commit {
            reference: "refs/heads/release".to_owned(),
            sha: OTHER.to_owned(),
        };
        let workflow = workflow("pull_request", "refs/pull/7/merge", MERGE);
        let context =
            context(&workflow, &own(), &Checkout::default(), Some(given.clone())).unwrap();
        assert_eq!(context.upload, Ok(given));
        assert_eq!(context.head, HEAD);
    }

    #[test]
    fn a_ref_that_is_no_ref_and_a_hostile_name_are_refused() {
        let none = json!({});
        let context_of = |workflow: &Workflow, payload: &Value| {
            context(workflow, payload, &Checkout::default(), None)
        };
        let odd = context_of(&workflow("push", "main", OTHER), &none).unwrap();
        assert!(odd.upload.unwrap_err().contains("`main`"));
        for repository in [
            "",
            "app",
            "octo/",
            "octo/../x",
            "octo/a?b",
            "octo/a\nb",
            "a/b/c",
            "./..",
        ] {
            let mut workflow = workflow("push", "refs/heads/main", OTHER);
            workflow.repository = repository.to_owned();
            assert!(context_of(&workflow, &none).is_err(), "{repository}");
        }
        assert!(context_of(&workflow("push", "refs/heads/main", "HEAD"), &none).is_err());
    }
}
