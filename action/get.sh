#!/usr/bin/env bash
# Brings the program: the one given, else the released static binary of the wanted version, which
# must have the checksum that came with this action. Prints nothing but what went wrong.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() { # message
    printf '::error title=plimsoll::%s\n' "$1"
    printf '%s\n' passed=false exit-code=2 'summary=usage or configuration' published=false >>"$GITHUB_OUTPUT"
    exit 2
}
use() { # path
    printf 'program=%s\n' "$1" >>"$GITHUB_OUTPUT"
    exit 0
}

if [ -n "${PLIMSOLL_BINARY_WANTED:-}" ]; then
    case $PLIMSOLL_BINARY_WANTED in *$'\n'*) fail 'input binary: a path has no line ends' ;; esac
    [ -f "$PLIMSOLL_BINARY_WANTED" ] && [ -x "$PLIMSOLL_BINARY_WANTED" ] || fail 'input binary: no program at that path'
    use "$(realpath -- "$PLIMSOLL_BINARY_WANTED")"
fi

version=${PLIMSOLL_VERSION_WANTED:-}
if [ -z "$version" ]; then version=$(cat "$here/version"); fi
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail 'input version: must be exact, such as 1.2.3'

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) target=x86_64-unknown-linux-musl ;;
    Linux-aarch64 | Linux-arm64) target=aarch64-unknown-linux-musl ;;
    *) fail "there is no binary for $(uname -s) on $(uname -m); use a Linux runner" ;;
esac

asset=plimsoll-$version-$target
sum=$(awk -v name="$asset" '$2 == name { print $1 }' "$here/checksums.txt")
[ -n "$sum" ] || fail "no checksum of plimsoll $version for $target came with this action; pin the action to a release, or choose a version that it lists"

directory=${RUNNER_TOOL_CACHE:-${RUNNER_TEMP:-/tmp}}/plimsoll/$version/$target
program=$directory/plimsoll
matches() { [ -f "$1" ] && printf '%s  %s\n' "$sum" "$1" | sha256sum --check --status; }
if ! matches "$program"; then
    mkdir -p "$directory"
    fetched=$(mktemp "$directory/fetched.XXXXXX")
    trap 'rm -f "$fetched"' EXIT
    # The repository that this action was taken from; a fork brings its own releases. A mirror (an
    # enterprise server, a company without way out) is named by PLIMSOLL_RELEASES.
    releases=${PLIMSOLL_RELEASES:-https://github.com/${GITHUB_ACTION_REPOSITORY:-plimsoll/plimsoll}/releases/download}
    url=$releases/v$version/$asset
    curl --fail --silent --show-error --location --proto '=https' --proto-redir '=https' \
        --retry 5 --retry-all-errors --max-filesize 100000000 --output "$fetched" "$url" ||
        fail "could not download $url"
    matches "$fetched" || fail "$url has not the checksum that came with this action; nothing was run"
    chmod 0755 "$fetched"
    mv -f "$fetched" "$program"
fi
use "$program"
