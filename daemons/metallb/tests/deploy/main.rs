//! What `deploy/` ships.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod manifests;
mod support;
