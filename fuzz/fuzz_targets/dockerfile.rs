//! Any bytes as a Dockerfile: nothing panics, every span lies inside the text.
#![no_main]

use indexmap::IndexMap;
use libfuzzer_sys::fuzz_target;
use plimsoll::dockerfile::{Dockerfile, PredictContext, predict};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (file, faults) = Dockerfile::read("Dockerfile", &text);
    let Some(file) = file else {
        assert!(!faults.is_empty());
        return;
    };
    for stage in &file.stages {
        for instruction in std::iter::once(&stage.from).chain(&stage.instructions) {
            assert!(file.text().get(instruction.span.clone()).is_some());
        }
    }
    let args = IndexMap::from([("A".to_owned(), "b".to_owned())]);
    let context = PredictContext {
        args: Some(&args),
        ..PredictContext::default()
    };
    let _ = predict(&file, &context);
});
