//! The speaker: tells the network where the addresses of services live.
//!
//! Only wiring: the watches of `metallb-k8s`, the interfaces of `metallb-arp` and the view of the membership engine
//! feed the speaker machine of `metallb-core`, whose outputs the drivers of `metallb-arp` and `metallb-bgp` carry
//! out. One task owns the machine.
#![forbid(unsafe_code)]

mod announcer;
mod args;
mod complaints;
mod debug;
mod drain;
mod exclude;
mod gate;
mod inputs;
mod membership;
mod metrics;
mod seal;
mod setup;
mod shared_secret;
mod shortfalls;
mod slices;
mod sources;
mod speaker;
mod statuses;
mod sweep;
mod translate;

use std::ffi::OsString;
use std::process::ExitCode;

use metallb_runtime::daemon;
use tokio_util::sync::CancellationToken;

use args::Args;

/// Runs the speaker with these arguments (the first is the program's name) until it is told to stop.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    daemon::run(args, main)
}

async fn main(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    if let Some(speaker) = setup::speaker(&args, &stop).await? {
        speaker.run(stop).await?;
    }
    Ok(())
}
