#!/usr/bin/env bash
# Sets up a bare Debian 12 with Rust and runs the main job on examples/cinder-plugin: builds the
# Dockerfile with the Docker Engine's BuildKit, scans the image, writes SARIF. Nothing is pulled.
# What follows on the command line goes to `plimsoll run`.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/examples/base/setup.sh"

install_packages build-essential ca-certificates docker.io rpm sqlite3 busybox-static
start_docker
example=$top/examples/cinder-plugin
"$top/examples/base/make-base.sh" "$example/.base"
cd "$top"
cargo build --release --locked
exec "${CARGO_TARGET_DIR:-$top/target}/release/plimsoll" run --config "$example/plimsoll.yaml" "$@"
