//! Child processes inside the lab: started in a namespace, logged to a file, watched to their end.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::sync::watch;

use crate::error::Error;
use crate::net::Room;
use crate::state::StateDir;

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Name of the process in messages.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(&'static str, OsString)>,
    /// File that its output is appended to.
    pub(crate) log: PathBuf,
}

impl Program {
    /// A program without arguments.
    pub(crate) fn new(name: &str, path: &Path, log: PathBuf) -> Self {
        Self { name: name.to_owned(), path: path.to_owned(), args: Vec::new(), env: Vec::new(), log }
    }

    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }
}

/// A process that was started. Dropping this does not end it; the lab's end does.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    pid: i32,
    log: PathBuf,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Child {
    /// Starts a program inside a namespace, in a process group of its own, so that a Ctrl-C meant
    /// for the lab does not reach it.
    pub(crate) async fn start(room: &Room, program: Program) -> Result<Self, Error> {
        let doing = format!("starting {} in {}", program.name, room.name());
        let log = StateDir::open_log(&program.log)?;
        let errors = log.try_clone().map_err(Error::io(doing.clone()))?;
        let mut command = Command::new(&program.path);
        command
            .args(&program.args)
            .envs(program.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0);
        let (tell, ended) = watch::channel(None);
        let spawned = room
            .run(async move {
                let mut child = command.spawn()?;
                let pid = child.id();
                tokio::spawn(async move {
                    if let Ok(status) = child.wait().await {
                        tell.send_replace(Some(status));
                    }
                });
                Ok(pid)
            })
            .await?;
        let pid = spawned.map_err(Error::io(doing))?.and_then(|pid| i32::try_from(pid).ok());
        Ok(Self { name: program.name, pid: pid.unwrap_or_default(), log: program.log, ended })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Sends a signal, unless the process has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        if self.ended().is_some() || self.pid <= 0 {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(errno) => Err(Error::sys(format!("sending {signal} to {}", self.name))(errno)),
        }
    }

    /// Waits for the end.
    pub(crate) async fn wait(&self, limit: Duration) -> Result<ExitStatus, Error> {
        let mut ended = self.ended.clone();
        let end = tokio::time::timeout(limit, ended.wait_for(Option::is_some)).await;
        match end.map(|seen| seen.map(|status| *status)) {
            Ok(Ok(Some(status))) => Ok(status),
            _ => Err(Error::Timeout {
                what: format!("the end of {}", self.name),
                seconds: limit.as_secs(),
                hint: format!("see {}", self.log.display()),
            }),
        }
    }

    /// In words: running, with its process number inside the lab, or how it ended.
    pub(crate) fn state(&self) -> String {
        let running = || format!("running (process {})", self.pid);
        self.ended().map_or_else(running, |status| format!("ended ({status})"))
    }
}
