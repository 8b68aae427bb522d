//! Feeds `metallb_fuzz::bgp::stream`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(bgp::stream);
