//! The integration suite: one binary, one module a subject.

mod hostile;
mod inventory;
mod layers;
mod rpmdb;
mod verify;
