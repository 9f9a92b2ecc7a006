//! The real BuildKit over its own protocol: Docker Engine socket, `BUILDKIT_HOST`, buildx container.
