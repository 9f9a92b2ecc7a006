#!/usr/bin/env bash
# Makes dist/ARCHITECTURE: the static binary, a CA bundle and a shell, all that the image consists
# of. On a machine of that architecture (amd64 or arm64), Debian or Ubuntu with Rust.
#
#   scripts/dist.sh [amd64|arm64] [--profile PROFILE | --program FILE]
#
# With --program nothing is built: that file is taken, with the libraries it is linked to, which is
# for tests.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case "$(uname -m)" in
    x86_64) here=amd64 target=x86_64-unknown-linux-musl ;;
    aarch64) here=arm64 target=aarch64-unknown-linux-musl ;;
    *) echo "error: no binary for $(uname -m); use x86_64 or aarch64" >&2; exit 2 ;;
esac
profile=release program=
while [ $# -gt 0 ]; do
    case $1 in
        amd64 | arm64) [ "$1" = "$here" ] || { echo "error: $1 is built on a machine of that architecture, this is $here" >&2; exit 2; } ;;
        --profile) profile=${2:?--profile needs a name}; shift ;;
        --program) program=$(realpath "${2:?--program needs a file}"); shift ;;
        *) echo "usage: scripts/dist.sh [amd64|arm64] [--profile PROFILE | --program FILE]" >&2; exit 2 ;;
    esac
    shift
done
cd "$top"

missing=()
command -v readelf >/dev/null || missing+=(binutils)
[ -n "$program" ] || command -v musl-gcc >/dev/null || missing+=(musl-tools)
# There is one that needs libraries, too.
dynamic() { [ -n "$(readelf -d "$1" 2>/dev/null | grep NEEDED)" ]; }
busybox=$(command -v busybox || true)
if [ ! -e /usr/share/doc/busybox-static/copyright ] || [ -z "$busybox" ] || dynamic "$busybox"; then
    missing+=(busybox-static)
fi
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
if [ ${#missing[@]} -gt 0 ]; then
    sudo=; if [ "$(id -u)" != 0 ]; then sudo=sudo; fi
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
libraries=
if [ -z "$program" ]; then
    if command -v rustup >/dev/null; then rustup target add "$target" >&2; fi
    # ring's assembly is compiled by musl's own compiler.
    env "CC_${target//-/_}=musl-gcc" cargo build --locked --profile "$profile" --target "$target"
    directory=$profile; if [ "$profile" = dev ]; then directory=debug; fi
    program=${CARGO_TARGET_DIR:-target}/$target/$directory/plimsoll
    if dynamic "$program"; then
        echo "error: $program is not static" >&2
        exit 1
    fi
else
    # Fails for a static one, which needs none.
    libraries=$(ldd "$program" 2>/dev/null | grep -oE '/[^ ]+' || true)
fi
out=dist/$here root=dist/$here/root
rm -rf "$out"
mkdir -p "$root"/{bin,etc/ssl/certs,licenses,usr/bin,tmp}
chmod 1777 "$root/tmp"
install -m 0755 "$program" "$out/plimsoll"
install -m 0755 "$out/plimsoll" "$root/usr/bin/plimsoll"
install -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
install -m 0755 "$(command -v busybox)" "$root/bin/busybox"
# The terms of what is not ours.
for package in busybox-static ca-certificates; do
    install -m 0644 "/usr/share/doc/$package/copyright" "$root/licenses/$package"
done
# The shell and the small tools that job scripts expect.
for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -sfn busybox "$root/bin/$applet"
done
printf '%s\n' root:x:0:0:root:/root:/bin/sh plimsoll:x:1001:0:plimsoll:/tmp:/bin/sh >"$root/etc/passwd"
printf '%s\n' root:x:0: >"$root/etc/group"
for library in $libraries; do
    install -D -m 0755 "$library" "$root$library"
done
(cd "$out" && sha256sum plimsoll)
