//! The speaker as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    metallb_speaker::run(std::env::args_os())
}
