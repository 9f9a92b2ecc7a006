//! Which code a run ends with that came to several.

use crate::error::ExitCode;

/// The heaviest code of all images: 1 wins over 4, what kept an image from being made over both.
pub(super) fn verdict(codes: &[ExitCode], exit_zero: bool) -> ExitCode {
    const ORDER: [ExitCode; 10] = [
        ExitCode::Bug,
        ExitCode::Terminated,
        ExitCode::Interrupted,
        ExitCode::Usage,
        ExitCode::BuildFailed,
        ExitCode::Rejected,
        ExitCode::PushFailed,
        ExitCode::PublishFailed,
        ExitCode::NotAssessed,
        ExitCode::Success,
    ];
    let code = ORDER
        .into_iter()
        .find(|code| codes.contains(code))
        .unwrap_or(ExitCode::Success);
    match code {
        ExitCode::Rejected | ExitCode::NotAssessed if exit_zero => ExitCode::Success,
        code => code,
    }
}

#[cfg(test)]
mod tests {
    use super::{ExitCode, verdict};

    #[test]
    fn no_code_of_the_table_is_lost_among_several_images() {
        for &(code, _) in ExitCode::TABLE {
            assert_eq!(verdict(&[ExitCode::Success, code], false), code);
            assert_eq!(
                verdict(&[code, ExitCode::NotAssessed], false) == code,
                code != ExitCode::Success
            );
        }
        assert_eq!(verdict(&[], false), ExitCode::Success);
    }

    #[test]
    fn exit_zero_pardons_verdicts_and_nothing_else() {
        for &(code, _) in ExitCode::TABLE {
            let pardoned = matches!(code, ExitCode::Rejected | ExitCode::NotAssessed);
            let want = if pardoned { ExitCode::Success } else { code };
            assert_eq!(verdict(&[code], true), want);
        }
    }
}
