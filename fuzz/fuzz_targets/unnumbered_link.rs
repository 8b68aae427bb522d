//! Feeds `metallb_fuzz::unnumbered::link`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(unnumbered::link);
