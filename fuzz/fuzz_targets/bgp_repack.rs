//! Feeds `metallb_fuzz::bgp::repack`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| metallb_fuzz::bgp::repack(data));
