#!/usr/bin/env bash
# The examples for Tekton and Konflux, Jenkins, and Azure Pipelines: each file before a parser or schema,
# then the very commands in it, run on the example in the environment that the CI gives.
#
#   tests/e2e/other-ci.sh PROGRAM
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
program=$(realpath "${1:?usage: tests/e2e/other-ci.sh PROGRAM}")
python_tools check-jsonschema==0.39.0 groovy-parser==0.2.2
command -v xmllint >/dev/null || install_packages libxml2-utils
python=$tools/venv/bin/python
schemas=${PLIMSOLL_SHARED:-$top/../shared}/data/schemas
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work/home
mkdir -p "$HOME" "$work/bin" "$work/results" "$work/staging"
ln -s "$program" "$work/bin/plimsoll"

# The examples as a release leaves them, and what it offers, at a place that needs no network.
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$top/Cargo.toml" | head -n 1)
asset=plimsoll-$version-x86_64-unknown-linux-musl
mkdir -p "$work/releases/v$version" "$work/examples" "$work/temporary"
cp "$program" "$work/releases/v$version/$asset"
cp -r "$top/action" "$top/scripts" "$top/templates" "$top/examples" "$work/examples/"
check "the examples are pinned to the checksum of the binary" sh -ec "
    '$work/examples/scripts/checksums.sh' $version '$work/releases/v$version/$asset'
    '$work/examples/scripts/pin.sh' $version"
