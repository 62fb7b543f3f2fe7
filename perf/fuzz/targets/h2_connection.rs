//! libFuzzer's way into [`anygate_fuzz::h2_connection`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anygate_fuzz::h2_connection::run(data));
