//! The frame around a daemon: parse, log, run, exit code.

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use clap::Parser;
use tokio_util::sync::CancellationToken;

use crate::args::{CommonArgs, from_go_syntax};
use crate::{logging, shutdown};

/// Exit code of a wrong flag or environment variable, as clap's own.
const EXIT_USAGE: u8 = 2;

/// Parses `args`, installs the log and runs `main` until it ends or a signal cancels its token.
///
/// Wrong flags exit with 2 and their message on stderr; an error of `main` is logged and exits with 1.
pub fn run<A, F>(
    args: impl IntoIterator<Item = OsString>,
    common: fn(&A) -> &CommonArgs,
    main: fn(A, CancellationToken) -> F,
) -> ExitCode
where
    A: Parser,
    F: Future<Output = anyhow::Result<()>>,
{
    let args = match A::try_parse_from(from_go_syntax(args)) {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            if let Err(failure) = error.print() {
                eprintln!("{error}\n(printing with colours failed: {failure})");
            }
            return ExitCode::from(code);
        }
    };
    let flags = common(&args);
    logging::init(flags.log_level, flags.log_format);
    match block_on(args, main) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "cannot go on");
            ExitCode::FAILURE
        }
    }
}

fn block_on<A, F>(args: A, main: fn(A, CancellationToken) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        // The TLS provider is process-wide; a second installation in one process keeps the first.
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("a TLS provider is already installed; keeping it");
        }
        main(args, shutdown::on_signal()?).await
    })
}
