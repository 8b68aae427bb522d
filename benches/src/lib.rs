//! Benchmarks over the public API of the libraries: fixtures of the size of a real cluster.
//!
//! | what | command |
//! |---|---|
//! | time | `cargo bench -p metallb-benches` |
//! | instructions and allocations | `cargo bench -p metallb-benches --features instructions --bench instructions --bench allocations` |
//! | end to end, against real routers | `cargo run --release -p metallb-benches --example bgp_peers` |
//!
//! Instructions take valgrind and `cargo install gungraun-runner` in the version of the lock file; routers take root.
//! `cargo bench -p metallb-benches -- --test` does everything once, without measuring.
#![expect(clippy::missing_panics_doc, reason = "fixtures stop whatever is measured when they are wrong")]

pub mod announce;
pub mod arp;
pub mod bgp;
pub mod core;
pub mod operation;
