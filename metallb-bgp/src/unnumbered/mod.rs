//! Peers that are known by the interface they are behind, and not by an address ("unnumbered").
//!
//! Both sides make themselves known by router advertisements (RFC 4861), and have their session between the link-local
//! addresses that these come from; IPv4 prefixes then have IPv6 next hops (RFC 8950). Ours say a router lifetime of 0:
//! nobody makes this machine a default router.
//!
//! * [`wire`] — the messages.
//! * [`Link`] — one interface: when to advertise and to solicit, and which routers there are.
//! * [`Rotation`] — one session: which of them to try next.
//!
//! Sockets are the driver's part, with the checksum, and with the filter for the types of messages.

mod advertiser;
mod link;
mod rotation;
mod routers;
mod solicitor;
pub mod wire;

pub use link::{Link, NoNeighbor, Outcome, Received};
pub use rotation::Rotation;
pub use routers::MAX_ROUTERS;
