//! One header blob.
#![no_main]

libfuzzer_sys::fuzz_target!(|blob: &[u8]| {
    let _ = plimsoll::rpm::Package::parse(blob);
});
