//! Fuzz targets over the public API of the libraries.

pub mod announce;
pub mod arp;
pub mod bgp;
pub mod core;
pub mod membership;
