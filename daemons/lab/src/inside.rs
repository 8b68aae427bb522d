//! The first process inside the namespaces: builds the lab, shows it, serves it, ends it.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::control;
use crate::error::Error;
use crate::lab::{Lab, inherited_listener};
use crate::net::namespaces;
use crate::options::Options;
use crate::report::Reporter;
use crate::state::{Process, Role, StateDir};
use crate::tour;

/// Is the lab of the directory `path`, until it is ended; returns the exit code.
///
/// Only [`crate::up`] starts this, in namespaces of its own and as their first process: when it
/// ends, the kernel ends every process in the lab and removes every link.
#[must_use]
pub fn inside(path: &Path) -> u8 {
    let dir = StateDir::at(path);
    let (keep, code) = match begin(&dir) {
        Ok(options) => {
            let reporter = Reporter::new(options.color);
            let code = run(options.clone(), &dir, &reporter).unwrap_or_else(|error| {
                reporter.error(&error.report());
                error.exit_code()
            });
            (options.keep, code)
        }
        Err(error) => {
            Reporter::new(false).error(&error.report());
            (false, error.exit_code())
        }
    };
    if !keep && let Err(error) = dir.remove() {
        Reporter::new(false).error(&error.report());
    }
    code
}

fn begin(dir: &StateDir) -> Result<Options, Error> {
    // Whatever ends the starter ends the lab. A first process of a process namespace gets no signal
    // that it does not handle, except this one.
    follow_starter(Signal::SIGKILL)?;
    // It may have ended before. As a parent outside it has no number here; the directory knows it.
    if dir.process(Role::Starter).is_none() {
        return Err(Error::StarterGone);
    }
    // /proc is still the host's here, so this is our number there.
    let host_pid = std::fs::read_link("/proc/self").map_err(Error::io("reading /proc/self"))?;
    if let Some(process) = host_pid.to_str().and_then(|pid| pid.parse().ok()).and_then(Process::of) {
        dir.note_process(Role::Inside, process)?;
    }
    if let Err(errno) = namespaces::mount_proc() {
        tracing::debug!(%errno, "/proc shows the host's processes");
    }
    let path = dir.options();
    let text = std::fs::read(&path).map_err(Error::io(format!("reading {}", path.display())))?;
    serde_json::from_slice(&text).map_err(|source| Error::Corrupt { path, source })
}

fn follow_starter(signal: Signal) -> Result<(), Error> {
    set_pdeathsig(signal).map_err(Error::sys("asking to be told of the starter's end"))
}

fn run(options: Options, dir: &StateDir, reporter: &Reporter) -> Result<u8, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Error::io("starting the runtime"))?;
    let result = runtime.block_on(live(options, dir, reporter));
    runtime.shutdown_background();
    result
}

async fn live(options: Options, dir: &StateDir, reporter: &Reporter) -> Result<u8, Error> {
    let listen = |kind| signal(kind).map_err(Error::io("listening for signals"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    // Now that it is handled, a signal is enough, and the files can be removed.
    follow_starter(Signal::SIGTERM)?;
    let down = Arc::new(Notify::new());
    let built: OnceLock<Arc<Lab>> = OnceLock::new();
    let shown = async {
        let tour_only = options.tour_only;
        let lab = Arc::new(Lab::build(options, dir.clone(), inherited_listener()?).await?);
        let lab = built.get_or_init(|| lab);
        let control = control::server::start(lab, &down)?;
        let held = tour::run(lab, reporter).await;
        let code = u8::from(!held);
        if tour_only {
            return Ok(code);
        }
        tour::invite(lab, reporter).await;
        // Until somebody says otherwise.
        control
            .await
            .map(|()| code)
            .map_err(|error| Error::io("answering on the control socket")(std::io::Error::other(error)))
    };
    let result = tokio::select! {
        result = shown => result,
        () = down.notified() => Ok(0),
        _ = interrupt.recv() => { reporter.note("interrupted: taking the lab down"); Ok(130) }
        _ = terminate.recv() => { reporter.note("asked to end: taking the lab down"); Ok(143) }
        _ = hangup.recv() => Ok(129),
    };
    if let Some(lab) = built.get() {
        lab.end().await;
    }
    result
}
