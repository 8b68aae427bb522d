//! The lab's directory: who runs it, its kubeconfigs, its logs, its control socket.
//!
//! A lab has nothing else on disk. Everything in it is in the namespaces of one process, which end
//! with that process; so cleaning up after a crash is: end the process if it still lives, remove
//! the directory.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::options::LabName;

/// One process, told apart from a later one with the same number by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Process number, as seen from the host.
    pub(crate) pid: i32,
    /// Start time in clock ticks since boot.
    pub(crate) started: u64,
}

impl Process {
    /// The process with this number, if it lives.
    #[must_use]
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command in parentheses may contain anything; the fields follow the last one.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let dead = fields.first().is_some_and(|state| matches!(*state, "Z" | "X"));
        let started = fields.get(19)?.parse().ok()?;
        (!dead).then_some(Self { pid, started })
    }

    /// Whether exactly this process still lives.
    #[must_use]
    pub(crate) fn lives(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// Sends a signal to exactly this process.
    ///
    /// # Errors
    /// When the system refuses; a process that is gone is no error.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        if !self.lives() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(errno) => Err(Error::sys(format!("sending {signal} to process {}", self.pid))(errno)),
        }
    }
}

/// The directory of one lab.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Makes the directory of a new lab, clearing what a crashed one of the same name left.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] when a lab of this name is up, [`Error::Io`] when it cannot be made.
    pub(crate) fn create(name: &LabName) -> Result<Self, Error> {
        let dir = Self::of(name)?;
        match dir.make() {
            Err(Error::Io { source, .. })
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::DirectoryNotEmpty
                ) => {}
            other => return other.map(|()| dir),
        }
        if let Some(process) = dir.running() {
            return Err(Error::AlreadyRunning { name: name.clone(), pid: process.pid });
        }
        dir.remove()?;
        dir.make()?;
        Ok(dir)
    }

    /// The directory of the lab of this name, whether it exists or not.
    ///
    /// # Errors
    /// [`Error::Io`] when the base directory cannot be made or is not ours.
    pub(crate) fn of(name: &LabName) -> Result<Self, Error> {
        Ok(Self { path: base()?.join(name.as_str()) })
    }

    /// A directory that was made before.
    #[must_use]
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// All labs of this user, running or left behind.
    ///
    /// # Errors
    /// [`Error::Io`] when the base directory cannot be read.
    pub(crate) fn all() -> Result<Vec<(LabName, Self)>, Error> {
        let base = base()?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&base).map_err(Error::io(format!("reading {}", base.display())))? {
            let entry = entry.map_err(Error::io(format!("reading {}", base.display())))?;
            if let Some(name) = entry.file_name().to_str().and_then(|name| name.parse::<LabName>().ok()) {
                found.push((name, Self { path: entry.path() }));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The directory.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The kubeconfig for use on the host.
    #[must_use]
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    /// The kubeconfig for use inside the lab's namespaces.
    #[must_use]
    pub(crate) fn inner_kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig.inside")
    }

    /// The socket that a running lab answers on.
    #[must_use]
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// The log file of a process of the lab.
    #[must_use]
    pub(crate) fn log(&self, process: &str) -> PathBuf {
        self.path.join("log").join(format!("{process}.log"))
    }

    /// The options the lab was started with.
    #[must_use]
    pub(crate) fn options(&self) -> PathBuf {
        self.path.join("options.json")
    }

    /// Opens a log that only this user can read, to append to it.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub(crate) fn open_log(path: &Path) -> Result<fs::File, Error> {
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        opened.map_err(Error::io(format!("opening {}", path.display())))
    }

    /// Writes a file that only this user can read.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
        let doing = || format!("writing {}", path.display());
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(content))
            .map_err(Error::io(doing()))
    }

    /// Notes the process that is the lab.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub(crate) fn note_process(&self, role: Role, process: Process) -> Result<(), Error> {
        let text = serde_json::to_vec(&process).unwrap_or_default();
        Self::write(&self.path.join(role.file()), &text)
    }

    /// The process in this role, if it lives.
    #[must_use]
    pub(crate) fn process(&self, role: Role) -> Option<Process> {
        let text = fs::read(self.path.join(role.file())).ok()?;
        serde_json::from_slice::<Process>(&text).ok().filter(Process::lives)
    }

    /// The process that keeps the lab alive, if there is one.
    #[must_use]
    pub(crate) fn running(&self) -> Option<Process> {
        self.process(Role::Inside).or_else(|| self.process(Role::Starter))
    }

    /// Removes the directory and all in it.
    ///
    /// # Errors
    /// [`Error::Io`] when something cannot be removed; that it is gone already is no error.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("removing {}", self.path.display()))(error))
            }
            _ => Ok(()),
        }
    }

    /// Builds the directory aside and moves it into place, so that of two labs with one name
    /// exactly one gets it, with its process already noted.
    fn make(&self) -> Result<(), Error> {
        let pid = std::process::id().cast_signed();
        let aside = Self { path: self.path.with_file_name(format!(".new-{pid}")) };
        aside.remove()?;
        for path in [aside.path.clone(), aside.path.join("log")] {
            // Others may pass through: a router that changes its user has its own directory in here.
            DirBuilder::new()
                .mode(0o711)
                .create(&path)
                .map_err(Error::io(format!("making {}", path.display())))?;
        }
        if let Some(process) = Process::of(pid) {
            aside.note_process(Role::Starter, process)?;
        }
        fs::rename(&aside.path, &self.path).map_err(|source| {
            // Nothing else to tell if this fails too: the directory aside is swept by `down --all`.
            let _ = fs::remove_dir_all(&aside.path);
            Error::Io { doing: format!("making {}", self.path.display()), source }
        })
    }
}

