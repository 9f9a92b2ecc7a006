#!/usr/bin/env bash
# Points the examples at a release: images and the component by its version, the binary by the
# checksum in action/checksums.txt too and, once its commit is known, the action by that. What
# `plimsoll init` writes comes from these files.
#
#   scripts/pin.sh VERSION [COMMIT]
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=${1:?usage: scripts/pin.sh VERSION [COMMIT]} commit=${2:-}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "error: $version is no version such as 1.2.3" >&2; exit 2; }
[[ $commit =~ ^([0-9a-f]{40})?$ ]] || { echo "error: $commit is no commit, 40 hexadecimal digits" >&2; exit 2; }
cd "$top"
asset=plimsoll-$version-x86_64-unknown-linux-musl
sum=$(awk -v name="$asset" '$2 == name { print $1 }' action/checksums.txt)
[[ $sum =~ ^[0-9a-f]{64}$ ]] || { echo "error: action/checksums.txt has no checksum of $asset" >&2; exit 2; }
files=(action/pin examples/workflows/*.yml examples/ci/* templates/plimsoll.yml)
sed -E -i \
    -e "s|(plimsoll/plimsoll/plimsoll)@[0-9]+\.[0-9]+\.[0-9]+|\1@$version|" \
    -e "s|(ghcr\.io/plimsoll/plimsoll:)[0-9]+\.[0-9]+\.[0-9]+(-[0-9]+(-root)?)|\1$version\2|" \
    -e "s|(plimsoll/plimsoll/releases/download)/v[0-9.]+/plimsoll-[0-9.]+-|\1/v$version/plimsoll-$version-|" \
    -e "s|\"[0-9a-f]{64}( +[^ ]*/plimsoll\")|\"$sum\1|" \
    "${files[@]}"
wanted="plimsoll/plimsoll/releases/download/v$version/$asset|plimsoll/plimsoll/plimsoll@$version|ghcr\.io/plimsoll/plimsoll:$version-"
if [ -n "$commit" ]; then
    sed -E -i "s|(plimsoll/plimsoll)@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+|\1@$commit # v$version|" "${files[@]}"
    wanted+="|plimsoll/plimsoll@$commit # v$version\$"
else
    wanted+="|plimsoll/plimsoll@[0-9a-f]{40} # v"
fi
# A form that the lines above do not know would stay behind unseen.
if behind=$(grep -nE 'plimsoll/plimsoll[@:/]' "${files[@]}" | grep -vE "$wanted"); then
    printf 'error: not pinned to %s:\n%s\n' "$version" "$behind" >&2
    exit 1
fi
if behind=$(grep -nE 'sha256sum' "${files[@]}" | grep -vF "\"$sum "); then
    printf 'error: another checksum than that of %s:\n%s\n' "$asset" "$behind" >&2
    exit 1
fi
