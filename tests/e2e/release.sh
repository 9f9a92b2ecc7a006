#!/usr/bin/env bash
# The release workflow's own steps, taken from its file and run on a clone: version, archives, commits
# and tag with checksums and pins, what is uploaded. Actions are left out; the binary is the one given,
# and `gh` a program that writes down what it was asked.
#
#   tests/e2e/release.sh PROGRAM
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
program=$(realpath "${1:?usage: tests/e2e/release.sh PROGRAM}")
python_tools check-jsonschema==0.39.0
for command in git jq; do command -v $command >/dev/null || install_packages $command; done
python=$tools/venv/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work/home GIT_CONFIG_NOSYSTEM=1
mkdir -p "$HOME" "$work/bin" "$work/www"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$top/Cargo.toml" | head -n 1)

# The files as they are, in a repository of their own with one branch, and where it pushes to.
mkdir "$work/clone"
(cd "$top" && git ls-files -z --cached --others --exclude-standard -- . ':!tests' ':!src' ':!benches' ':!fuzz' |
    tar --null --files-from=- --ignore-failed-read -cf - 2>/dev/null) | tar -C "$work/clone" -xf -
git config --global init.defaultBranch main
git config --global user.name t
git config --global user.email t@example.com
git -C "$work/clone" init -q
git -C "$work/clone" add -A
git -C "$work/clone" commit -qm before
git init -q --bare "$work/origin.git"
git -C "$work/clone" remote add origin "$work/origin.git"
git -C "$work/clone" push -q origin main
# Names of versions before, as if this were not the first.
(cd "$work/clone" && sed -i "s/$version/0.0.9/" action/version action/pin templates/plimsoll.yml examples/ci/* examples/workflows/*.yml &&
    git commit -qam "before: 0.0.9" && git push -q origin main)

cat >"$work/step.py" <<'P'
"""Prints one step of the workflow as a script: its variables, then its commands."""
import sys, shlex
from ruamel.yaml import YAML
file, job, holds, *values = sys.argv[1:]
values = dict(value.split("=", 1) for value in values)
steps = [s for s in YAML(typ="safe").load(open(file))["jobs"][job]["steps"] if holds in s.get("run", "")]
assert len(steps) == 1, (job, holds, len(steps))
for name, value in steps[0].get("env", {}).items():
    for expression, text in values.items():
        value = value.replace("${{ %s }}" % expression, text)
    assert "${{" not in value, value
    print(f"export {name}={shlex.quote(value)}")
assert "${{" not in steps[0]["run"], "an expression in a script"
print(steps[0]["run"])
P
run() { # job, words of the step, architecture, target: runs it as the runner does
    "$python" "$work/step.py" "$top/.github/workflows/release.yml" "$1" "$2" "inputs.version=$version" \
        "matrix.architecture=${3:-amd64}" "matrix.target=${4:-x86_64-unknown-linux-musl}" \
        github.ref_name=main github.token=ghs_secret >"$work/step.sh"
    (cd "$work/clone" && PATH=$work/bin:$PATH bash --noprofile --norc -eo pipefail "$work/step.sh") >"$work/log" 2>&1
}

check "Cargo.toml has the version that is released" run binary 'grep -qx'
for pair in amd64:x86_64-unknown-linux-musl arm64:aarch64-unknown-linux-musl; do
    architecture=${pair%%:*} target=${pair#*:}
    # What scripts/dist.sh leaves.
    mkdir -p "$work/clone/dist/$architecture/root/bin"
    install -m 0755 "$program" "$work/clone/dist/$architecture/plimsoll"
    ln -s busybox "$work/clone/dist/$architecture/root/bin/sh"
    check "archive of $architecture" run binary 'tar -C dist -cf' "$architecture" "$target"
    mkdir -p "$work/clone/assets/$architecture"
    mv "$work/clone/plimsoll-$version-$target" "$work/clone/dist-$architecture.tar" "$work/clone/assets/$architecture/"
    rm -rf "$work/clone/dist/$architecture"
    # An artifact keeps no modes.
    chmod 0644 "$work/clone/assets/$architecture"/*
done
mkdir -p "$work/clone/assets/sbom"
echo '{}' >"$work/clone/assets/sbom/plimsoll-$version.cdx.json"
printf 'assets\n' >>"$work/clone/.git/info/exclude"

check "archives come apart" run publish 'mkdir -p dist'
check "modes and links survive" test -x "$work/clone/dist/amd64/plimsoll" -a -L "$work/clone/dist/arm64/root/bin/sh"

# Nothing of this machine's own engine is touched.
cat >"$work/bin/sudo" <<P
#!/bin/bash
if [ "\$1" = systemctl ]; then shift; printf '%s\n' "\$*" >"$work/restarted"; exit; fi
exec "\${@//\/etc\/docker/$work}"
P
chmod +x "$work/bin/sudo"
export RUNNER_TEMP=$work/temporary
mkdir "$RUNNER_TEMP"
for before in '' '{"exec-opts":["native.cgroupdriver=cgroupfs"],"features":{"cdi":true}}'; do
    printf '%s' "$before" >"$work/daemon.json"
    check "Docker's image store is switched" run publish 'containerd-snapshotter'
    check "and nothing else" test "$(jq -cS . "$work/daemon.json")" = \
        "$(jq -cS '.features["containerd-snapshotter"] = true' <<<"${before:-{\}}")"
done
check "Docker is started anew" grep -qx 'restart docker' "$work/restarted"

# Somebody else pushed meanwhile: neither tag nor commit gets there.
git clone -q "$work/origin.git" "$work/other"
git -C "$work/other" commit -q --allow-empty -m meanwhile
git -C "$work/other" push -q origin main
# A `gh` that writes down what it was asked; there is a draft of a release that broke off.
cat >"$work/bin/gh" <<P
#!/bin/sh
printf '%s\n' "\$@" >>"$work/asked"
P
chmod +x "$work/bin/gh"
check "commits that nobody sees yet" run publish 'release-commit.sh'
if run publish 'git push'; then echo "FAIL  a branch that moved was pushed over"; exit 1; fi
[ ! -e "$work/asked" ] || { echo "FAIL  a release without its tag"; exit 1; }
[ -z "$(git -C "$work/origin.git" tag)" ] || { echo "FAIL  half a release: a tag without its branch"; exit 1; }
echo "ok    a branch that moved leaves no tag"
(cd "$work/clone" && git tag -d "v$version" >/dev/null && git fetch -q && git reset -q --hard origin/main)
check "commits" run publish 'release-commit.sh'
check "what is uploaded" run publish 'gh release create'
check "the release is a draft until it has its tag" grep -qx -- --draft "$work/asked"
check "a draft of a release that broke off is replaced" grep -qx delete "$work/asked"
mv "$work/asked" "$work/uploaded"
check "tag, then release" run publish 'git push'
check "the draft becomes the release" grep -qx -- --draft=false "$work/asked"
origin() { git -C "$work/origin.git" "$@"; }
tagged=$(origin rev-parse "v$version^{commit}")
[ "$(origin rev-parse "main^")" = "$tagged" ] || { echo "FAIL  the tag is not on the commit before the last"; exit 1; }
echo "ok    the tag is on the commit with the checksums"
[ "$(origin show "v$version:action/version")" = "$version" ]
for target in x86_64-unknown-linux-musl aarch64-unknown-linux-musl; do
    sum=$(sha256sum "$program" | cut -d' ' -f1)
    check "the tag holds the checksum of $target" grep -qx "$sum  plimsoll-$version-$target" <(origin show "v$version:action/checksums.txt")
done
for file in action/pin $(cd "$top" && ls examples/workflows/*.yml); do
    check "$file names the tagged commit" grep -q "plimsoll/plimsoll@$tagged # v$version" <(origin show "main:$file")
done
for file in templates/plimsoll.yml examples/ci/{gitlab-ci.yml,tekton-task.yaml,Jenkinsfile,azure-pipelines.yml}; do
    for commit in "v$version" main; do
        if origin show "$commit:$file" | grep -n '0\.0\.9'; then echo "FAIL  $file of $commit names the version before"; exit 1; fi
    done
    echo "ok    $file names the version, in the tag too"
done
for file in examples/ci/{Jenkinsfile,azure-pipelines.yml}; do
    check "$file has the checksum of the binary" grep -q "\"$sum  [^ ]*/plimsoll\"" <(origin show "v$version:$file")
done
# A checkout in a workflow has no tags.
git -C "$work/clone" tag -d "v$version" >/dev/null
if run publish 'release-commit.sh'; then echo "FAIL  a release was made twice"; exit 1; fi
grep -q 'there is a tag' "$work/log" || { cat "$work/log"; exit 1; }
echo "ok    a release is made once"

# The action of the tag takes the binary of the release, and no other.
origin archive "v$version" action | tar -C "$work" -xf -
check "the action of the tag knows the version" grep -qx "$version" "$work/action/version"

for asset in SHA256SUMS "assets/amd64/plimsoll-$version-x86_64-unknown-linux-musl" "assets/arm64/plimsoll-$version-aarch64-unknown-linux-musl" "assets/sbom/plimsoll-$version.cdx.json"; do
    check "$asset is uploaded" grep -qx "$asset" "$work/uploaded"
done
mkdir "$work/downloaded"
cp "$work/clone"/assets/*/plimsoll-* "$work/clone/SHA256SUMS" "$work/downloaded/"
check "checksums hold for what is downloaded" sh -c "cd $work/downloaded && sha256sum --check --strict SHA256SUMS"
if grep -q ghs_secret "$work/asked" "$work/uploaded" "$work/log"; then echo "FAIL  the token is printed"; exit 1; fi
