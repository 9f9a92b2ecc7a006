#!/usr/bin/env bash
# Makes dist/ARCHITECTURE: the static binary, a CA bundle and a shell, all that the image consists
# of. On a machine of that architecture (amd64 or arm64), Debian or Ubuntu with Rust.
#
#   scripts/dist.sh [amd64|arm64] [--profile PROFILE]
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
case "$(uname -m)" in
    x86_64) here=amd64 target=x86_64-unknown-linux-musl ;;
    aarch64) here=arm64 target=aarch64-unknown-linux-musl ;;
    *) echo "error: no binary for $(uname -m); use x86_64 or aarch64" >&2; exit 2 ;;
esac
profile=release
while [ $# -gt 0 ]; do
    case $1 in
        amd64 | arm64) [ "$1" = "$here" ] || { echo "error: $1 is built on a machine of that architecture, this is $here" >&2; exit 2; } ;;
        --profile) profile=${2:?--profile needs a name}; shift ;;
        *) echo "usage: scripts/dist.sh [amd64|arm64] [--profile PROFILE]" >&2; exit 2 ;;
    esac
    shift
done

missing=()
command -v musl-gcc >/dev/null || missing+=(musl-tools)
[ -e /bin/busybox ] || [ -e /usr/bin/busybox ] || missing+=(busybox-static)
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
if [ ${#missing[@]} -gt 0 ]; then
    sudo=; if [ "$(id -u)" != 0 ]; then sudo=sudo; fi
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if command -v rustup >/dev/null; then rustup target add "$target" >&2; fi

# ring's assembly is compiled by musl's own compiler.
env "CC_${target//-/_}=musl-gcc" cargo build --locked --profile "$profile" --target "$target"
directory=$profile; if [ "$profile" = dev ]; then directory=debug; fi
out=dist/$here root=dist/$here/root
rm -rf "$out"
mkdir -p "$root"/{bin,etc/ssl/certs,usr/bin,tmp}
chmod 1777 "$root/tmp"
install -m 0755 "${CARGO_TARGET_DIR:-target}/$target/$directory/plimsoll" "$out/plimsoll"
install -m 0755 "$out/plimsoll" "$root/usr/bin/plimsoll"
install -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
install -m 0755 "$(command -v busybox)" "$root/bin/busybox"
# The shell and the small tools that job scripts expect.
for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -sfn busybox "$root/bin/$applet"
done
printf '%s\n' root:x:0:0:root:/root:/bin/sh plimsoll:x:1001:0:plimsoll:/tmp:/bin/sh >"$root/etc/passwd"
printf '%s\n' root:x:0: >"$root/etc/group"
if readelf -d "$out/plimsoll" | grep -q NEEDED; then
    echo "error: $out/plimsoll is not static" >&2
    exit 1
fi
(cd "$out" && sha256sum plimsoll)
