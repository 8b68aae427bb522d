//! The controller as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    metallb_controller::run(std::env::args_os())
}
