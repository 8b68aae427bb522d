//! Bidirectional Forwarding Detection (RFC 5880): whether packets reach a neighbour and come back, known within a few
//! packets' time.
//!
//! * [`wire`] — the control packet.
//! * [`Session`] — one path: the state machine, Poll Sequences, timers. Time and packets go in; packets and changes of
//!   state come out.
//! * [`Sessions`] — all sessions of a node: finds the one that a packet is for, shares one among all that watch the
//!   same path, and names who is to know about a change.
//!
//! The driver with sockets is `io::bfd` (features `bfd` and `tokio`). Single hop (RFC 5881) and multihop (RFC 5883) are
//! the same here but for the port and the least TTL.

mod pace;
mod profile;
mod session;
mod sessions;
pub mod wire;

pub use profile::{Profile, ProfileError};
pub use session::{Cause, Change, Counters, Session, SessionSnapshot};
pub use sessions::{
    Arrival, Effect, Event, Hops, Ignored, Path, PathSnapshot, Sessions, Stats, Transmit, User,
};
