//! Names of vertices as `BuildKit` words them: `[build 2/5] RUN make`.

use super::lex::{Env, Lexer};

/// Counts the steps of a stage.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    stage: String,
    index: usize,
    pub(super) total: usize,
    /// the step comes from the base image
    pub(super) onbuild: bool,
}

impl Names {
    /// `stage` is empty when there is but one.
    pub(super) fn new(stage: String, total: usize) -> Self {
        Self {
            stage,
            index: 0,
            total,
            onbuild: false,
        }
    }

    /// The name of the next step.
    pub(super) fn next(&mut self, text: &str) -> String {
        if self.total == 0 {
            return text.to_owned();
        }
        self.index += 1;
        let space = if self.stage.is_empty() { "" } else { " " };
        let width = self
            .total
            .checked_ilog10()
            .map_or(1, |log| log as usize + 1);
        let onbuild = if self.onbuild { "ONBUILD " } else { "" };
        let (stage, index, total) = (&self.stage, self.index, self.total);
        format!("[{stage}{space}{index:width$}/{total}] {onbuild}{text}")
    }
}

/// The line of an instruction for its name: variables put in, the keyword in upper case.
pub(super) fn shown(lexer: &Lexer<'_>, code: &str, env: &Env) -> String {
    let text = lexer.word(code, env).unwrap_or_else(|_| code.to_owned());
    match text.split_once(' ') {
        Some((keyword, rest)) => format!("{} {rest}", keyword.to_uppercase()),
        None => text.to_uppercase(),
    }
}

/// The first line of a here-document.
pub(super) fn summary(text: &str) -> String {
    let text = text.trim().replace("\r\n", "\n");
    match text.split_once('\n') {
        Some((first, _)) => format!("{first}..."),
        None => text,
    }
}
