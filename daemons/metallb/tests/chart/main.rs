//! The Helm chart `deploy/helm/metallb`, as a stock `helm` renders and installs it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod agreement;
mod alerts;
mod cluster;
mod files;
mod helm;
mod install;
mod made;
mod names;
mod packaged;
mod rendered;
mod upgrade;
mod values;
