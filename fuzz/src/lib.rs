//! Fuzz targets over the public API of the libraries.

pub mod arp;
pub mod bgp;
pub mod core;
