//! The commands that ask a cluster as people run them, against the embedded API server.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod explain;
mod migrate;
#[path = "../../../controller/tests/harness/namespace.rs"]
mod namespace;
mod status;
mod support;
mod wire;
