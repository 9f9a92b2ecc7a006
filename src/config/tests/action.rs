//! The inputs of the action are the keys of the environment, and the other way round.

#![expect(clippy::disallowed_methods, reason = "the test reads the action")]

use std::{collections::BTreeSet, fs, path::Path};

use crate::config::given::KEYS;

/// Inputs that the action itself uses, before the program runs.
const OF_THE_ACTION: [&str; 3] = ["working-directory", "version", "binary"];
/// Keys that are no inputs: other spellings of the environment, and what other CIs use.
const NO_INPUTS: [&str; 10] = [
    "build-arg",
    "label",
    "secret",
    "platform",
    "mirror",
    "add-host",
    "tag",
    "dotenv",
    "results-dir",
    "gitlab-token",
];

#[test]
fn the_inputs_of_the_action_are_the_keys_of_the_environment() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("action.yml");
    let text = fs::read_to_string(path).unwrap();
    let action: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    let inputs: BTreeSet<&str> = action["inputs"]
        .as_mapping()
        .unwrap()
        .keys()
        .map(|name| name.as_str().unwrap())
        .filter(|name| !OF_THE_ACTION.contains(name))
        .collect();
    let keys: BTreeSet<&str> = KEYS
        .iter()
        .flat_map(|key| key.names.iter().copied())
        .filter(|name| !NO_INPUTS.contains(name))
        .collect();
    let unknown: Vec<_> = inputs.difference(&keys).collect();
    let missing: Vec<_> = keys.difference(&inputs).collect();
    assert!(unknown.is_empty(), "the program does not know {unknown:?}");
    assert!(missing.is_empty(), "the action lacks {missing:?}");
}
