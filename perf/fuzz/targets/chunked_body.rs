//! libFuzzer's way into [`anygate_fuzz::chunked_body`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anygate_fuzz::chunked_body::run(data));
