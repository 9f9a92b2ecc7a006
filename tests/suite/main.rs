//! The integration suite: one binary, one module a subject.

mod engine;
mod sources;
