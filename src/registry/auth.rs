//! Credentials for a registry from the files and helpers that docker and podman use.

use crate::secret::Secret;

/// A login for one registry.
#[derive(Debug, Clone)]
pub enum Login {
    /// user name and password
    Basic {
        /// user
        username: String,
        /// password or registry key
        password: Secret,
    },
    /// an identity token (docker's `identitytoken`)
    IdentityToken(Secret),
}
