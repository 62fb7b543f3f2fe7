//! libFuzzer's way into [`anygate_fuzz::h2_answers`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anygate_fuzz::h2_answers::run(data));
