//! What controller and speaker share: arguments, logs, metrics, probes, shutdown.
//!
//! * [`args`] — flags and environment variables under MetalLB's names, in Go's flag syntax too;
//! * [`client`] — the connection to the API server;
//! * [`logging`] — `tracing` to stderr, as text or JSON;
//! * [`metrics`] — families of samples computed at scrape time, rendered under their exact names;
//! * [`common_metrics`] — families that both daemons export;
//! * [`descriptors`] — the limit of file descriptors, and some kept back from clients;
//! * [`privileges`] — rights that are given up at the start;
//! * [`tls`] — options, certificates that can be replaced, server configurations;
//! * [`http`] — ports that cannot be used up, and on them the `/metrics`, `/healthz`, `/readyz` and `/debug/state` endpoints;
//! * [`seed()`] — where all seeds come from;
//! * [`shutdown`] — SIGTERM and SIGINT as one cancellation token;
//! * [`daemon`] — the frame around a daemon's `run`: parse, log, runtime, exit code.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod args;
pub mod client;
pub mod common_metrics;
pub mod daemon;
pub mod descriptors;
pub mod histogram;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod privileges;
pub mod process;
mod seed;
pub mod shutdown;
pub mod tls;

pub use seed::seed;
