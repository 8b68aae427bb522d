//! The commands of `metallb` and `kubectl metallb` that look at a cluster or at files.
//!
//! Each command is a module: it gathers (from the API server or from files), asks the libraries, and renders.
//! What a command decides is a pure function of what was gathered.

mod check;
mod cluster;
mod connect;
mod convert;
mod document;
mod exit;
mod explain;
mod input;
mod simulate;
mod snapshot;
mod strict_arp;
mod world;

use std::process::ExitCode;

use clap::Subcommand;

pub use check::{CheckArgs, Scope};
pub use connect::ConnectArgs;
pub use convert::ConvertArgs;
pub use explain::ExplainArgs;
pub use simulate::SimulateArgs;
pub use strict_arp::StrictArpArgs;

/// The commands for operators.
#[derive(Debug, Subcommand)]
pub enum Command {
    Check(CheckArgs),
    Convert(ConvertArgs),
    Explain(ExplainArgs),
    Simulate(SimulateArgs),
    StrictArp(StrictArpArgs),
}

/// Runs one command and tells how it went.
pub fn run(command: &Command) -> ExitCode {
    match command {
        Command::Check(args) => check::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::StrictArp(args) => strict_arp::run(args),
    }
}
