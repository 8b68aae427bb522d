//! Feeds `metallb_fuzz::core::config`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(core::config);
