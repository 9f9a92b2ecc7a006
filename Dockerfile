# The image for GitLab, Tekton and whatever runs containers: the static binary, a CA bundle, a shell.
# `scripts/dist.sh` makes what is copied here; the binary is the one that the release offers.
#
#   scripts/dist.sh && plimsoll build          # or docker build .
#
# The last stage runs as an ordinary user. Where files of the job belong to root (a GitHub action
# that is a container) or a build needs root inside its container, take `--target root`.
FROM scratch AS root
ARG TARGETARCH
ARG VERSION=0.1.0
ARG RELEASE=1
LABEL name="plimsoll" \
      vendor="Plimsoll" \
      maintainer="Plimsoll" \
      version="${VERSION}" \
      release="${RELEASE}" \
      summary="From a Dockerfile to a certified container image" \
      description="Builds a Dockerfile, assesses the image, and puts each finding on the line that caused it" \
      org.opencontainers.image.source="https://github.com/plimsoll/plimsoll" \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-2.0-only AND MPL-2.0"
COPY LICENSE /licenses/LICENSE
# Made beforehand, with nothing left to run: an image for another architecture needs no emulation.
COPY dist/${TARGETARCH}/root/ /
ENV PATH=/usr/bin:/bin
ENTRYPOINT ["/usr/bin/plimsoll"]

FROM root
ENV HOME=/tmp
USER 1001
