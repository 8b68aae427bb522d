//! Drivers: what connects the responder to real networks.

pub mod linux;
