#!/usr/bin/env bash
# The GitLab component, run by gitlab-ci-local's shell executor on the example; its reports before
# GitLab's own schemas.
#
#   tests/e2e/gitlab.sh PROGRAM
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
program=$(realpath "${1:?usage: tests/e2e/gitlab.sh PROGRAM}")
node_tools gitlab-ci-local@4.61.1
python_tools check-jsonschema==0.39.0
for package in git rsync libxml2-utils; do
    case $package in libxml2-utils) command=xmllint ;; *) command=$package ;; esac
    command -v $command >/dev/null || install_packages $package
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work/home
mkdir -p "$HOME" "$work/repo/templates"
(cd "$top/examples/cinder-plugin" && tar --exclude=./reports -cf - .) | tar -C "$work/repo" -xf -
cp "$top/templates/plimsoll.yml" "$work/repo/templates/"
cd "$work/repo"
sed -i 's,^build:$,&\n  output: plimsoll-reports/image,' plimsoll.yaml
# An input is text: neither the job's shell nor the runner obeys it.
evil='$(touch pwned)`touch pwned`; touch pwned & <b> ünïcödé'
cat >.gitlab-ci.yml <<Y
include:
  - local: templates/plimsoll.yml
    inputs:
      program: $program
      tags: 1.0-1
      runner-tags: [local]
      labels: 'hostile=$evil'
      timeout: 20m
after:
  stage: deploy
  needs: [plimsoll_container_scanning]
  script:
    - echo "DIGEST=\$digest GRADE=\$grade PASSED=\$passed"
Y
git init -q -b main
git config user.email t@example.com
git config user.name t
git remote add origin https://gitlab.com/acme/demo.git
# What git ignores is not copied into the job's directory; the base image has to be.
rm -f .gitignore
git add -A -f
git commit -qm example
log=$work/log
"$tools/npm/node_modules/.bin/gitlab-ci-local" --force-shell-executor --variable GITLAB_CI=true \
    --variable CI_JOB_TOKEN= --variable "DOCKER_HOST=${DOCKER_HOST:-}" >"$log" 2>&1 || { tail -n 60 "$log"; exit 1; }
grep -qE 'DIGEST=sha256:[0-9a-f]{64} GRADE=.* PASSED=true' "$log" || { echo "FAIL  outputs did not reach the next job"; tail -n 60 "$log"; exit 1; }
echo "ok    outputs reach the next job"
reports=$(find . -name plimsoll-reports -type d | head -n 1)
[ -n "$reports" ] || { echo "FAIL  no reports"; tail -n 40 "$log"; exit 1; }
for file in plimsoll.json plimsoll.sarif junit.xml gl-sbom.cdx.json gl-code-quality-report.json gl-container-scanning-report.json plimsoll.env; do
    [ -s "$reports/$file" ] || { echo "FAIL  $file is missing"; ls -l "$reports"; exit 1; }
done
echo "ok    every report is there"
if [ -n "$(find . -name pwned)" ]; then echo "FAIL  an input was evaluated"; exit 1; fi
cat >"$work/label.py" <<'P'
import json, pathlib, sys
for blob in pathlib.Path(sys.argv[1]).rglob("*"):
    try:
        labels = json.loads(blob.read_bytes())["config"]["Labels"]
    except (OSError, ValueError, LookupError, TypeError):
        continue
    sys.exit(labels["hostile"] != sys.argv[2])
sys.exit("no configuration of an image")
P
check "an input arrives as the text it is" python3 "$work/label.py" "$reports/image" "$evil"
schemas=${PLIMSOLL_SHARED:-$top/../shared}/data/schemas
if [ -d "$schemas" ]; then
    # The schema is that of one issue.
    printf '{"type":"array","items":{"$ref":"file://%s"}}' "$(realpath "$schemas/gitlab/codequality-codeclimate.json")" >"$work/codequality.json"
    check "code quality is valid" "$tools/venv/bin/check-jsonschema" --schemafile "$work/codequality.json" "$reports/gl-code-quality-report.json"
    check "container scanning is valid" "$tools/venv/bin/check-jsonschema" --schemafile "$schemas/gitlab/container-scanning-report-format.15.0.7.json" "$reports/gl-container-scanning-report.json"
else
    echo "skip  GitLab's schemas: not at hand"
fi
check "junit is XML" xmllint --noout "$reports/junit.xml"

# The example: which of its jobs a pipeline has.
sed 's#component: .*#local: templates/plimsoll.yml#' "$top/examples/ci/gitlab-ci.yml" >.gitlab-ci.yml
jobs() { # variables as the options of gitlab-ci-local
    local given=()
    for variable in "$@"; do given+=(--variable "$variable"); done
    # GitLab itself takes an empty list of runner tags.
    "$tools/npm/node_modules/.bin/gitlab-ci-local" --list-json --ignore-schema-paths "#/definitions/tags/minItems" "${given[@]}" |
        python3 -c 'import json, sys; text = "\n" + sys.stdin.read(); print(*(job["name"] for job in json.loads(text[text.index("\n[") :]) if job["when"] != "never"))'
}
pipeline() { # what, wanted jobs, variables
    local what=$1 wanted=$2
    shift 2
    check "$what" test "$(jobs "$@")" = "$wanted"
}
pipeline "a merge request is assessed" plimsoll_container_scanning CI_PIPELINE_SOURCE=merge_request_event CI_COMMIT_BRANCH=
pipeline "the default branch is assessed" plimsoll_container_scanning CI_PIPELINE_SOURCE=push CI_COMMIT_BRANCH=main CI_DEFAULT_BRANCH=main
pipeline "another branch is not assessed a second time" "" CI_PIPELINE_SOURCE=push CI_COMMIT_BRANCH=topic CI_DEFAULT_BRANCH=main
pipeline "a tag is assessed and pushed" plimsoll_release CI_PIPELINE_SOURCE=push CI_COMMIT_BRANCH= CI_COMMIT_TAG=v1
