//! One comment that is written anew each time: found by a mark that readers do not see.

use serde_json::{Value, json};

use super::{
    CiError, What,
    api::{Api, Call, Method},
};

/// Comments on a page.
const PAGE: usize = 100;
/// Pages that are searched: a discussion longer than that gets a new comment.
const PAGES: usize = 50;

/// Where the comments of a forge are.
pub(super) struct Sticky<'a> {
    pub(super) what: What,
    /// list and create
    pub(super) comments: &'a str,
    /// changes the comment of an id
    pub(super) update: &'a dyn Fn(u64) -> (Method, String),
    /// query besides the page
    pub(super) query: &'a str,
    /// first line of the body
    pub(super) mark: &'a str,
    /// whether a comment with the mark may be written over: anybody can copy a mark
    pub(super) is_ours: &'a dyn Fn(&Value) -> bool,
    pub(super) body: &'a str,
}

/// The mark of one comment among several of a pull request.
pub(super) fn mark(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for c in name.chars() {
        let c = if c.is_alphanumeric() || "/._ ".contains(c) {
            c
        } else {
            '-'
        };
        // `--` would end an HTML comment.
        if c != '-' || !safe.ends_with('-') {
            safe.push(c);
        }
    }
    format!("<!-- plimsoll: {safe} -->")
}

/// Writes the comment: over the one with the mark, else a new one.
pub(super) fn put(api: &Api, sticky: &Sticky<'_>) -> Result<(), CiError> {
    let body = json!({ "body": sticky.body });
    if let Some(id) = find(api, sticky)? {
        let (method, path) = (sticky.update)(id);
        match api.call(&Call::send(sticky.what, method, path, body.clone())) {
            // Deleted since, or somebody else's after all: a new one takes its place.
            Err(CiError::Refused {
                status: 403 | 404, ..
            }) => {}
            other => return other.map(|_| ()),
        }
    }
    let path = sticky.comments.to_owned();
    let call = Call::send(sticky.what, Method::Post, path, body).that_doubles();
    api.call(&call).map(|_| ())
}

fn find(api: &Api, sticky: &Sticky<'_>) -> Result<Option<u64>, CiError> {
    for page in 1..=PAGES {
        let path = format!(
            "{}?per_page={PAGE}&page={page}{}",
            sticky.comments, sticky.query
        );
        let answer = api.call(&Call::get(sticky.what, path))?;
        let comments = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let ours = comments.iter().find(|comment| {
            let body = comment["body"].as_str().unwrap_or_default();
            body.starts_with(sticky.mark) && (sticky.is_ours)(comment)
        });
        if let Some(id) = ours.and_then(|comment| comment["id"].as_u64()) {
            return Ok(Some(id));
        }
        if comments.len() < PAGE {
            break;
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::mark;

    #[test]
    fn a_mark_is_one_html_comment_whatever_its_name_holds() {
        assert_eq!(
            mark("plimsoll/Dockerfile"),
            "<!-- plimsoll: plimsoll/Dockerfile -->"
        );
        for name in ["a-->b", "a--b", "a\n<img>", "--->", "a--!>"] {
            let mark = mark(name);
            assert_eq!(mark.matches("--").count(), 2, "{mark}");
            assert_eq!(mark.matches('>').count(), 1, "{mark}");
            assert!(!mark.contains('\n'), "{mark}");
        }
    }
}
