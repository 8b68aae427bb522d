//! The tokio driver: sockets around [`Session`](crate::session::Session)s and one
//! [`AdvTable`](crate::table::AdvTable).
//!
//! One task owns every session, the table and all sockets of a [`Speaker`]; the handle sends it
//! facts. Nothing is locked; all that is shared is a queue of the numbers of those whose sockets became ready.

mod authenticate;
mod config;
mod demand;
mod engine;
mod farewells;
mod handle;
mod linger;
mod links;
mod listener;
mod netlink;
mod node;
mod outbox;
mod peer;
mod peers;
mod restart;
mod scarce;
mod schedule;
mod socket;
#[expect(unsafe_code, reason = "socket options that no safe crate has")]
mod sys;

pub use authenticate::probe_tcp_ao;
pub use config::{ListenRange, Shutdown, SpeakerConfig, StartError};
pub use handle::{EventReceiver, Speaker, Stopped};
