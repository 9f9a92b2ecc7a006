#!/bin/sh
# BuildKit's answers to the cases of the engine contract (tests/contract/cases), from a BuildKit of
# this script's own.
#
#   tests/contract.sh record [CASE]   # writes tests/contract/expected
#   tests/contract.sh compare [CASE]  # fails where BuildKit answers differently than recorded
#   tests/contract.sh fuzz N SEED     # N made-up cases on both engines; what differs is made small
#
# Needs root, go, runc, git, bzip2, xz and busybox-static; fuzz also python3. PLIMSOLL_BUILDKITD names
# a buildkitd that is there already.
set -eu

version=v0.29.0
home=${PLIMSOLL_CONTRACT_HOME:-/tmp/plimsoll-contract}
case ${1:-} in
    record) PLIMSOLL_CONTRACT_RECORD=1 ;;
    compare) PLIMSOLL_CONTRACT_RECORD=0 ;;
    fuzz) PLIMSOLL_CONTRACT_RECORD=1 ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
export PLIMSOLL_CONTRACT_RECORD
[ "$1" = fuzz ] || [ $# -lt 2 ] || export PLIMSOLL_CONTRACT_CASE="$2"

mkdir -p "$home"
buildkitd=${PLIMSOLL_BUILDKITD:-$home/bin/buildkitd}
[ -x "$buildkitd" ] || GOBIN=$home/bin go install "github.com/moby/buildkit/cmd/buildkitd@$version"

socket=$home/buildkitd.sock
"$buildkitd" --root "$home/state" --addr "unix://$socket" --oci-worker-net host \
    --allow-insecure-entitlement network.host \
    --containerd-worker=false >"$home/buildkitd.log" 2>&1 &
daemon=$!
trap 'kill $daemon; wait $daemon 2>/dev/null || true' EXIT
for _ in $(seq 100); do [ -S "$socket" ] && break; sleep 0.1; done
sleep 1
export PLIMSOLL_CONTRACT_BUILDKIT_HOST="unix://$socket"

# both DIR: what BuildKit and then the embedded engine say to the cases of DIR
both() {
    PLIMSOLL_CONTRACT_DIR=$1 cargo test -q --test suite contract::a_real_buildkit
    PLIMSOLL_CONTRACT_DIR=$1 cargo test -q --test suite contract::the_embedded_engine -- --nocapture
}

if [ "$1" != fuzz ]; then
    cargo test --test suite contract::a_real_buildkit -- --nocapture
    exit
fi

fuzz=$home/fuzz-$3
rm -rf "$fuzz" "$fuzz.less"
python3 tests/contract/fuzz.py make "$2" "$3" "$fuzz"
if both "$fuzz" >"$fuzz/log" 2>&1; then
    grep ' equal, ' "$fuzz/log"
    exit
fi
grep ' equal, ' "$fuzz/log" || { cat "$fuzz/log"; exit 1; }
while :; do
    rm -rf "$fuzz.less"
    python3 tests/contract/fuzz.py shrink "$fuzz" "$fuzz.less"
    both "$fuzz.less" >"$fuzz.less/log" 2>&1 || true
    python3 tests/contract/fuzz.py adopt "$fuzz" "$fuzz.less" || break
done
both "$fuzz" || true
cat "$fuzz/cases/fuzz.txt"
exit 1
