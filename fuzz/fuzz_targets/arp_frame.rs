//! Feeds `metallb_fuzz::arp::frame`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| metallb_fuzz::arp::frame(data));
