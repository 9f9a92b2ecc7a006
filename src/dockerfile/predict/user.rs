//! Who the image will run as.

use super::{Case, base::KnownBase, failed, passed, unknown};
use crate::finding::{Finding, Outcome};

const REMEDY: &str = "end the Dockerfile with a USER that is not root, such as USER 1001";

pub(super) fn not_running_as_root(case: &Case<'_>) -> Outcome {
    let at_from = || Some(case.resolved.from.clone());
    if let Some(user) = &case.resolved.user {
        if !user.unknown.is_empty() {
            return unknown(format!(
                "USER {} depends on {}, which is not known",
                user.value,
                user.unknown.join(", ")
            ));
        }
        return match root_form(&user.value) {
            Some(why) => failed(
                Finding::new("USER", format!("USER {} is root: {why}", user.value))
                    .at(Some(user.location.clone()))
                    .remedy(REMEDY)
                    .patch("USER 1001"),
            ),
            None => passed(format!("USER {}", user.value)),
        };
    }
    if let Some(user) = case.context.base_user {
        return match root_form(user) {
            Some(_) => failed(missing(case, "runs as root").at(at_from())),
            None => passed(format!(
                "USER {user} of the base image {}",
                case.base_name()
            )),
        };
    }
    match case.base {
        KnownBase::Scratch | KnownBase::Platform => {
            failed(missing(case, "runs as root").at(at_from()))
        }
        _ => unknown(format!(
            "no USER is said, and the USER of the base image {} is not known",
            case.base_name()
        )),
    }
}

fn missing(case: &Case<'_>, what: &str) -> Finding {
    let message = format!(
        "no USER is said, and the base image {} {what}",
        case.base_name()
    );
    Finding::new("USER", message)
        .remedy(REMEDY)
        .patch("USER 1001")
}

/// Why a `USER` is root: the name or any number that is zero, whatever the group.
fn root_form(user: &str) -> Option<&'static str> {
    let name = user.split(':').next().unwrap_or("").trim();
    match name {
        "" => Some("no user is named"),
        "root" => Some("the name"),
        name if name.trim_start_matches('+').bytes().all(|b| b == b'0') => Some("user id 0"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::root_form;

    #[test]
    fn every_form_of_root_is_recognised() {
        for root in [
            "",
            "0",
            "00",
            "root",
            "0:0",
            "root:root",
            "0:1001",
            "000:x",
            ":0",
            "+0",
        ] {
            assert!(root_form(root).is_some(), "{root}");
        }
        for other in [
            "1",
            "1001",
            "1001:0",
            "cinder",
            "rooty",
            "10",
            "nobody:root",
        ] {
            assert!(root_form(other).is_none(), "{other}");
        }
    }
}
