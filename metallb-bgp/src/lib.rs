//! A sans-IO BGP speaker: codecs, finite state machine, advertisement table, optional tokio driver.

#![deny(missing_docs, rustdoc::broken_intra_doc_links)]
#![deny(unsafe_code)]

pub mod types;
pub mod wire;
