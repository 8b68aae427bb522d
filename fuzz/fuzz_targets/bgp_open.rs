//! Feeds `metallb_fuzz::bgp::open`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(bgp::open);
