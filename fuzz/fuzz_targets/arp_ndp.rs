//! Feeds `metallb_fuzz::arp::ndp`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(arp::ndp);
