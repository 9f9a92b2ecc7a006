//! Pure: configuration to what will be built, assessed and pushed, and why.