ci=$work/examples/examples/ci
if grep -n '0000000000' "$ci"/*; then echo "FAIL  a checksum was not put in"; exit 1; fi
sed -i "s|https://github.com/plimsoll/plimsoll/releases/download|file://$work/releases|" "$ci"/*
tampered() { # command: runs it while the release offers another binary
    printf 'hijacked\n' >>"$work/releases/v$version/$asset"
    if "$@"; then echo "FAIL  a binary with another checksum was run"; exit 1; fi
    cp "$program" "$work/releases/v$version/$asset"
    grep -q 'computed checksum did NOT match' "$work/log" || { cat "$work/log"; exit 1; }
    echo "ok    a binary with another checksum is refused"
}

# fresh: the example's repository, as a CI checks it out
fresh() {
    rm -rf "$work/repo"
    mkdir "$work/repo"
    (cd "$top/examples/cinder-plugin" && tar --exclude=./reports -cf - .) | tar -C "$work/repo" -xf -
}
# in_ci LOG VARIABLE=VALUE... COMMAND...: nothing of this machine's own environment but programs
in_ci() {
    local log=$1
    shift
    (cd "$work/repo" && env -i "PATH=$work/bin:$PATH" "HOME=$HOME" "XDG_CACHE_HOME=$work/cache" \
        PLIMSOLL_ENGINE=embedded PLIMSOLL_PASSWORD=s3cret-of-the-registry "$@") >"$log" 2>&1
}
has() { # log, what, pattern
    grep -qE -- "$3" "$1" || { printf 'FAIL  %s: nothing matches %s\n' "$2" "$3"; tail -n 60 "$1"; exit 1; }
    printf 'ok    %s\n' "$2"
}
silent() { # log, what
    if grep -q s3cret-of-the-registry "$1"; then printf 'FAIL  %s: the password is there\n' "$2"; exit 1; fi
    printf 'ok    %s\n' "$2"
}
step() { printf '\n== %s\n' "$*"; }

cat >"$work/tekton.py" <<'P'
"""Prints the environment and the command of the task's step, one to a line, parameters filled in."""
import re, sys
from ruamel.yaml import YAML
task = YAML(typ="safe").load(open(sys.argv[1]))
assert (task["apiVersion"], task["kind"]) == ("tekton.dev/v1", "Task"), "no task of tekton.dev/v1"
spec = task["spec"]
assert set(spec) <= {"description", "params", "workspaces", "results", "steps", "volumes", "stepTemplate"}, set(spec)
params = {p["name"]: p.get("default") for p in spec["params"]}
spaces = {w["name"] for w in spec["workspaces"]}
for result in spec["results"]:
    assert re.fullmatch(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", result["name"]), result
known = {"name", "image", "workingDir", "env", "command", "args", "script", "securityContext", "computeResources", "results"}
(step,) = spec["steps"]
assert set(step) <= known, set(step) - known
def filled(text):
    def one(found):
        kind, name = found[1].split(".", 1)
        if kind == "params":
            assert params[name] is not None, name
            return params[name]
        assert kind == "workspaces" and name.removesuffix(".path") in spaces, found[0]
        return sys.argv[2]
    return re.sub(r"\$\(([^)]*)\)", one, text)
assert filled(step["workingDir"]) == sys.argv[2]
for variable in step.get("env", []):
    value = filled(variable["value"]).replace("/tekton/results", sys.argv[3])
    print(f"{variable['name']}={value}")
for word in step["command"] + step["args"]:
    print(filled(word))
P
cat >"$work/results.py" <<'P'
"""The results that the task declares: there, all within Tekton's bound, TEST_OUTPUT as Konflux reads it."""
import datetime, json, os, sys
from ruamel.yaml import YAML
declared = [r["name"] for r in YAML(typ="safe").load(open(sys.argv[1]))["spec"]["results"]]
values = {name: open(os.path.join(sys.argv[2], name)).read() for name in declared}
size = sum(len(v.encode()) + len(n) for n, v in values.items())
everything = sum(os.path.getsize(os.path.join(sys.argv[2], n)) for n in os.listdir(sys.argv[2]))
assert size <= 4096 and everything <= 4096, (size, everything)
test = json.loads(values["TEST_OUTPUT"])
assert test["result"] == sys.argv[3], test
assert set(test) == {"result", "timestamp", "note", "namespace", "successes", "failures", "warnings"}, test
assert all(isinstance(test[n], int) for n in ("successes", "failures", "warnings")), test
assert datetime.datetime.fromisoformat(test["timestamp"].replace("Z", "+00:00")).tzinfo, test
if sys.argv[3] in ("SUCCESS", "WARNING"):
    assert values["IMAGE_DIGEST"].startswith("sha256:") and "\n" not in values["IMAGE_DIGEST"], values
    assert values["IMAGE_URL"].startswith("quay.io/"), values
P
tekton() { # log: runs the step of the task
    local lines
    mapfile -t lines < <("$python" "$work/tekton.py" "$ci/tekton-task.yaml" "$work/repo" "$work/results")
    rm -rf "$work/results"
    in_ci "$1" "${lines[@]}"
}
step "Tekton and Konflux"
check "the task is well formed" "$python" "$work/tekton.py" "$ci/tekton-task.yaml" "$work/repo" "$work/results"
fresh
tekton "$work/log" || { tail -n 40 "$work/log"; exit 1; }
outcome=SUCCESS; if grep -q '"result":"WARNING"' "$work/results/TEST_OUTPUT"; then outcome=WARNING; fi
check "results of an image that is accepted" "$python" "$work/results.py" "$ci/tekton-task.yaml" "$work/results" "$outcome"
sed -i 's/^USER cinder/USER 0/' "$work/repo/Dockerfile"
if tekton "$work/log"; then echo "FAIL  a rejected image passed"; exit 1; fi
check "results of an image that is rejected" "$python" "$work/results.py" "$ci/tekton-task.yaml" "$work/results" FAILURE
echo 'nonsense: [' >"$work/repo/plimsoll.yaml"
if tekton "$work/log"; then echo "FAIL  a broken configuration passed"; exit 1; fi
check "results of a configuration that cannot be read" "$python" "$work/results.py" "$ci/tekton-task.yaml" "$work/results" ERROR
cat "$work/results"/* >"$work/all"
silent "$work/all" "no secret in the results"

step "Jenkins"
cat >"$work/jenkins.py" <<'P'
"""Parses the Jenkinsfile as Groovy, then prints its `sh` steps, one to a line."""
import re, sys
from groovy_parser.parser import parse_groovy_content
text = open(sys.argv[1]).read()
tree = parse_groovy_content(text)
assert tree is not None
steps = re.findall(r"^\s*sh '([^']*)'$", text, re.M)
assert steps, "no step"
print("\n".join(steps))
P
check "the file is Groovy" "$python" "$work/jenkins.py" "$ci/Jenkinsfile"
fresh
"$python" "$work/jenkins.py" "$ci/Jenkinsfile" >"$work/steps"
jenkins() { # runs the steps, the first that fails ends them
    : >"$work/log"
    while read -r line; do
        in_ci "$work/log.step" JENKINS_URL=https://jenkins.example.com/ BUILD_ID=7 CI=true \
            "WORKSPACE_TMP=$work/repo@tmp" sh -xec "$line" && code=0 || code=$?
        cat "$work/log.step" >>"$work/log"
        [ "$code" = 0 ] || return "$code"
    done <"$work/steps"
}
tampered jenkins
jenkins || { tail -n 40 "$work/log"; exit 1; }
silent "$work/log" "no secret in the log"
if [ -d "$schemas" ]; then
    check "junit is what Jenkins reads" xmllint --noout --schema "$schemas/junit/junit-10-jenkins.xsd" "$work/repo/plimsoll-reports/junit.xml"
    check "SARIF is valid" "$tools/venv/bin/check-jsonschema" --schemafile "$schemas/sarif/sarif-2.1.0.schemastore.json" "$work/repo/plimsoll-reports/plimsoll.sarif"
else
    check "junit is XML" xmllint --noout "$work/repo/plimsoll-reports/junit.xml"
    echo "skip  schemas of Jenkins and SARIF: not at hand"
fi
for pattern in $(grep -oE "plimsoll-reports/[a-z.]+" "$ci/Jenkinsfile" | sort -u); do
    check "$pattern is there for the plugins" test -s "$work/repo/$pattern"
done

step "Azure Pipelines"
check "the pipeline is valid" "$tools/venv/bin/check-jsonschema" --builtin-schema vendor.azure-pipelines --data-transform azure-pipelines --regex-variant nonunicode "$ci/azure-pipelines.yml"
cat >"$work/azure.py" <<'P'
"""Writes the scripts of the pipeline, the agent's macros filled in, into files of their own."""
import sys
from ruamel.yaml import YAML
pipeline = YAML(typ="safe").load(open(sys.argv[1]))
scripts = [step["script"] for step in pipeline["steps"] if "script" in step]
assert scripts, "no script"
for number, script in enumerate(scripts):
    script = script.replace("$(Build.ArtifactStagingDirectory)", sys.argv[2])
    script = script.replace("$(Agent.TempDirectory)", sys.argv[3])
    assert "$(" not in script, script
    with open(f"{sys.argv[4]}/{number}", "w") as out:
        out.write(script)
P
azure() { # log: runs the scripts of the pipeline
    local script code
    rm -rf "$work/scripts"
    mkdir "$work/scripts"
    "$python" "$work/azure.py" "$ci/azure-pipelines.yml" "$work/staging" "$work/temporary" "$work/scripts"
    : >"$1"
    for script in "$work/scripts"/*; do
        # As the agent does: a line that fails does not end a script by itself.
        in_ci "$1.step" TF_BUILD=True "BUILD_ARTIFACTSTAGINGDIRECTORY=$work/staging" bash --noprofile --norc "$script" && code=0 || code=$?
        cat "$1.step" >>"$1"
        [ "$code" = 0 ] || return "$code"
    done
}
fresh
tampered azure "$work/log"
azure "$work/log" || { tail -n 40 "$work/log"; exit 1; }
has "$work/log" "outputs become variables" '^##vso\[task\.setvariable variable=passed;isOutput=true\]true'
has "$work/log" "the digest is one" '^##vso\[task\.setvariable variable=digest;isOutput=true\]sha256:[0-9a-f]{64}'
has "$work/log" "the log is folded" '^##\[group\]'
for file in plimsoll.sarif junit.xml; do check "$file is there for the next task" test -s "$work/staging/$file"; done
sed -i 's/^USER cinder/USER 0/' "$work/repo/Dockerfile"
sed -i '0,/^FROM /s//LABEL evil="##vso[task.setvariable variable=passed]hacked"\nFROM /' "$work/repo/Dockerfile" && sed -i '/^LABEL evil/{h;d};$G' "$work/repo/Dockerfile"
if azure "$work/log"; then echo "FAIL  a rejected image passed"; exit 1; fi
has "$work/log" "findings are issues on the Dockerfile's lines" '^##vso\[task\.logissue type=error;sourcepath=Dockerfile;linenumber=[0-9]+.*not_running_as_root'
has "$work/log" "the verdict is a variable" '^##vso\[task\.setvariable variable=passed;isOutput=true\]false'
if grep -E '##vso\[task\.setvariable variable=passed\]hacked' "$work/log"; then echo "FAIL  a label is a command"; exit 1; fi
echo "ok    a label that looks like a command is text"
# The agent is told once what to hide; it takes such lines out of its log.
sed '/^##vso\[task\.setsecret\]/d' "$work/log" >"$work/shown"
has "$work/log" "the agent is asked to hide the password" '^##vso\[task\.setsecret\]s3cret-of-the-registry'
silent "$work/shown" "no secret in the log"
