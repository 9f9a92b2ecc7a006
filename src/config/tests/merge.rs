//! The highest level that sets a value wins.

use proptest::prelude::*;

use crate::config::{Origin, Setting, Settings, Sourced, resolve::merge};

fn target_setting(value: Option<u8>, origin: Origin) -> Settings {
    let target: Setting<String> = value.map(|value| Sourced::new(value.to_string(), origin));
    let build = crate::config::Build {
        target,
        ..Default::default()
    };
    Settings {
        build: Some(Sourced::new(build, Origin::Default)),
        ..Settings::default()
    }
}

proptest! {
    #[test]
    fn the_highest_level_that_sets_a_value_wins(levels in proptest::collection::vec(proptest::option::of(any::<u8>()), 1..6)) {
        let expected = levels.iter().flatten().next().map(u8::to_string);
        let settings = levels.iter().enumerate().map(|(n, v)| target_setting(*v, Origin::Variable(n.to_string())));
        let target = merge(settings).build.unwrap().value.target;
        let level = levels.iter().position(Option::is_some).map(|n| n.to_string());
        prop_assert_eq!(target.as_ref().map(|t| t.origin.to_string()), level);
        prop_assert_eq!(target.map(|t| t.value), expected);
    }
}
