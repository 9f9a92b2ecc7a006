//! The status of the commit: one line beside it.

use serde_json::json;

use super::{Conclusion, Context};
use crate::ci::{
    CiError, What,
    api::{Api, Call, Method},
    text::cut,
};

/// Characters of a description.
const MAX_DESCRIPTION: usize = 140;

/// Sets the status `name` of the head commit.
pub fn set(
    api: &Api,
    context: &Context,
    name: &str,
    conclusion: Conclusion,
    description: &str,
    target: Option<&str>,
) -> Result<(), CiError> {
    let mut body = json!({
        "state": match conclusion {
            Conclusion::Success | Conclusion::Pardoned => "success",
            Conclusion::Failure => "failure",
            Conclusion::Error => "error",
        },
        "description": cut(description, MAX_DESCRIPTION),
        "context": name,
    });
    if let Some(target) = target {
        body["target_url"] = target.into();
    }
    let path = format!("{}/statuses/{}", context.route(), context.head);
    api.call(&Call::send(What::Status, Method::Post, path, body))
        .map(|_| ())
}
