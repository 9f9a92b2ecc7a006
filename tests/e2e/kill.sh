#!/usr/bin/env bash
# Kills builds of the embedded engine at random points, then builds again: the image is that of a
# fresh cache, and no mount, process or litter is left.
#
# usage: tests/e2e/kill.sh [BUILDS]     (default 50; the binary is $PLIMSOLL or a debug build; SEED
#                                        repeats a run's points)
# installs by package name: busybox-static, python3 (Debian)
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$top/examples/base/setup.sh"
builds=${1:-50}
[[ $builds =~ ^[1-9][0-9]*$ ]] || { echo "usage: tests/e2e/kill.sh [BUILDS]" >&2; exit 2; }
install_packages busybox-static python3
binary=${PLIMSOLL:-}
if [ -z "$binary" ]; then
    (cd "$top" && cargo build --locked)
    binary=${CARGO_TARGET_DIR:-$top/target}/debug/plimsoll
fi
RANDOM=${SEED:=$$}
printf 'seed %s\n' "$SEED"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
die() { printf 'kill.sh: %s\n' "$*" >&2; exit 1; }

# --- a base image that pulls nothing, and a context -----------------------------------------------
root=$work/root
mkdir -p "$root"/{bin,etc,tmp,proc,sys,dev} "$work/context/src"
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in sh cat cp chmod ln mkdir rm sha256sum sleep; do ln -s busybox "$root/bin/$applet"; done
printf 'root:x:0:0:root:/:/bin/sh\n' >"$root/etc/passwd"
tar -C "$root" --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 -cf "$work/base.tar" .
python3 - "$work/base" "$work/base.tar" <<'PYTHON'
import hashlib, json, os, sys
out, tar = sys.argv[1:]
os.makedirs(out + "/blobs/sha256")
def blob(data, media):
    digest = hashlib.sha256(data).hexdigest()
    open(f"{out}/blobs/sha256/{digest}", "wb").write(data)
    return {"mediaType": f"application/vnd.oci.image.{media}", "digest": f"sha256:{digest}", "size": len(data)}
layer = blob(open(tar, "rb").read(), "layer.v1.tar")
config = {"architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine), "os": "linux",
          "config": {"Env": ["PATH=/bin"]}, "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
config = blob(json.dumps(config).encode(), "config.v1+json")
manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer]}
manifest = blob(json.dumps(manifest).encode(), "manifest.v1+json")
manifest["annotations"] = {"org.opencontainers.image.ref.name": "1"}
json.dump({"schemaVersion": 2, "manifests": [manifest]}, open(out + "/index.json", "w"))
json.dump({"imageLayoutVersion": "1.0.0"}, open(out + "/oci-layout", "w"))
PYTHON
for n in $(seq 60); do head -c 20000 /dev/urandom >"$work/context/src/$n"; done
cat >"$work/context/Dockerfile" <<'DOCKERFILE'
FROM localhost/base:1 AS one
WORKDIR /one
COPY src src
RUN sha256sum src/* >sums && sleep 0.1
FROM localhost/base:1 AS two
COPY src/1 src/2 /two/
RUN --mount=type=cache,target=/cache cat /two/* >/two/all && cp /two/all /cache/ && rm /two/1 && sleep 0.1
FROM localhost/base:1
COPY --from=one /one /one
COPY --from=two --chown=7:8 /two /two
RUN mkdir /three && ln -s ../one/sums /three/sums && ln /two/all /three/all && chmod 4755 /three/all
CMD ["sh"]
DOCKERFILE
git -C "$work/context" init -q 2>/dev/null || true

# --- building -------------------------------------------------------------------------------------
# build CACHE-DIRECTORY OUTPUT: to be run in the background; $! is plimsoll itself
build() {
    cd "$work/context"
    exec env SOURCE_DATE_EPOCH=1700000000 "$binary" build --engine embedded --cache-dir "$1" --tag 1 \
        --mirror "localhost/base:1=oci:$work/base:1" --output "$2" >"$work/log" 2>&1
}
digest() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]+"/index.json"))["manifests"][0]["digest"])' "$1"; }
# mounts below the work directory, in whichever mount namespace, and processes that are in it
left() {
    grep -lF "$work" /proc/[0-9]*/mountinfo 2>/dev/null
    find /proc/[0-9]*/cwd /proc/[0-9]*/root -maxdepth 0 -lname "$work*" 2>/dev/null
    true
}
gone() {
    for _ in $(seq 100); do
        [ -n "$(left)" ] || return 0
        sleep 0.05
    done
    left >&2
    die "what is above was left behind"
}
# What a cache directory holds: the unpacked layers and the mounts by name, the rest file by file.
# Keys of steps may be there more than once: a step that was done twice is known by either.
inventory() {
    (cd "$1" && find . \( -path './trees/*/*/*' -o -path './mounts/*/*' -o -path './records/*/*' \) -prune -o -print | sort)
}

# What looks for leftovers must find a build that runs.
build "$work/cache" "$work/out" &
pid=$!
for _ in $(seq 500); do
    seen=$(left | grep mountinfo || true)
    [ -z "$seen" ] || break
    sleep 0.01
done
[ -n "$seen" ] || die "a running build is not seen"
kill -9 "$pid"
wait "$pid" 2>/dev/null || true
gone
rm -rf "$work/cache" "$work/out"

start=$(date +%s%N)
(build "$work/fresh" "$work/expected") || { cat "$work/log" >&2; die "the build fails"; }
took=$((($(date +%s%N) - start) / 1000000))
expected=$(digest "$work/expected")
gone
printf 'a build takes %s ms and gives %s\n' "$took" "$expected"

start=$(date +%s%N)
(build "$work/fresh" "$work/out") || die "the cached build fails"
took_cached=$((($(date +%s%N) - start) / 1000000))
rm -rf "$work/out"

killed=0
tried=0
while [ "$killed" -lt "$builds" ]; do
    tried=$((tried + 1))
    # By turns: without a cache, and over that of the builds before; points over all of such a build.
    if [ $((tried % 3)) = 0 ]; then most=$took_cached; else most=$took; rm -rf "$work/cache"; fi
    wait_ms=$((RANDOM % most))
    build "$work/cache" "$work/out" &
    pid=$!
    sleep "$((wait_ms / 1000)).$(printf %03d $((wait_ms % 1000)))"
    if kill -9 "$pid" 2>/dev/null; then killed=$((killed + 1)); fi
    wait "$pid" 2>/dev/null || true
    gone
    rm -rf "$work/out"
    (build "$work/cache" "$work/out") || { cat "$work/log" >&2; die "killed after $wait_ms ms, it cannot be built again"; }
    got=$(digest "$work/out")
    [ "$got" = "$expected" ] || die "killed after $wait_ms ms, it gave $got afterwards"
    gone
    diff <(inventory "$work/fresh") <(inventory "$work/cache") >&2 || die "killed after $wait_ms ms, it left litter in the cache directory"
    (cd "$work/out/blobs/sha256" && sha256sum --quiet -c <(for blob in *; do echo "$blob  $blob"; done)) || die "a blob is not its digest"
    rm -rf "$work/out"
done
printf '%s builds, %s of them killed: each built again to the same digest, nothing left\n' "$tried" "$killed"
