//! Kubernetes around [`metallb_core`].
#![deny(missing_docs, rustdoc::broken_intra_doc_links)]
#![forbid(unsafe_code)]

pub mod crd;
