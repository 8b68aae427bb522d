//! What went wrong with a socket.

use std::fmt;
use std::io;

/// An error of the system, and what was being done when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketError {
    /// What was being done, if that is known.
    pub step: Option<SocketStep>,
    /// The kind of error.
    pub kind: io::ErrorKind,
    /// The number of the system's error, if it was the system's.
    pub os: Option<i32>,
}

impl SocketError {
    /// What `error` says, which came in `step`.
    pub fn new(step: SocketStep, error: &io::Error) -> Self {
        Self { step: Some(step), kind: error.kind(), os: error.raw_os_error() }
    }
}

impl From<io::ErrorKind> for SocketError {
    fn from(kind: io::ErrorKind) -> Self {
        Self { step: None, kind, os: None }
    }
}

impl fmt::Display for SocketError {
    /// The step, then the words of the system with its number, or those of the kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = self.step {
            write!(f, "{step}: ")?;
        }
        match self.os {
            Some(number) => io::Error::from_raw_os_error(number).fmt(f),
            None => self.kind.fmt(f),
        }
    }
}

impl std::error::Error for SocketError {}

/// What was being done with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketStep {
    /// Finding the interface of a link-local address.
    FindInterface,
    /// Opening a socket.
    Open,
    /// Binding to the interface or VRF of [`PeerConfig::bind_device`](super::PeerConfig::bind_device).
    BindDevice,
    /// Binding to [`PeerConfig::local_address`](super::PeerConfig::local_address).
    BindAddress,
    /// Setting the traffic class, the TTL or a timeout.
    SetOptions,
    /// Connecting to the peer.
    Connect,
    /// Finding out the addresses of a connection.
    FindAddresses,
    /// Reading.
    Read,
    /// Writing.
    Write,
}

impl fmt::Display for SocketStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FindInterface => "finding the interface",
            Self::Open => "opening a socket",
            Self::BindDevice => "binding to the interface or VRF",
            Self::BindAddress => "binding to the source address",
            Self::SetOptions => "setting socket options",
            Self::Connect => "connecting",
            Self::FindAddresses => "finding the addresses",
            Self::Read => "reading",
            Self::Write => "writing",
        })
    }
}
