//! Feeds `metallb_fuzz::arp::ndp`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| metallb_fuzz::arp::ndp(data));
