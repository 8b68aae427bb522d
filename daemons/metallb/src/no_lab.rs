//! `metallb lab` in a build without the feature `lab`, as it is shipped: says where the lab is.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

/// Not in this build.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct LabArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

/// Tells what to do instead.
pub(crate) fn run(args: LabArgs) -> ExitCode {
    let mut command = OsString::from("cargo run --release -- lab");
    for argument in args.arguments {
        command.push(" ");
        command.push(argument);
    }
    eprintln!("error: the lab is not in this build; run it from the sources: {}", command.display());
    ExitCode::from(2)
}
