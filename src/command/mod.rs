//! The commands, each a few lines over the modules above.
