//! Drivers: the parts with sockets.

pub mod tokio;
