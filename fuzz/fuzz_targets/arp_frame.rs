//! Feeds `metallb_fuzz::arp::frame`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(arp::frame);
