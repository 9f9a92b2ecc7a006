#!/usr/bin/env bash
# The images of the top-level Dockerfile, made and assessed by the program itself as release.yml does;
# then the action's tests, with the image for jobs that need root among them.
#
#   tests/e2e/image.sh PROGRAM [--static]
#
# The images have PROGRAM, with the libraries it is linked to; with --static the static binary that a
# release would offer, built first without optimisation, which takes some minutes.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
program=$(realpath "${1:?usage: tests/e2e/image.sh PROGRAM [--static]}")
install_packages busybox-static ca-certificates docker.io
start_docker
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A context of its own: dist/ of the repository is what a release is made of.
mkdir "$work/context"
cp -r "$top/scripts" "$top/Dockerfile" "$top/.dockerignore" "$top/LICENSE" "$work/context/"
case ${2:-} in
    --static)
        "$top/scripts/dist.sh" --profile dev
        cp -r "$top/dist" "$work/context/"
        ;;
    '') "$work/context/scripts/dist.sh" --program "$program" ;;
    *) echo "usage: tests/e2e/image.sh PROGRAM [--static]" >&2; exit 2 ;;
esac
image() { # target, profile, user, name: builds, assesses, gives it to the Docker Engine
    local target=()
    if [ -n "$1" ]; then target=(--target "$1"); fi
    (cd "$work/context" && HOME=$work "$program" run --engine embedded --cache-dir "$work/cache" "${target[@]}" \
        --profile "$2" --image "example.com/plimsoll/$4" --tag 0.1.0-1 --load) || return
    docker tag "example.com/plimsoll/$4:0.1.0-1" "$4:local"
    docker image rm "example.com/plimsoll/$4:0.1.0-1"
    [ "$(docker image inspect --format '{{.Config.User}}' "$4:local")" = "$3" ] || { echo "not the user $3"; return 1; }
    [ "$(docker run --rm --network none "$4:local" --version)" = "$("$program" --version)" ] || { echo "another version"; return 1; }
}
check "the image is accepted, runs as a user, and is this version" image '' scratch-nonroot 1001 plimsoll-user
check "the image for jobs that need root is accepted and is this version" image root scratch-root '' plimsoll-e2e
rm -rf "$work/cache"
"$top/tests/e2e/github.sh" "$program" plimsoll-e2e:local
