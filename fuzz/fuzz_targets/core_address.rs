//! Feeds `metallb_fuzz::core::address`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(core::address);
