//! Feeds `metallb_fuzz::core::assigner`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| metallb_fuzz::core::assigner(data));
