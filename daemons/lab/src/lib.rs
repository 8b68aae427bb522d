//! A whole cluster's worth of network on one machine, to see the load balancer work.
//!
//! A lab is a segment (a bridge) with nodes, a client and a router on it, each a network namespace;
//! an embedded API server; the real `controller` process and one real `speaker` process per node;
//! and a router that speaks BGP with them and puts several next hops per prefix into its kernel.
//! It needs Linux with network and user namespaces, and neither root nor any other program.
//!
//! What is not the load balancer's is played by stand-ins: every node holds the service addresses
//! on its loopback, with the kernel's own answers to ARP for them switched off, and answers HTTP on
//! them with its own name, in place of kube-proxy and pods; every service with a selector has an
//! endpoint on every node.
//!
//! Everything a lab makes is inside the namespaces of one process, whose end is the end of all of
//! it, and in one directory.
//!
//! - [`up`] brings a lab up and waits for its end; the program must route the command line it is
//!   given to [`inside`].
//! - [`ask`], [`exec`], [`down`] and [`down_all`] talk to labs that are up.
#![deny(missing_docs, rustdoc::broken_intra_doc_links)]
#![forbid(unsafe_code)]

mod api;
mod client;
mod cluster;
mod control;
mod enter;
mod error;
mod exec;
mod files;
mod http;
mod inside;
mod lab;
mod net;
mod observer;
mod options;
mod process;
mod report;
mod router;
mod scenario;
mod standin;
mod state;
mod tour;
mod wait;

pub use control::client::{ask, down, down_all};
pub use control::{
    NodeStatus, Request, Response, RouterStatus, ServiceStatus, SpeakerPath, SpeakerSession, Status,
};
pub use enter::up;
pub use error::Error;
pub use exec::exec;
pub use files::FileFault;
pub use inside::inside;
pub use options::{LabName, MAX_NODES, Options, RouterKind};
pub use router::{RouterRoute, RouterSession};
