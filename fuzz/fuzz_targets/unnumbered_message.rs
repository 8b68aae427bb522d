//! Feeds `metallb_fuzz::unnumbered::message`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(unnumbered::message);
