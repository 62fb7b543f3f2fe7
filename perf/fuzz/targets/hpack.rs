//! libFuzzer's way into [`anygate_fuzz::hpack`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anygate_fuzz::hpack::run(data));
