//! Feeds `metallb_fuzz::membership::calls`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(membership::calls);
