//! What a session does in the corners between its parts.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests; the clock is read once as the base of virtual time"
)]

mod attempts;
mod end_of_rib;
mod ends;
mod families;
mod import;
mod next_hops;
mod pace;
mod refused;
mod retries;
mod routes;
mod settings;
mod support;
mod takeover;
mod unnumbered;
