//! Address allocation and announcement decisions of a bare-metal load balancer, as pure functions of facts.
//!
//! - [`keys`]: names and other small values
//! - [`select`]: labels and label selectors
//! - [`addr`]: addresses, ranges and sets of them
//! - [`facts`]: what the engines are told about services, nodes, endpoints and namespaces
//! - [`config`]: from what people write to what is valid
//! - [`ipam`]: who gets which address
//! - [`announce`]: who announces which address, by Layer 2 and by BGP
//! - [`election`]: the order among nodes that decides it
//! - [`quote`]: text of objects in messages
//! - [`mod@simulate`]: what a configuration would do
//! - `membership` (feature `membership`): which speakers live
//! - `speaker` (feature `membership`): what one speaker does, from its start to its end
//!
//! Nothing here reads a clock, a file or a socket, and equal inputs give equal results.

#![deny(missing_docs, rustdoc::broken_intra_doc_links)]
#![forbid(unsafe_code)]

pub mod addr;
pub mod announce;
pub mod config;
pub mod election;
pub mod facts;
pub mod ipam;
pub mod keys;
#[cfg(feature = "membership")]
pub mod membership;
pub mod quote;
pub mod select;
pub mod simulate;
#[cfg(feature = "membership")]
pub mod speaker;

/// The example of the README is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
