#!/bin/sh
# What a Docker Engine with BuildKit makes of the cases in cases.json that it can build: one JSON
# object a line, {name, config, history}; what it does not build is told on standard error.
# Needs docker (or DOCKER=program; one that builds by BuildKit), jq, busybox (static) and tar.
#   sh tests/data/frontend/engine.sh >tests/data/frontend/engine.jsonl
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DOCKER_BUILDKIT=1
: "${DOCKER:=docker}"

# Commands that do nothing and succeed, whatever they are asked for.
root=$work/root
mkdir -p "$root/bin" "$root/usr/bin"
cp "$(command -v busybox)" "$root/bin/busybox"
for name in sh ash bash make after; do
    printf '#!/bin/busybox true\n' >"$root/bin/$name"
    chmod 755 "$root/bin/$name"
done
: >"$root/x"; : >"$root/a"; : >"$root/b"; : >"$root/d"
printf 'app:x:7:7::/:/bin/sh\nu:x:8:8::/:/bin/sh\nv:x:9:9::/:/bin/sh\n' >"$root/etc-passwd"
mkdir "$root/etc" && mv "$root/etc-passwd" "$root/etc/passwd"
tar -C "$root" --owner=0 --group=0 --mtime=@0 -cf "$work/layer.tar" .
layer=sha256:$(sha256sum "$work/layer.tar" | cut -d' ' -f1)

for name in base plain trigger nested; do
    mkdir "$work/$name"
    cp "$work/layer.tar" "$work/$name/layer.tar"
    jq --arg name "$name" --arg layer "$layer" \
        '.images[$name] | .rootfs.diff_ids = [$layer] | .created //= "2020-01-01T00:00:00Z"' \
        "$here/cases.json" >"$work/$name/config.json"
    printf '[{"Config":"config.json","RepoTags":["%s:latest"],"Layers":["layer.tar"]}]' "$name" \
        >"$work/$name/manifest.json"
    tar -C "$work/$name" -cf - . | "$DOCKER" load -q >&2
done

context=$work/context
mkdir -p "$context/b" "$context/src" "$context/env" "$context/1"
for file in a "a b" c 0 1/x 2 3 4 5 6 7 8 b/x b/y src/x.c env/x; do
    mkdir -p "$(dirname "$context/$file")"
    [ -d "$context/$file" ] || echo x >"$context/$file"
done
tar -C "$context" -cf "$context/a.tar" c
cp "$context/a.tar" "$context/b.tar"

count=$(jq '.cases | length' "$here/cases.json")
index=0
while [ "$index" -lt "$count" ]; do
    case=$(jq -c ".cases[$index]" "$here/cases.json")
    index=$((index + 1))
    name=$(printf %s "$case" | jq -r .name)
    printf %s "$case" | jq -rj .dockerfile >"$work/Dockerfile"
    set -- build -q -f "$work/Dockerfile" -t plimsoll-frontend-case
    target=$(printf %s "$case" | jq -r .target)
    [ -z "$target" ] || set -- "$@" --target "$target"
    for pair in $(printf %s "$case" | jq -r '.args | to_entries[] | "\(.key)=\(.value)"'); do
        set -- "$@" --build-arg "$pair"
    done
    for pair in $(printf %s "$case" | jq -r '.labels | to_entries[] | "\(.key)=\(.value)"'); do
        set -- "$@" --label "$pair"
    done
    if ! "$DOCKER" "$@" "$context" >/dev/null 2>"$work/error"; then
        echo "not built: $name: $(grep -v '^$' "$work/error" | tail -1)" >&2
        continue
    fi
    rm -rf "$work/saved" && mkdir "$work/saved"
    if ! "$DOCKER" save plimsoll-frontend-case 2>/dev/null | tar -C "$work/saved" -xf - 2>/dev/null; then
        echo "not saved: $name" >&2
        continue
    fi
    config=$(jq -r '.[0].Config' "$work/saved/manifest.json")
    jq -c --arg name "$name" '{
        name: $name,
        config: del(.rootfs, .history, .created, .["moby.buildkit.buildinfo.v1"], .["moby.buildkit.cache.v0"]),
        history: [.history[]? | select(.comment == "buildkit.dockerfile.v0")
            | {created_by, comment, empty_layer: (.empty_layer // false)}]
    }' "$work/saved/$config"
done
for name in base plain trigger nested plimsoll-frontend-case; do "$DOCKER" rmi -f "$name" >/dev/null 2>&1 || true; done
