//! Feeds `metallb_fuzz::arp::responder`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| metallb_fuzz::arp::responder(data));
