//! libFuzzer's way into [`anygate_fuzz::route`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anygate_fuzz::route::run(data));
