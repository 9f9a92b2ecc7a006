#!/bin/sh
# Records answers.json anew: what BuildKit's own Dockerfile frontend makes of cases.json.
# Needs go and a checkout of moby/buildkit (v0.29.0 at the time of writing):
#   sh tests/data/frontend/record.sh ../buildkit
# engine.jsonl is what a Docker Engine makes of those that it can build; engine.sh records it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=$1/cmd/plimsoll-oracle
work=$(mktemp -d)
trap 'rm -rf "$work" "$program"' EXIT
mkdir -p "$program"
cp "$here/oracle.go" "$program/main.go"
(cd "$1" && go build -o "$work/oracle" ./cmd/plimsoll-oracle)
"$work/oracle" <"$here/cases.json" >"$work/answers.json"
mv "$work/answers.json" "$here/answers.json"
