//! What `deploy/` ships, and what the documentation says about it.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod apply;
mod cluster;
mod docs;
mod first_steps;
mod manifests;
mod monitoring;
#[path = "../../../controller/tests/harness/namespace.rs"]
mod namespace;
mod samples;
mod support;
mod takeover;
mod upgrade;
mod webhooks;
