//! The server as its clients see it: kube-rs in the same process, and a stock `kubectl` over HTTP.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod access;
mod kinds;
mod kubectl;
mod manifests;
mod metallb;
mod objects;
mod ownership;
mod proxy;
mod support;
mod watching;
mod webhooks;
