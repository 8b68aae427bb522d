#![doc = include_str!("../README.md")]
#![deny(missing_docs, rustdoc::broken_intra_doc_links)]
#![forbid(unsafe_code)]

pub mod client;
pub mod convert;
pub mod crd;
pub mod facts;
pub mod lease;
pub mod leftovers;
pub mod legacy;
pub mod queue;
pub mod retry;
pub mod watch;
pub mod webhook;
pub mod write;
