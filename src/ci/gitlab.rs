//! GitLab: the one note on a merge request. Reports are GitLab's own business: it reads them as
//! artifacts.

use serde_json::Value;

use super::{
    CiError, What,
    api::{Api, Call, Method},
    sticky::{self, Sticky},
    text::fit_markdown,
};

/// Longest note that GitLab takes, in characters.
const MAX_NOTE: usize = 1_000_000;

/// Writes the note `name` on the merge request, over an earlier one. `project` is the id of the
/// project, `request` the number of the merge request in it.
pub fn put_note(
    api: &Api,
    project: u64,
    request: u64,
    name: &str,
    markdown: &str,
) -> Result<(), CiError> {
    // A token that may not ask who it is may still write.
    let me = api.call(&Call::get(What::Note, "/user".to_owned()));
    let me = me.ok().and_then(|user| user["id"].as_u64());
    let mark = sticky::mark(name);
    let closing = "… the rest is left out here; the reports of the job hold everything";
    let count = |text: &str| text.chars().count();
    let room = MAX_NOTE - count(&mark) - 1;
    let body = format!("{mark}\n{}", fit_markdown(markdown, room, closing, count));
    let notes = format!("/projects/{project}/merge_requests/{request}/notes");
    let is_ours = |note: &Value| match me {
        Some(me) => note["author"]["id"].as_u64() == Some(me),
        None => true,
    };
    sticky::put(
        api,
        &Sticky {
            what: What::Note,
            comments: &notes,
            update: &|id| (Method::Put, format!("{notes}/{id}")),
            query: "&sort=asc&order_by=created_at",
            mark: &mark,
            is_ours: &is_ours,
            body: &body,
        },
    )
}
