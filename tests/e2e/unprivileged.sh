#!/usr/bin/env bash
# Builds examples/cinder-plugin with the embedded engine where less and less is allowed: as root, as
# an ordinary user with and without subordinate ids, and inside an unprivileged container as root and
# as a user. Each either gives the very image that root gets, or names what is missing.
#
# usage: tests/e2e/unprivileged.sh      (the binary is $PLIMSOLL or a debug build)
# installs by package name: docker.io, busybox-static, rpm, sqlite3, python3, uidmap (Debian); needs
# root, to make users and containers
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$top/examples/base/setup.sh"
install_packages docker.io busybox-static rpm sqlite3 python3 uidmap
start_docker
binary=${PLIMSOLL:-}
if [ -z "$binary" ]; then
    (cd "$top" && cargo build --locked)
    binary=${CARGO_TARGET_DIR:-$top/target}/debug/plimsoll
fi
work=$(mktemp -d)
chmod 755 "$work"
image=localhost/plimsoll-e2e/unprivileged:1
users=(plimsoll-plain plimsoll-ranges)
clean() {
    docker image rm -f "$image" >/dev/null 2>&1 || true
    for user in "${users[@]}"; do userdel -r "$user" >/dev/null 2>&1 || true; done
    rm -rf "$work"
}
trap clean EXIT
die() { printf 'unprivileged.sh: %s\n' "$*" >&2; exit 1; }

install -m 755 "$binary" "$work/plimsoll"
cp -r "$top/examples/cinder-plugin" "$work/example"
rm -rf "$work/example/.base"
"$top/examples/base/make-base.sh" "$work/example/.base"
chmod -R a+rX "$work/example"

# places WHO: directories that WHO may write, with the example
place() {
    mkdir -p "$work/$1"
    cp -r "$work/example" "$work/$1/example"
}
# what is run, as `sh -c`, in the place
build='cd example && SOURCE_DATE_EPOCH=1700000000 ../plimsoll build --engine embedded --config plimsoll.yaml --cache-dir ../cache --output ../out'
digest() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]+"/index.json"))["manifests"][0]["digest"])' "$1"; }

# What forbids user namespaces has a name in the message.
setting='kernel\.apparmor_restrict_unprivileged_userns is 1|kernel\.unprivileged_userns_clone is 0|user\.max_user_namespaces is 0'
failed=0
# try WHO WANTED COMMAND...: WANTED is `same`, `one-id`, or what the error has to hold; a kernel setting
# that the error names is fine everywhere
try() {
    local who=$1 wanted=$2 missing=$2 code=0 got; shift 2
    case $wanted in same | one-id) missing=$setting ;; esac
    "$@" >"$work/log" 2>&1 || code=$?
    if [ "$code" = 0 ]; then
        got=$(digest "$work/$who/out")
        # With one id, directories of the base image that a step changed belong to root: that is said.
        [ "$got" = "$expected" ] || { [ "$wanted" = one-id ] && grep -q 'steps have one user id, because' "$work/log"; } || { printf '%s: FAILED: %s instead of %s\n' "$who" "$got" "$expected"; failed=1; return; }
        printf '%s: built %s: %s\n' "$who" "$([ "$got" = "$expected" ] && echo 'the same image' || echo 'with owners of one id')" "$(grep -o 'steps run in .*' "$work/log" | head -1)"
        grep -E 'isolation is weaker|single id|subordinate' "$work/log" | head -3 | sed 's/^/    /' || true
    elif grep -E -A8 '^error' "$work/log" | grep -qE "$missing|$setting"; then
        printf '%s: refused (exit %s):\n' "$who" "$code"
        grep -E -B1 -A8 "^error" "$work/log" | head -12 | sed 's/^/    /'
    else
        printf '%s: FAILED: exit %s\n' "$who" "$code"
        sed 's/^/    /' "$work/log"
        failed=1
    fi
    [ ! -e "$work/$who/cache" ] || [ -z "$(find "$work/$who/cache" -maxdepth 1 \( -name '.run-*' -o -name '.probe-*' \))" ] ||
        { printf '%s: FAILED: litter in the cache directory\n' "$who"; failed=1; }
}

# --- root -----------------------------------------------------------------------------------------
place root
cp "$work/plimsoll" "$work/root/"
(cd "$work/root" && sh -c "$build" >"$work/log" 2>&1) || { cat "$work/log" >&2; die "root cannot build"; }
expected=$(digest "$work/root/out")
printf 'root: %s: %s\n' "$expected" "$(grep -o 'steps run in .*' "$work/log" | head -1)"

# --- ordinary users -------------------------------------------------------------------------------
for user in "${users[@]}"; do
    useradd --create-home --shell /bin/sh "$user"
    sed -i "/^$user:/d" /etc/subuid /etc/subgid
    place "$user"
    cp "$work/plimsoll" "$work/$user/"
    chown -R "$user:" "$work/$user"
done
printf 'plimsoll-ranges:400000:65536\n' | tee -a /etc/subuid >>/etc/subgid
as_user() { (cd "$work/$1" && setpriv --reuid="$1" --regid="$1" --init-groups --reset-env sh -c "$build"); }
try plimsoll-ranges same as_user plimsoll-ranges
try plimsoll-plain one-id as_user plimsoll-plain
sed -i '/^plimsoll-ranges:/d' /etc/subuid /etc/subgid

# --- unprivileged containers ----------------------------------------------------------------------
mkdir -p "$work/image"/{bin,etc,tmp,proc,sys,dev,lib64}
chmod 1777 "$work/image/tmp"
cp "$(command -v busybox)" "$work/image/bin/busybox"
ln -s busybox "$work/image/bin/sh"
printf 'root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n' >"$work/image/etc/passwd"
# the libraries that the binary is linked with, none when it is static
{ ldd "$binary" || true; } | grep -oE '/[^ ]+' | while read -r library; do
    [ ! -f "$library" ] || install -D "$library" "$work/image$library"
done
tar -C "$work/image" -c . | docker import - "$image" >/dev/null
contained() { # WHO OPTION...
    local who=$1; shift
    docker run --rm --network none --volume "$work/$who:/work" --workdir /work --env HOME=/tmp "$@" "$image" sh -c "$build"
}
for who in container-root container-user; do
    place "$who"
    cp "$work/plimsoll" "$work/$who/"
    chown -R 1000:1000 "$work/$who"
done
chown -R 0:0 "$work/container-root"
try container-root same contained container-root
try container-user 'seccomp=unconfined' contained container-user --user 1000:1000
exit "$failed"
