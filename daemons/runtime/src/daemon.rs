//! The frame around a daemon: parse, log, run, exit code.

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio_util::sync::CancellationToken;

use crate::args::{ArgError, CommonArgs, from_go_syntax};
use crate::privileges::{self, Capability};
use crate::{descriptors, logging, shutdown};

/// Exit code of a wrong flag or environment variable, as clap's own.
const EXIT_USAGE: u8 = 2;

/// How long a daemon may take to stop; whatever hangs then is left behind.
const STOP_LIMIT: Duration = Duration::from_millis(4800);

/// How long work on threads of its own (name resolution, files) may hold up the end.
const THREADS_LIMIT: Duration = Duration::from_millis(100);

/// The flags of a daemon.
pub trait Flags: Parser {
    /// Those that all daemons have.
    fn common(&self) -> &CommonArgs;

    /// The capabilities that the daemon needs with these flags; all others are given up.
    fn capabilities(&self) -> Vec<Capability>;
}

/// Parses `args`, gives up the rights that are not needed, installs the log and runs `main` until it ends or a signal cancels its token.
///
/// Wrong flags, also those that `main` finds ([`ArgError`]), exit with 2 and their message on stderr; any other error of
/// `main` is logged and exits with 1, and so does a `main` that does not end within 4.8 s of the signal.
pub fn run<A, F>(args: impl IntoIterator<Item = OsString>, main: fn(A, CancellationToken) -> F) -> ExitCode
where
    A: Flags,
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
    let flags = args.common();
    logging::init(flags.log_level, flags.log_format);
    privileges::give_up_all_but(&args.capabilities());
    descriptors::raise_limit();
    match block_on(args, main) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.downcast_ref::<ArgError>().is_some() => {
            eprintln!("error: {error:#}");
            ExitCode::from(EXIT_USAGE)
        }
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
    let result = runtime.block_on(async {
        // The TLS provider is process-wide; a second installation in one process keeps the first.
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("a TLS provider is already installed; keeping it");
        }
        let stop = shutdown::on_signal()?;
        tokio::select! {
            result = main(args, stop.clone()) => result,
            () = overdue(&stop) => Err(anyhow::anyhow!("could not stop in an orderly way within {STOP_LIMIT:?}")),
        }
    });
    runtime.shutdown_timeout(THREADS_LIMIT);
    result
}

async fn overdue(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_LIMIT).await;
}
