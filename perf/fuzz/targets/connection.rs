//! libFuzzer's way into [`anygate_fuzz::connection`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anygate_fuzz::connection::run(data));
