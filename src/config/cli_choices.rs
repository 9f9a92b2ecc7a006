//! What the global options may be.

use clap::ValueEnum;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColorChoice {
    /// on a terminal
    #[default]
    Auto,
    /// whatever standard error is
    Always,
    /// never
    Never,
}

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ProgressChoice {
    /// bars on a terminal, lines elsewhere
    #[default]
    Auto,
    /// lines
    Plain,
    /// bars
    Tty,
    /// nothing
    None,
}
