#!/usr/bin/env bash
# Sets up a bare Debian 12 with Rust and passes the tests, with real parts: the Docker Engine's
# BuildKit, docker-registry, rpm, skopeo, xmllint. What follows on the command line goes to
# `cargo test`.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/examples/base/setup.sh"

install_packages build-essential ca-certificates docker.io rpm sqlite3 busybox-static zstd git \
    docker-registry skopeo libxml2-utils openssh-client apache2-utils openssl groff-base procps strace uidmap bzip2 xz-utils gnupg
start_docker
"$top/examples/base/make-base.sh" "$top/examples/cinder-plugin/.base"
cd "$top"
exec cargo test --locked "$@"
