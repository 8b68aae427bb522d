//! Feeds `metallb_fuzz::announce::facts`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| metallb_fuzz::announce::facts(data));
