//! Feeds `metallb_fuzz::core::assigner`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(core::assigner);
