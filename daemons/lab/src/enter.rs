//! Bringing a lab up, as seen from the host: check, enter namespaces, start the lab inside, wait.

use std::ffi::OsString;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;
use crate::files;
use crate::net::namespaces;
use crate::options::{Options, RouterKind};
use crate::router;
use crate::state::{Process, Role, StateDir};

/// Brings a lab up and waits until it has ended; returns its exit code.
///
/// `inside` is the command line that makes this program call [`crate::inside`] with the path that is
/// appended to it. The calling process must have one thread only, because it moves into new namespaces.
///
/// # Errors
/// Everything that can be found out before anything is started, the kernel's refusal of namespaces,
/// and files that cannot be written. What goes wrong inside, the lab itself reports.
pub fn up(options: &Options, inside: &[OsString]) -> Result<u8, Error> {
    options.check()?;
    let mut options = options.clone();
    files::load(&options)?;
    for file in &mut options.files {
        *file = std::path::absolute(&*file).map_err(Error::io(format!("resolving {}", file.display())))?;
    }
    router::check(&options)?;
    let program = std::env::current_exe().map_err(Error::io("finding this program"))?;
    let dir = StateDir::create(&options.name)?;
    let result = enter(&options, &dir, &program, inside);
    if result.is_err() || !options.keep {
        dir.remove()?;
    }
    result
}

fn enter(options: &Options, dir: &StateDir, program: &Path, inside: &[OsString]) -> Result<u8, Error> {
    let text =
        serde_json::to_vec(options).map_err(|source| Error::Corrupt { path: dir.options(), source })?;
    StateDir::write(&dir.options(), &text)?;
    // Made here, it belongs to the host's network: kubectl reaches the API server by it.
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::io("listening on 127.0.0.1"))?;
    namespaces::enter_new()?;
    if options.router == RouterKind::Frr && in_user_namespace() {
        return Err(Error::RouterNeedsRoot);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting the runtime"))?;
    runtime.block_on(async {
        let mut child = Command::new(program)
            .args(inside)
            .arg(dir.path())
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .spawn()
            .map_err(Error::io(format!("starting {}", program.display())))?;
        if let Some(process) = child.id().and_then(|pid| Process::of(pid.cast_signed())) {
            dir.note_process(Role::Inside, process)?;
        }
        wait(&mut child).await
    })
}

/// Waits for the lab, passing on what asks us to end.
async fn wait(child: &mut Child) -> Result<u8, Error> {
    let listen = |kind| signal(kind).map_err(Error::io("listening for signals"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let mut asked: u32 = 0;
    loop {
        let again = async {
            if asked == 0 { std::future::pending().await } else { tokio::time::sleep(INSIST).await }
        };
        asked += tokio::select! {
            ended = child.wait() => {
                let status = ended.map_err(Error::io("waiting for the lab"))?;
                return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
            }
            // Whoever asks for the second time means it.
            _ = interrupt.recv() => PATIENCE / 2 + 1,
            _ = terminate.recv() => PATIENCE / 2 + 1,
            _ = hangup.recv() => PATIENCE / 2 + 1,
            // A lab that is just starting does not take a signal yet.
            () = again => 1,
        };
        let signal = if asked > PATIENCE { Signal::SIGKILL } else { Signal::SIGTERM };
        if let Some(process) = child.id().and_then(|pid| Process::of(pid.cast_signed())) {
            process.signal(signal)?;
        }
    }
}

/// Pause between two signals to a lab that is to end.
const INSIST: Duration = Duration::from_millis(250);
/// How many signals are sent before the lab is ended without its help.
const PATIENCE: u32 = 40;

/// Whether only one user exists here.
pub(crate) fn in_user_namespace() -> bool {
    let full = "4294967295";
    !std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.contains(full))
}
