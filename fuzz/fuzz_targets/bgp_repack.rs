//! Feeds `metallb_fuzz::bgp::repack`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(bgp::repack);
