//! Feeds `metallb_fuzz::membership::metadata`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| metallb_fuzz::membership::metadata(data));
