#![deny(missing_docs, rustdoc::broken_intra_doc_links)]
#![deny(unsafe_code)]
//! Zero-copy ARP and NDP codecs and a sans-IO responder for addresses that move between machines.

mod gratuitous;
#[cfg(feature = "linux")]
pub mod io;
pub mod responder;
pub mod wire;
