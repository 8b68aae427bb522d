//! Feeds `metallb_fuzz::bgp::update`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(bgp::update);
