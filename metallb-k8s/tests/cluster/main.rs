//! Watches, writers and elections against a pretended API server.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod electing;
mod faults;
mod leftovers;
mod support;
mod watching;
mod writing;
