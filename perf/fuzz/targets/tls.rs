//! libFuzzer's way into [`anygate_fuzz::tls`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anygate_fuzz::tls::run(data));
