//! The CI a run stands in: groups, masks, outputs.
