//! Benchmarks over the public API of the libraries.

pub mod core;
