//! The integration suite: one binary, one module a subject.

mod rpmdb;
mod verify;
