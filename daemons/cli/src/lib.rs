//! The commands of `metallb` and `kubectl metallb` that look at a cluster or at files.
//!
//! Each command is a module: it gathers (from the API server or from files), asks the libraries, and renders.
//! What a command decides is a pure function of what was gathered.

use std::process::ExitCode;

use clap::Subcommand;

/// The commands for operators.
#[derive(Debug, Subcommand)]
pub enum Command {}

/// Runs one command and tells how it went.
pub fn run(command: &Command) -> ExitCode {
    match *command {}
}
