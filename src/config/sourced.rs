//! A value and where it came from.

use std::{fmt, sync::Arc};

/// Where in the configuration file a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// the file as it was named or found
    pub file: Arc<str>,
    /// line, from 1
    pub line: usize,
    /// column in characters, from 1
    pub column: usize,
    /// bytes of the value in the file
    pub(super) span: (usize, usize),
}

/// Where a value came from, in falling order of precedence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// an option of the command line, such as `--tag`
    Flag(&'static str),
    /// a variable of the environment or an input of the action, such as `PLIMSOLL_TAG`
    Variable(String),
    /// the configuration file
    File(Mark),
    /// nobody set it
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => f.write_str(name),
            Self::Variable(name) => f.write_str(name),
            Self::File(mark) => write!(f, "{}:{}:{}", mark.file, mark.line, mark.column),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value that knows where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// the value
    pub value: T,
    /// who set it
    pub origin: Origin,
}

/// A value that may be unset at one level of the configuration.
pub type Setting<T> = Option<Sourced<T>>;

impl<T> Sourced<T> {
    /// A value from `origin`.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// The same origin for another form of the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced::new(change(self.value), self.origin)
    }
}

/// One line of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// dotted path of keys, such as `build.args.VERSION`
    pub path: String,
    /// the value as text
    pub value: String,
    /// who set it
    pub origin: Origin,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}  ({})", self.path, self.value, self.origin)
    }
}
