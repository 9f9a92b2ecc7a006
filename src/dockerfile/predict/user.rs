//! Who the image will run as.

use super::{Case, base::KnownBase, excused, failed, passed, unknown};
use crate::{
    finding::{Finding, Outcome},
    oci::User,
};

const REMEDY: &str = "end the Dockerfile with a USER that is not root, such as USER 1001";

pub(super) fn not_running_as_root(case: &Case<'_>) -> Outcome {
    if let Some(excused) = excused(case) {
        return excused;
    }
    let at_from = || Some(case.resolved.from.clone());
    if let Some(user) = &case.resolved.user {
        if !user.unknown.is_empty() {
            return unknown(format!(
                "USER {} depends on {}, which is not known",
                user.value,
                user.unknown.join(", ")
            ));
        }
        return match wrong(&user.value) {
            Some(why) => failed(
                Finding::new("USER", format!("USER {} {why}", user.value))
                    .at(Some(user.location.clone()))
                    .remedy(REMEDY)
                    .patch("USER 1001"),
            ),
            None => passed(format!("USER {}", user.value)),
        };
    }
    if let Some(user) = case.context.base_user {
        return match wrong(user) {
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

/// Why a `USER` will not do. Names other than root are looked up once the image is built.
fn wrong(user: &str) -> Option<&'static str> {
    match User::from(user) {
        User::Unset | User::Unnamed => Some("names no user, which is root"),
        User::Root => Some("is root"),
        User::OutOfRange => Some("is no uid"),
        User::Uid(_) | User::Name(_) => None,
    }
}
