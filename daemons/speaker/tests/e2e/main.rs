//! The speaker as a process against the embedded API server, a link and a BGP peer, in a network namespace of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod bfd;
mod bgp;
mod collector;
mod costs;
mod endpoints;
mod flags;
#[path = "../../../controller/tests/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests of the controller")]
mod harness;
mod layer2;
mod life;
mod privileges;
mod rights;
mod secrets;
mod shared_secret;
mod site;
mod takeover;
mod unnumbered;
mod without_endpoints;
