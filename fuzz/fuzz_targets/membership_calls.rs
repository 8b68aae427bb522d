//! Feeds `metallb_fuzz::membership::calls`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| metallb_fuzz::membership::calls(data));
