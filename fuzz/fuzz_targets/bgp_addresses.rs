//! Feeds `metallb_fuzz::bgp::addresses`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(bgp::addresses);
