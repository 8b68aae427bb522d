#![deny(missing_docs, rustdoc::broken_intra_doc_links)]
#![deny(unsafe_code)]
//! Zero-copy ARP and NDP codecs and a sans-IO responder for addresses that move between machines.
//!
//! # What it is
//!
//! A machine that owns an address for a while (the leader of a pair, the node that serves a load-balanced
//! service) has to make its segment believe so: answer ARP requests (RFC 826) and neighbor solicitations
//! (RFC 4861) for the address, and announce it whenever something has changed. This crate does that for
//! any number of addresses and interfaces, without configuring them in the kernel.
//!
//! * [`wire`] reads and writes frames;
//! * [`responder`] decides: [`responder::Responder`] takes frames, interfaces, addresses and the time, and
//!   gives frames to send, groups to join and conflicts to report;
//! * `io::linux` (feature `linux`) connects a responder to the machine's interfaces.
//!
//! # What it is not
//!
//! It does not decide who owns an address: announcing one address on two machines makes them fight.
//! It does not answer for interfaces it has not been told of, and it is no general ARP or NDP stack: it
//! keeps no neighbor table.
//!
//! # Features
//!
//! * `linux` (off by default): the driver for Linux, on tokio, netlink and packet sockets. The only unsafe
//!   code of the crate is in its `sys` module.

mod gratuitous;
#[cfg(feature = "linux")]
pub mod io;
pub mod responder;
pub mod wire;

/// The examples of the README, compiled and run as documentation tests.
#[cfg(all(doctest, feature = "linux"))]
#[doc = include_str!("../README.md")]
struct Readme;
