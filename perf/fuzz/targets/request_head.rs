//! libFuzzer's way into [`anygate_fuzz::request_head`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anygate_fuzz::request_head::run(data));
