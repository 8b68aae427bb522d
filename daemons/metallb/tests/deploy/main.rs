//! What `deploy/` ships.
#![expect(clippy::unwrap_used, reason = "tests")]

mod manifests;
mod support;
