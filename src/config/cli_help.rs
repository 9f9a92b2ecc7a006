//! What stands below the options in `--help`.

/// Below the options of every command.
pub(super) fn top(exit_codes: &str) -> String {
    format!(
        "Examples:
  plimsoll run                          check, build and scan what plimsoll.yaml describes
  plimsoll run --dry-run -v             what would be done, why, and where each value comes from
  plimsoll check                        predict the assessments, in milliseconds
  plimsoll scan oci:out --format table  assess an image that exists

Values are taken from the command line, else from the environment (`PLIMSOLL_TAG` for `--tag`),
else from plimsoll.yaml, else a default. Standard output carries the report alone.

Exit codes:
{exit_codes}"
    )
}

pub(super) const RUN: &str = "Examples:
  plimsoll run --tag 1.0-1
  plimsoll run --format sarif=plimsoll.sarif --format table
  plimsoll run check,build --output out
  plimsoll run --mirror registry.access.redhat.com/ubi9=oci:base/ubi9
  plimsoll run --secret id=token,env=TOKEN --skip has_licenses='granted by Red Hat, case 123'

Paths on the command line are relative to the current directory, those of plimsoll.yaml and of the
environment to the repository root.";

pub(super) const ADVISORIES: &str = "Examples:
  plimsoll advisories update
  plimsoll advisories update --from csaf_advisories_2026-11-20.tar.zst
  plimsoll advisories status
  plimsoll advisories show RHSA-2024:0010
  plimsoll advisories for registry.example.com/team/app:1.0-3
  plimsoll advisories for --packages packages.tsv --modules modules --release 8.0

`update` fetches from https://security.access.redhat.com/data/ unless `--from` or the key
`scan.advisories.source` of plimsoll.yaml names another feed, a directory or an archive.";

pub(super) const CHECK: &str = "Examples:
  plimsoll check
  plimsoll check --context images/api --file Containerfile --format github";

pub(super) const BUILD: &str = "Examples:
  plimsoll build --output out --tag 1.0-1
  plimsoll build --platform linux/amd64,linux/arm64 --engine buildkit --output out";

pub(super) const SCAN: &str = "Examples:
  plimsoll scan oci:out
  plimsoll scan docker-daemon:app:1.0-1 --format json
  plimsoll scan registry.example.com/team/app:1.0-1 --file Dockerfile --format sarif=app.sarif
  plimsoll scan oci-archive:app.tar --only has_licenses,good_tags --tag 1.0-1";

pub(super) const PUSH: &str = "Examples:
  plimsoll push oci:out --image registry.example.com/team/app --tag 1.0-1
  plimsoll push docker-daemon:quay.io/team/app:1.0-1
  plimsoll push docker://example.com/staging/app:1.0-1 --image example.com/team/app --tag 1.0-1
  plimsoll push oci:out --image quay.io/team/app --tag 1.0-1 --mount-from team/base

An image that is not accepted is not pushed; nothing but the policy of the scan (`--profile`,
exceptions) can change that.";

pub(super) const LOGOUT: &str = "Examples:
  plimsoll logout quay.io
  plimsoll logout quay.io/team --auth-file auth.json";

pub(super) const LOGIN: &str = "Examples:
  plimsoll login quay.io --username team+robot --password-file key.txt
  printf %s \"$KEY\" | plimsoll login scan.connect.redhat.com --password-stdin

The password is tried before it is stored. It goes to the credential helper that is configured, else
into the first of: `--auth-file`, $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json,
~/.docker/config.json (or podman's auth.json where that alone exists).";

pub(super) const CACHE: &str = "Examples:
  plimsoll cache prune --older-than 14
  plimsoll cache prune --max-size 4g --cache-dir .plimsoll-cache";

pub(super) const EXPLAIN: &str = "Examples:
  plimsoll explain
  plimsoll explain has_licenses
  plimsoll explain HasLicense";

pub(super) const SCHEMA: &str = "Examples:
  plimsoll schema config > plimsoll.schema.json
  plimsoll schema report";

pub(super) const COMPLETIONS: &str = "Examples:
  plimsoll completions bash > /etc/bash_completion.d/plimsoll
  plimsoll completions fish > ~/.config/fish/completions/plimsoll.fish";

pub(super) const MAN: &str = "Examples:
  plimsoll man > /usr/local/share/man/man1/plimsoll.1
  plimsoll man | man -l -";

pub(super) const INIT: &str = "Examples:
  plimsoll init
  plimsoll init --yes --image quay.io/org/app --tag 1.0-1
  plimsoll init --ci gitlab --file images/api/Containerfile --dry-run";
