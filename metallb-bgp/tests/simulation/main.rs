//! Two speakers in virtual time, over pipes that split, stall and break.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests; the clock is read once as the base of virtual time"
)]

mod agreement;
mod collisions;
mod later_connections;
mod octets;
mod pipes;
mod timers;
mod work;
mod world;
