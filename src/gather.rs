//! Fetches the facts that checks need and turns failures into unmet needs.
