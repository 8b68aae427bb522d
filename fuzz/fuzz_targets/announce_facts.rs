//! Feeds `metallb_fuzz::announce::facts`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(announce::facts);
