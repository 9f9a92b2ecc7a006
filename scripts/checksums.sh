#!/usr/bin/env bash
# Puts the checksums of a version's binaries into action/checksums.txt, so that the action of that
# commit runs these and no others. Assets are files named plimsoll-VERSION-TARGET.
#
#   scripts/checksums.sh VERSION ASSET...
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=${1:?usage: scripts/checksums.sh VERSION ASSET...}
shift
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "error: $version is no version such as 1.2.3" >&2; exit 2; }
[ $# -gt 0 ] || { echo "error: no assets given" >&2; exit 2; }
list=$top/action/checksums.txt
new=$(mktemp)
trap 'rm -f "$new"' EXIT
grep -v " plimsoll-$version-" "$list" >"$new" || true
for asset in "$@"; do
    name=$(basename "$asset")
    case $name in
        "plimsoll-$version-"*-unknown-linux-musl) ;;
        *) echo "error: $name is not named plimsoll-$version-TARGET" >&2; exit 2 ;;
    esac
    printf '%s  %s\n' "$(sha256sum "$asset" | cut -d' ' -f1)" "$name" >>"$new"
done
cp "$new" "$list"
printf '%s\n' "$version" >"$top/action/version"
