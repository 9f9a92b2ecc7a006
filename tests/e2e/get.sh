#!/usr/bin/env bash
# action/get.sh: takes a binary with the checksum that came with the action, and no other.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
for command in curl openssl python3; do command -v $command >/dev/null || install_packages $command; done
work=$(mktemp -d)
server=
cleanup() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT

case "$(uname -m)" in aarch64) target=aarch64-unknown-linux-musl ;; *) target=x86_64-unknown-linux-musl ;; esac
mkdir -p "$work/www/v9.9.9" "$work/www/v9.9.8" "$work/scripts"
printf '#!/bin/sh\necho released\n' >"$work/www/v9.9.9/plimsoll-9.9.9-$target"
printf '#!/bin/sh\necho hijacked\n' >"$work/www/v9.9.8/plimsoll-9.9.8-$target"
cp -r "$top/action" "$work/action"
cp "$top/scripts/checksums.sh" "$work/scripts/"
printf '#!/bin/sh\necho genuine\n' >"$work/plimsoll-9.9.8-$target"
"$work/scripts/checksums.sh" 9.9.8 "$work/plimsoll-9.9.8-$target"
"$work/scripts/checksums.sh" 9.9.9 "$work/www/v9.9.9/plimsoll-9.9.9-$target"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
cat >"$work/serve.py" <<'P'
import http.server, ssl, sys, os
os.chdir(sys.argv[1] + "/www")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + "/cert.pem", sys.argv[1] + "/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
P
python3 "$work/serve.py" "$work" >"$work/port" 2>"$work/requests" &
server=$!
for _ in $(seq 50); do [ -s "$work/port" ] && break; sleep 0.1; done

get() { # variables...
    : >"$work/output"
    env GITHUB_OUTPUT="$work/output" RUNNER_TOOL_CACHE="$work/cache" CURL_CA_BUNDLE="$work/cert.pem" \
        PLIMSOLL_RELEASES="https://localhost:$(cat "$work/port")" "$@" bash "$work/action/get.sh" >"$work/said" 2>&1
}
expect() { # what, wanted code, pattern in what was said or put out, variables...
    local what=$1 wanted=$2 pattern=$3 code=0
    shift 3
    get "$@" || code=$?
    if [ "$code" != "$wanted" ] || ! grep -qE -- "$pattern" "$work/said" "$work/output"; then
        printf 'FAIL  %s: code %s\n' "$what" "$code"
        cat "$work/said" "$work/output"
        exit 1
    fi
    printf 'ok    %s\n' "$what"
}
expect "the version of the action is taken" 0 "^program=$work/cache/plimsoll/9.9.9/" A=1
[ "$("$(sed -n 's/^program=//p' "$work/output")")" = released ]
requests=$(wc -l <"$work/requests")
expect "a second use fetches nothing" 0 "^program=" A=1
[ "$(wc -l <"$work/requests")" = "$requests" ]
echo tampered >>"$work/cache/plimsoll/9.9.9/$target/plimsoll"
expect "a changed copy in the cache is fetched anew" 0 "^program=" A=1
[ "$("$(sed -n 's/^program=//p' "$work/output")")" = released ]
expect "another checksum than the action's is refused" 2 "nothing was run" PLIMSOLL_VERSION_WANTED=9.9.8
[ ! -e "$work/cache/plimsoll/9.9.8/$target/plimsoll" ]
expect "a version without a checksum is refused" 2 "no checksum of plimsoll 1.2.3" PLIMSOLL_VERSION_WANTED=1.2.3
expect "a version is no text for a shell" 2 "must be exact" 'PLIMSOLL_VERSION_WANTED=$(id)'
printf '#!/bin/sh\n' >"$work/serve.sh"
chmod +x "$work/serve.sh"
expect "a given program is taken" 0 "^program=$work/serve.sh$" PLIMSOLL_BINARY_WANTED="$work/serve.sh"
expect "a given program must be there" 2 "no program at that path" PLIMSOLL_BINARY_WANTED=/nowhere
