//! Feeds `metallb_fuzz::arp::responder`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(arp::responder);
