//! The workflow's identity as a login for the registry of the image, where the user asked for it.

use crate::{
    ci::github::oidc,
    command::logins,
    config::{Config, Environment},
    progress::Console,
    registry::{
        RegistryOptions,
        auth::{AuthStore, Login},
    },
};

/// `auth` with a login for the registries of the images, when `registry-oidc` is set.
pub(in crate::command) fn with_identity(
    mut auth: AuthStore,
    config: &Config,
    environment: &Environment,
    console: &Console,
) -> AuthStore {
    let Some(audience) = &config.ci.registry_oidc else {
        return auth;
    };
    let Some((url, token)) = environment.identity() else {
        console.warn("`registry-oidc` is set, but the job gives no identity: give it `permissions:` with `id-token: write`");
        return auth;
    };
    let source = oidc::Source { url, token };
    let user = environment.username();
    let images = config.images.iter();
    let mut registries: Vec<&str> = images
        .filter_map(|image| {
            let name = image.settings.image.as_ref()?;
            Some(name.value.registry.as_ref()?.value.as_str())
        })
        .collect();
    registries.sort_unstable();
    registries.dedup();
    let http = RegistryOptions {
        certificate_dirs: logins::certificate_dirs(environment),
        ..RegistryOptions::default()
    };
    for registry in registries {
        match oidc::login(&source, audience, registry, user, &http) {
            Ok(login) => {
                if let Login::Basic { password, .. } = &login {
                    console.learn(std::slice::from_ref(password));
                }
                auth = auth.with_login(registry, login);
            }
            Err(error) => {
                let remedy = error.remedy().map(|remedy| format!("; {remedy}"));
                console.warn(&format!("{error}{}", remedy.unwrap_or_default()));
            }
        }
    }
    auth
}
