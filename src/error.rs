//! The one table of exit codes, and errors as users read them.

/// Exit codes. One table; no output format changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// all that was asked succeeded
    Success = 0,
    /// assessed and rejected: a blocking assessment failed
    Rejected = 1,
    /// usage or configuration
    Usage = 2,
    /// the build failed in the user's Dockerfile
    BuildFailed = 3,
    /// could not assess: a required rule lacked its facts
    NotAssessed = 4,
    /// push failed
    PushFailed = 5,
    /// publish, unpublish, remove or rebuild request failed
    PublishFailed = 6,
    /// a bug in Plimsoll
    Bug = 70,
    /// interrupted by SIGINT
    Interrupted = 130,
    /// terminated by SIGTERM
    Terminated = 143,
}
