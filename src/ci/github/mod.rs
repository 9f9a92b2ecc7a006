//! GitHub: where a run stands, code scanning, check runs, the comment on the pull request, the status
//! of the commit, and identity tokens.
//!
//! Nothing here decides an exit code: a call that comes to nothing is told with its remedy.

mod check_run;
mod checkout;
mod comment;
mod context;
pub mod oidc;
mod sarif;
mod status;

pub use check_run::{CheckRun, MAX_ANNOTATIONS, create as create_check_run};
pub use checkout::{Checkout, read as read_checkout};
pub use comment::{MAX_COMMENT, put as put_comment};
pub use context::{Commit, Context, ContextError, Trust, Workflow, context};
pub use sarif::{Limits, Package, Processed, package, upload, wait_for_processing};
pub use status::set as set_status;

/// How a run came out, as forges put it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// all that was asked succeeded
    Success,
    /// rejected, or the build failed
    Failure,
    /// rejected or not assessed, and pardoned with `--exit-zero`
    Pardoned,
    /// no verdict could be had
    Error,
}
