//! The real BuildKit over its own protocol: Docker Engine socket, `BUILDKIT_HOST`, buildx container.

#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the solve over this session is a module of its own"
    )
)]
pub(crate) mod session;
