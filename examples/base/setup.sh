# Sourced by examples/run.sh and tests/run.sh: what a bare Debian 12 lacks.

# install_packages NAME...: Debian packages that are not there yet
install_packages() {
    local missing=() name
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    printf 'installing %s\n' "${missing[*]}" >&2
    [ "$(id -u)" = 0 ] || { printf 'run as root, or install these Debian packages first: %s\n' "${missing[*]}" >&2; return 1; }
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q -o DPkg::Lock::Timeout=300 update >&2
    apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "${missing[@]}" >&2
}

# start_docker: a Docker Engine, unless one answers already
start_docker() {
    docker_answers && return 0
    [ "$(id -u)" = 0 ] || { printf 'no Docker Engine answers, and starting one needs root\n' >&2; return 1; }
    local log=${TMPDIR:-/tmp}/plimsoll-dockerd.log
    # Without a kernel that lets it set up bridges, builds still have the host's network or none.
    nohup dockerd >"$log" 2>&1 </dev/null &
    for _ in $(seq 60); do
        docker_answers && return 0
        sleep 0.5
        kill -0 $! 2>/dev/null || break
    done
    nohup dockerd --bridge=none --iptables=false --ip6tables=false >"$log" 2>&1 </dev/null &
    for _ in $(seq 60); do
        docker_answers && return 0
        sleep 0.5
    done
    tail -n 20 "$log" >&2
    printf 'the Docker Engine did not start; its log is %s\n' "$log" >&2
    return 1
}

docker_answers() { docker version >/dev/null 2>&1; }
