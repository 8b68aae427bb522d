//! The Linux driver: packet sockets with kernel filters, group memberships, interfaces followed by
//! netlink.
//!
//! [`Driver::start`] starts one thread that owns everything; it works in the network namespace of the
//! thread that called it. [`Handle`] tells it what to announce, [`EventReceiver`] what happens.
//! [`PacketSocket`] is there for programs that watch or speak on a segment themselves.

mod driver;
mod filter;
mod groups;
mod handle;
mod links;
mod netlink;
mod outbox;
mod ports;
mod socket;
mod sys;

use core::fmt;
use std::io;

pub use driver::{DEFAULT_BUSY_POLL, Driver, Options};
pub use filter::Filter;
pub use handle::{Event, EventReceiver, Handle, Snapshot};
pub use socket::PacketSocket;

/// Why the driver or a packet socket cannot work.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The process may not open packet sockets in its network namespace.
    #[error(
        "{capability} is missing: packet sockets need it to answer ARP and neighbor discovery; add it to the container's securityContext.capabilities or run as root"
    )]
    MissingCapability {
        /// Name of the capability.
        capability: &'static str,
    },
    /// The kernel refused something.
    #[error("cannot {operation}: {}", reason(*code, *kind))]
    Io {
        /// What was tried.
        operation: Operation,
        /// The error number, when there is one.
        code: Option<i32>,
        /// The kind of error.
        kind: io::ErrorKind,
    },
    /// The driver has ended.
    #[error("the ARP and neighbor discovery driver has ended")]
    Stopped,
}

impl Error {
    fn io(operation: Operation, error: &io::Error) -> Self {
        Self::Io { operation, code: error.raw_os_error(), kind: error.kind() }
    }

    /// Whether the interface is down or has been deleted.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Io { code: Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO), .. })
    }
}

fn reason(code: Option<i32>, kind: io::ErrorKind) -> String {
    code.map_or_else(|| kind.to_string(), |code| io::Error::from_raw_os_error(code).to_string())
}

/// What the driver was doing when the kernel refused.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Starting the driver's thread or its runtime.
    Start,
    /// Opening a packet socket.
    OpenSocket,
    /// Attaching the kernel filter.
    AttachFilter,
    /// Binding to an interface.
    Bind,
    /// Receiving frames.
    Receive,
    /// Joining a multicast group.
    JoinGroup,
    /// Leaving a multicast group.
    LeaveGroup,
    /// Listing interfaces or following their changes.
    FollowInterfaces,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start the driver",
            Self::OpenSocket => "open a packet socket",
            Self::AttachFilter => "attach the kernel filter",
            Self::Bind => "bind to the interface",
            Self::Receive => "receive frames",
            Self::JoinGroup => "join a multicast group",
            Self::LeaveGroup => "leave a multicast group",
            Self::FollowInterfaces => "follow the interfaces by netlink",
        })
    }
}
