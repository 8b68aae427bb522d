//! The tokio driver: sockets around [`Session`](crate::session::Session)s and one
//! [`AdvTable`](crate::table::AdvTable).
//!
//! One task owns every session, the table and all sockets of a [`Speaker`]; the handle sends it
//! facts. Nothing is locked and nothing is shared.

mod config;
mod handle;

pub use config::{ListenRange, Shutdown, SpeakerConfig, StartError};
pub use handle::{EventReceiver, Speaker, Stopped};
