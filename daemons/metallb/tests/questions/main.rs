//! The commands that ask a cluster as people run them, against the embedded API server.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod explain;
mod migrate;
mod status;
mod support;
