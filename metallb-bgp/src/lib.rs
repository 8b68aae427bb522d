//! A sans-IO BGP speaker: codecs, finite state machine, advertisement table, optional tokio driver.
//!
//! It announces prefixes to routers and understands everything a router may answer; it never installs a route.
//!
//! * [`wire`] — messages, attributes and capabilities: views of received octets, encoders, packing, the error
//!   handling of RFC 7606.
//! * [`fsm`] — the state machine of RFC 4271 §8 as a pure table.
//! * [`session`] — one peer: both its possible connections, collisions, timers, capabilities. Time, octets and
//!   the outcome of connecting go in; octets, events and what to do with sockets come out.
//! * [`table`] — what is announced to whom. One table for all sessions; each session is a cursor into it.
//! * [`addresses`] — the machine's addresses, and which of them become next hops.
//! * [`unnumbered`] — peers that are known by their interface, found by router advertisements.
//! * [`types`] — values of the domain.
//! * `bfd` (feature `bfd`) — Bidirectional Forwarding Detection, usable alone.
//! * `io` (feature `tokio`) — sockets around the above.
//!
//! # Features
//! * `bfd` (off by default): the module `bfd`.
//! * `tokio` (off by default): the drivers `io::tokio` and `io::bfd`; includes `bfd`.

#![deny(missing_docs, rustdoc::broken_intra_doc_links, unsafe_code)]

pub mod addresses;
#[cfg(feature = "bfd")]
pub mod bfd;
pub mod fsm;
#[cfg(feature = "tokio")]
pub mod io;
pub mod session;
pub mod table;
pub mod types;
pub mod unnumbered;
pub mod wire;

/// The examples of the README, compiled and run with the documentation's.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
