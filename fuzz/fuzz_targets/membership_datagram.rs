//! Feeds `metallb_fuzz::membership::datagram`.
#![cfg_attr(fuzzing, no_main)]
metallb_fuzz::target!(membership::datagram);
