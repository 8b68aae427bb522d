//! The speaker against FRR, BIRD, GoBGP, OpenBGPD and ExaBGP in network namespaces.
//!
//! Tests skip themselves with a reason where tools or rights are missing; `METALLB_REQUIRE_INTEROP=1` makes that
//! a failure. They work as root and as root of a user namespace (`unshare -Urnm`).
#![cfg(all(feature = "tokio", target_os = "linux"))]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests: real clocks and threads in namespaces"
)]

mod basics;
mod bfd;
mod capabilities;
mod devices;
mod exabgp;
mod farewell;
mod gobgp;
mod graceful;
mod hops;
mod hostile;
mod lab;
mod long_lived;
mod matrix;
mod next_hops;
mod openbgpd;
mod operations;
mod policy;
mod ranges;
mod routers;
mod security;
#[path = "../support/mod.rs"]
mod support;
mod trouble;
mod unnumbered;
