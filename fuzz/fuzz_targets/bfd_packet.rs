//! Feeds `metallb_fuzz::bfd::packet`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(bfd::packet);
