//! Network namespaces, links, addresses, routes and what can be read from the kernel about them.
//!
//! Everything goes through netlink and `/proc/sys`; no external program is needed.

pub(crate) mod links;
pub(crate) mod namespaces;
pub(crate) mod neighbours;
pub(crate) mod room;
pub(crate) mod routes;
pub(crate) mod sysctl;

pub(crate) use links::MacAddr;
pub(crate) use room::Room;
