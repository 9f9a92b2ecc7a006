#!/usr/bin/env bash
# Makes the two commits of a release, on the branch that is checked out: the first holds the checksums
# of its binaries and gets the tag, so that the action of that tag runs these and no others; the second
# points the examples at the first, whose name nobody knows before. Nothing is pushed.
#
#   scripts/release-commit.sh VERSION ASSET...
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=${1:?usage: scripts/release-commit.sh VERSION ASSET...}
cd "$here/.."
# A checkout in a workflow has no tags.
there=$(git ls-remote origin "refs/tags/v$version")
if [ -n "$there" ] || git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null; then
    echo "error: there is a tag v$version already; a release is made once" >&2
    exit 2
fi
grep -qx "version = \"$version\"" Cargo.toml || { echo "error: Cargo.toml has another version than $version" >&2; exit 2; }
scripts/checksums.sh "$@"
scripts/pin.sh "$version"
git add action examples templates
git commit --quiet --message "release: $version, checksums of its binaries"
git tag --annotate "v$version" --message "plimsoll $version"
scripts/pin.sh "$version" "$(git rev-parse HEAD)"
git add action examples
git commit --quiet --message "release: examples use $version"
