//! Drivers: the parts with sockets.

pub mod bfd;
pub mod tokio;
