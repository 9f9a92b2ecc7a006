//! Sources against other programs: skopeo, docker, a real registry, and the fixture images.
