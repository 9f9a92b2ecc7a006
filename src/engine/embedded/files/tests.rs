//! Checked by `tests/suite/contract` against BuildKit; here what that cannot see.
