#!/usr/bin/env bash
# Sets up a bare Debian 12 with Rust and runs the main job on examples/cinder-plugin: builds the
# Dockerfile with the embedded engine, which needs no daemon, scans the image, writes SARIF. Nothing
# is pulled. What follows on the command line goes to `plimsoll run`; with `--engine docker` a Docker
# Engine builds instead.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/examples/base/setup.sh"

install_packages build-essential ca-certificates rpm sqlite3 busybox-static
example=$top/examples/cinder-plugin
"$top/examples/base/make-base.sh" "$example/.base"
cd "$top"
cargo build --release --locked
engine=(--engine embedded --cache-dir "${CARGO_TARGET_DIR:-$top/target}/example-cache")
for argument in "$@"; do
    case $argument in --engine | --engine=*) engine=() ;; esac
done
exec "${CARGO_TARGET_DIR:-$top/target}/release/plimsoll" run --config "$example/plimsoll.yaml" \
    "${engine[@]}" "$@"
