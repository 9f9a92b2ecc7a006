//! The one comment on a pull request.

use serde_json::Value;

use super::Context;
use crate::ci::{
    CiError, What,
    api::{Api, Method},
    sticky::{self, Sticky},
    text::{fit_markdown, utf16},
};

/// Longest comment that GitHub takes, in characters.
pub const MAX_COMMENT: usize = 65_536;

/// Writes the comment `name` on the pull request, over an earlier one. `closing` says where the rest
/// is when it is too long.
pub fn put(
    api: &Api,
    context: &Context,
    name: &str,
    markdown: &str,
    closing: &str,
) -> Result<(), CiError> {
    let Some(number) = context.pull else {
        return Err(CiError::Unfit {
            what: What::Comment,
            reason: "the run is of no pull request".to_owned(),
            remedy: None,
        });
    };
    let mark = sticky::mark(name);
    let room = MAX_COMMENT - utf16(&mark) - 1;
    let body = format!("{mark}\n{}", fit_markdown(markdown, room, closing, utf16));
    let route = context.route();
    sticky::put(
        api,
        &Sticky {
            what: What::Comment,
            comments: &format!("{route}/issues/{number}/comments"),
            update: &|id| (Method::Patch, format!("{route}/issues/comments/{id}")),
            query: "",
            mark: &mark,
            is_ours: &is_ours,
            body: &body,
        },
    )
}

/// Written by an app (the workflow's token is one) or by somebody who may write anyway. A comment of
/// anybody else would stay theirs to change.
fn is_ours(comment: &Value) -> bool {
    let by_app =
        comment["user"]["type"] == "Bot" || comment["performed_via_github_app"].is_object();
    let member = matches!(
        comment["author_association"].as_str(),
        Some("OWNER" | "MEMBER" | "COLLABORATOR")
    );
    by_app || member
}
