#!/bin/sh
# A current Docker Engine beside the one of Debian 12, for the engine tests. Nothing on the host is
# changed: the packages of Debian unstable are unpacked into a directory of their own.
#
#   tests/docker28.sh start graphdriver   # prints the address for PLIMSOLL_TEST_DOCKER_HOST
#   tests/docker28.sh start containerd    # the same with the containerd image store
#   tests/docker28.sh stop
#
# Needs root, runc and the Debian package archive that the host's apt uses.
set -eu

home=${PLIMSOLL_DOCKER28:-/tmp/plimsoll-docker28}
apt=$home/apt
root=$home/root

fetch() {
    [ -x "$root/usr/sbin/dockerd" ] && return
    mkdir -p "$apt/etc" "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/dpkg" "$root"
    : >"$apt/dpkg/status"
    archive=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1)
    [ -n "$archive" ] || { echo "no Debian archive in /etc/apt" >&2; exit 1; }
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive sid main" >"$apt/etc/sources.list"
    set -- -o "Dir::Etc::sourcelist=$apt/etc/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::Etc::preferences=- -o Dir::Etc::preferencesparts=- \
        -o "Dir::State::lists=$apt/lists" -o "Dir::State::status=$apt/dpkg/status" \
        -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root -o Debug::NoLocking=1
    apt-get "$@" -qq update >&2
    (cd "$apt/cache/archives" && apt-get "$@" -qq download docker.io containerd >&2)
    for deb in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$deb" "$root"; done
}

stop() {
    for name in dockerd containerd; do
        [ -f "$home/$name.pid" ] || continue
        pid=$(cat "$home/$name.pid")
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        rm -f "$home/$name.pid"
    done
    ip link delete plimsoll28 2>/dev/null || true
}

start() {
    store=$1
    case $store in graphdriver) snapshotter=false ;; containerd) snapshotter=true ;; *) usage ;; esac
    fetch
    stop
    state=$home/$store
    mkdir -p "$state/containerd" "$state/run"
    PATH=$root/usr/bin:$root/usr/sbin:$PATH
    export PATH
    cat >"$state/containerd.toml" <<TOML
version = 3
root = "$state/containerd/root"
state = "$state/containerd/state"
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"]
[grpc]
address = "$state/containerd.sock"
TOML
    printf '{"features":{"containerd-snapshotter":%s}}\n' "$snapshotter" >"$state/daemon.json"
    # A bridge of its own: the default one belongs to the host's engine.
    ip link add plimsoll28 type bridge
    ip addr add 172.31.28.1/24 dev plimsoll28
    ip link set plimsoll28 up
    containerd --config "$state/containerd.toml" >"$state/containerd.log" 2>&1 &
    echo $! >"$home/containerd.pid"
    for _ in $(seq 100); do [ -S "$state/containerd.sock" ] && break; sleep 0.1; done
    dockerd --config-file "$state/daemon.json" --host "unix://$home/docker.sock" \
        --data-root "$state/data" --exec-root "$state/run" --pidfile "$state/docker.pid" \
        --containerd "$state/containerd.sock" --bridge plimsoll28 --iptables=false \
        --ip6tables=false >"$state/dockerd.log" 2>&1 &
    echo $! >"$home/dockerd.pid"
    for _ in $(seq 300); do
        curl -fs --unix-socket "$home/docker.sock" http://localhost/_ping >/dev/null 2>&1 && break
        kill -0 "$(cat "$home/dockerd.pid")" 2>/dev/null || { tail "$state/dockerd.log" >&2; exit 1; }
        sleep 0.1
    done
    echo "unix://$home/docker.sock"
}

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

case ${1:-} in
    start) start "${2:-graphdriver}" ;;
    stop) stop ;;
    *) usage ;;
esac
