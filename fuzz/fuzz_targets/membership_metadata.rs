//! Feeds `metallb_fuzz::membership::metadata`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(membership::metadata);
