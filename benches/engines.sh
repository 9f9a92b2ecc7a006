#!/usr/bin/env bash
# Lays the embedded engine beside BuildKit (through the Docker Engine) and buildah: the same
# Dockerfile of three stages, some 200 files and three RUN steps, the content exported to an OCI
# layout by each, in turn, in one run. Median wall seconds, and ratios to the embedded engine.
#
# cold: nothing of the build is in a cache. The embedded engine has no cache directory at all and
# unpacks the base image too; peers get --no-cache and keep the base image, and BuildKit the context.
# cached: the same build again, exported again.
#
# usage: benches/engines.sh [RUNS]      (default 5; the binary is $PLIMSOLL or a release build)
# exit code: 1 when a ratio is below what the engine is held to (cold 1.5, cached 5, buildah 3)
# installs by package name: docker.io, buildah, skopeo, busybox-static (Debian); needs root
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/examples/base/setup.sh"
runs=${1:-5}
install_packages docker.io buildah skopeo busybox-static
start_docker
binary=${PLIMSOLL:-}
if [ -z "$binary" ]; then
    (cd "$top" && cargo build --release --locked)
    binary=${CARGO_TARGET_DIR:-$top/target}/release/plimsoll
fi
work=$(mktemp -d)
base=localhost/plimsoll-bench/base:1
built=localhost/plimsoll-bench/built
storage=(--root "$work/buildah" --runroot "$work/buildah-run")
clean() {
    docker image rm -f "$base" "$built" >/dev/null 2>&1 || true
    buildah "${storage[@]}" rmi -af >/dev/null 2>&1 || true
    umount "$work/buildah/overlay" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT

# --- base image and context -----------------------------------------------------------------------
root=$work/root
mkdir -p "$root"/{bin,etc,tmp,proc,sys,dev}
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in sh cat cp chmod cut find grep ln ls mkdir rm sed sha256sum sort tr wc xargs; do
    ln -s busybox "$root/bin/$applet"
done
printf 'root:x:0:0:root:/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"
tar -C "$root" -c . | docker import --change 'ENV PATH=/bin' - "$base" >/dev/null
skopeo copy --quiet "docker-daemon:$base" "oci:$work/base:1"
docker save "$base" -o "$work/base.tar"
buildah "${storage[@]}" pull -q "docker-archive:$work/base.tar" >/dev/null

context=$work/context
mkdir -p "$context"/{deps,src,etc}
git -C "$context" init -q 2>/dev/null || true
for n in $(seq 40); do head -c 20000 /dev/urandom | base64 >"$context/deps/lib$n.txt"; done
for n in $(seq 150); do
    mkdir -p "$context/src/m$((n % 10))"
    { printf 'module %s\n' "$n"; head -c 4000 /dev/urandom | base64; } >"$context/src/m$((n % 10))/f$n.c"
done
for n in $(seq 10); do printf 'setting.%s = %s\n' "$n" "$RANDOM" >"$context/etc/$n.conf"; done
cat >"$context/Dockerfile" <<DOCKERFILE
FROM $base AS deps
WORKDIR /src
COPY deps/ deps/
RUN cat deps/*.txt | sha256sum >deps.sum && cp -r deps vendor

FROM $base AS build
WORKDIR /src
COPY --from=deps /src/vendor vendor
COPY src/ src/
RUN mkdir -p /out/lib && for f in src/*/*.c; do sha256sum "\$f" >"/out/lib/\$(echo "\$f" | tr / _).o"; done && \\
    cat src/*/*.c vendor/*.txt >/out/app

FROM $base
COPY --from=build /out /opt/app
COPY etc/ /etc/app/
RUN chmod 0755 /opt/app/app && ln -s /opt/app/app /bin/app && wc -c /opt/app/app >/etc/app/size
CMD ["app"]
DOCKERFILE

# --- engines: each builds and leaves an OCI layout in $work/layout --------------------------------
quiet() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }; }
plimsoll() { # ENGINE ARGUMENT...
    local engine=$1; shift
    (cd "$context" && quiet "$binary" build -qq --engine "$engine" --tag 1 --output "$work/layout" "$@")
}
embedded() { plimsoll embedded --cache-dir "$work/cache" --mirror "$base=oci:$work/base:1"; }
embedded_cold() { rm -rf "$work/cache"; }
buildkit() { plimsoll docker; }
buildkit_no_cache() { plimsoll docker --no-cache; }
docker_save() { # ARGUMENT...
    DOCKER_BUILDKIT=1 quiet docker build -q -t "$built" "$@" "$context"
    mkdir -p "$work/layout"
    docker save "$built" | tar -x -C "$work/layout"
}
buildah_push() { # ARGUMENT...
    quiet buildah "${storage[@]}" build --layers --isolation chroot --pull-never -q -t "$built" "$@" "$context"
    quiet buildah "${storage[@]}" push -q "$built" "oci:$work/layout:1"
}

now() { local t=$EPOCHREALTIME; echo "${t//[.,]/}"; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
# measure NAME COMMAND...: one run, in milliseconds, into $work/NAME.times
measure() {
    local name=$1 start; shift
    rm -rf "$work/layout"
    start=$(now)
    "$@"
    awk -v a="$start" -v b="$(now)" 'BEGIN { printf "%.1f\n", (b - a) / 1000 }' >>"$work/$name.times"
}
# A docker client without buildx has no way to BuildKit.
if (docker_save) 2>/dev/null; then buildx=yes; else buildx=; fi
for run in $(seq 0 "$runs"); do
    [ "$run" != 1 ] || rm -f "$work"/*.times # the first round warms the page cache
    embedded_cold
    measure embedded.cold embedded
    measure embedded.cached embedded
    measure buildkit.cold buildkit_no_cache
    measure buildkit.cached buildkit
    if [ -n "$buildx" ]; then
        measure docker-save.cold docker_save --no-cache
        measure docker-save.cached docker_save
    fi
    measure buildah.cold buildah_push --no-cache
    measure buildah.cached buildah_push
done

ms() { median <"$work/$1.times"; }
printf '%-34s %10s %10s   (median of %s, ms)\n' engine cold cached "$runs"
line() { printf '%-34s %10s %10s\n' "$2" "$(ms "$1.cold")" "$(ms "$1.cached")"; }
line embedded "plimsoll --engine embedded"
line buildkit "plimsoll --engine docker (BuildKit)"
if [ -n "$buildx" ]; then
    line docker-save "docker build + docker save"
else
    printf '%-34s not measured: this docker client has no buildx\n' "docker build + docker save"
fi
line buildah "buildah build + push oci:"
missed=0
ratio() { # PEER STATE AT-LEAST
    local told
    told=$(awk -v a="$(ms "$1.$2")" -v b="$(ms "embedded.$2")" -v least="$3" \
        'BEGIN { r = a / b; printf "%.2f (at least %s) %s", r, least, (r >= least) ? "met" : "MISSED" }')
    printf 'ratio %s %s: %s\n' "$1" "$2" "$told"
    case $told in *MISSED) missed=1 ;; esac
}
ratio buildkit cold 1.5
ratio buildkit cached 5
ratio buildah cold 3
ratio buildah cached 3
exit "$missed"
