#!/bin/sh
# BuildKit's answers to the cases of the engine contract (tests/contract/cases), from a BuildKit of
# this script's own.
#
#   tests/contract.sh record [CASE]   # writes tests/contract/expected
#   tests/contract.sh compare [CASE]  # fails where BuildKit answers differently than recorded
#
# Needs root, go, runc, git, bzip2, xz and busybox-static. PLIMSOLL_BUILDKITD names a buildkitd that is
# there already.
set -eu

version=v0.29.0
home=${PLIMSOLL_CONTRACT_HOME:-/tmp/plimsoll-contract}
case ${1:-} in
    record) PLIMSOLL_CONTRACT_RECORD=1 ;;
    compare) PLIMSOLL_CONTRACT_RECORD=0 ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
export PLIMSOLL_CONTRACT_RECORD
[ $# -lt 2 ] || export PLIMSOLL_CONTRACT_CASE="$2"

mkdir -p "$home"
buildkitd=${PLIMSOLL_BUILDKITD:-$home/bin/buildkitd}
[ -x "$buildkitd" ] || GOBIN=$home/bin go install "github.com/moby/buildkit/cmd/buildkitd@$version"

socket=$home/buildkitd.sock
"$buildkitd" --root "$home/state" --addr "unix://$socket" --oci-worker-net host \
    --containerd-worker=false >"$home/buildkitd.log" 2>&1 &
daemon=$!
trap 'kill $daemon; wait $daemon 2>/dev/null || true' EXIT
for _ in $(seq 100); do [ -S "$socket" ] && break; sleep 0.1; done
sleep 1
PLIMSOLL_CONTRACT_BUILDKIT_HOST=unix://$socket \
    cargo test --test suite contract::a_real_buildkit -- --nocapture
