//! Feeds `metallb_fuzz::bfd::calls`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(bfd::calls);