/// The two processes of a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The one that the user started and that waits.
    Starter,
    /// The first process inside the namespaces: the lab itself.
    Inside,
}

impl Role {
    const fn file(self) -> &'static str {
        match self {
            Self::Starter => "starter.json",
            Self::Inside => "inside.json",
        }
    }
}

/// Removes the directory that holds all labs of this user, with what is left in it.
///
/// # Errors
/// [`Error::Io`] when something cannot be removed.
pub(crate) fn sweep() -> Result<(), Error> {
    StateDir { path: base()? }.remove()
}

/// Where all labs of this user live: `$METALLB_LAB_DIR`, else a directory of the user's own in the
/// system's temporary directory.
fn base() -> Result<PathBuf, Error> {
    let path = std::env::var_os("METALLB_LAB_DIR")
        .filter(|dir| !dir.is_empty())
        .map_or_else(|| std::env::temp_dir().join(format!("metallb-lab-{}", geteuid())), PathBuf::from);
    match DirBuilder::new().mode(0o711).create(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::io(format!("making {}", path.display()))(error));
        }
        _ => {}
    }
    // In a directory that all may write to, somebody else may have been first.
    let found = fs::symlink_metadata(&path).map_err(Error::io(format!("looking at {}", path.display())))?;
    let refuse = |doing: String| Err(Error::io(doing)(std::io::ErrorKind::PermissionDenied.into()));
    if !found.is_dir() || found.uid() != geteuid().as_raw() {
        return refuse(format!("{} belongs to somebody else; set METALLB_LAB_DIR", path.display()));
    }
    // Whoever can write there can put his own lab in the place of ours.
    if found.mode() & WRITE_FOR_OTHERS != 0 {
        let path = path.display();
        return refuse(format!(
            "others may write to {path} (mode {:o}); chmod go-w {path}, or set METALLB_LAB_DIR",
            found.mode() & 0o7777
        ));
    }
    Ok(path)
}

/// The group and everybody may write.
const WRITE_FOR_OTHERS: u32 = 0o022;
