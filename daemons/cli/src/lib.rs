//! The commands of `metallb` and `kubectl metallb` that look at a cluster or at files.
//!
//! Each command is a module: it gathers (from the API server or from files), asks the libraries, and renders.
//! What a command decides is a pure function of what was gathered.

mod check;
mod cluster;
mod connect;
mod convert;
mod daemon;
mod document;
mod exit;
mod explain;
mod input;
mod kinds;
mod migrate;
mod output;
#[cfg(test)]
mod schemas;
mod sessions;
mod simulate;
mod snapshot;
mod status;
mod strict_arp;
mod table;
mod version;
mod voices;
mod world;

use std::process::ExitCode;

use clap::Subcommand;

pub use check::{CheckArgs, Scope};
pub use connect::{ConnectArgs, Way};
pub use convert::ConvertArgs;
pub use exit::width;
pub use explain::ExplainArgs;
pub use migrate::MigrateArgs;
pub use simulate::SimulateArgs;
pub use status::{StatusArgs, page as status_page};
pub use strict_arp::StrictArpArgs;
pub use table::Table;
pub use version::VersionArgs;

/// The commands for operators.
#[derive(Debug, Subcommand)]
pub enum Command {
    Check(CheckArgs),
    Convert(ConvertArgs),
    Explain(ExplainArgs),
    Migrate(MigrateArgs),
    Simulate(SimulateArgs),
    Status(StatusArgs),
    StrictArp(StrictArpArgs),
    Version(VersionArgs),
}

/// Runs one command and tells how it went.
pub fn run(command: &Command) -> ExitCode {
    match command {
        Command::Check(args) => check::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Migrate(args) => migrate::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Status(args) => status::run(args),
        Command::StrictArp(args) => strict_arp::run(args),
        Command::Version(args) => version::run(args),
    }
}
