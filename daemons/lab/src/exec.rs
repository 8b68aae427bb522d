//! Running a command in one of the lab's places.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, setns};

use crate::control::client;
use crate::error::Error;
use crate::net::namespaces;
use crate::net::room::THREAD_PREFIX;
use crate::options::LabName;

/// Runs a command in a node, in `client`, `router` or `segment`; returns its exit code.
///
/// The calling process must have one thread only, because it moves into the lab's namespaces.
///
/// # Errors
/// [`Error::NoSuchPlace`], no lab to ask, namespaces that cannot be entered, or a command that
/// cannot be started.
pub fn exec(name: Option<&LabName>, place: &str, command: &[OsString]) -> Result<u8, Error> {
    let (lab, dir) = client::choose(name)?;
    let process = dir.process(crate::state::Role::Inside).ok_or(Error::NotRunning { name: lab })?;
    let own = PathBuf::from(format!("/proc/{}", process.pid));
    let network = place_namespace(&own, place)?;
    enter(&own, &network)?;
    let Some((program, args)) = command.split_first() else {
        return Err(Error::Refused("there is no command to run; write it after --".to_owned()));
    };
    let status = Command::new(program)
        .args(args)
        .env("KUBECONFIG", dir.inner_kubeconfig())
        .status()
        .map_err(Error::io(format!("starting {}", program.display())))?;
    // As a shell: 128 and the number of the signal.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}

/// The network namespace of a place: that of the lab's thread inside it.
fn place_namespace(process: &Path, place: &str) -> Result<PathBuf, Error> {
    let tasks = process.join("task");
    let mut known = Vec::new();
    for task in fs::read_dir(&tasks).map_err(Error::io(format!("reading {}", tasks.display())))?.flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        match name.trim_end().strip_prefix(THREAD_PREFIX) {
            Some(found) if found == place => return Ok(task.path().join("ns/net")),
            Some(found) => known.push(found.to_owned()),
            None => {}
        }
    }
    known.sort();
    known.dedup();
    Err(Error::NoSuchPlace { given: place.to_owned(), known })
}

fn enter(process: &Path, network: &Path) -> Result<(), Error> {
    let open = |path: &Path| File::open(path).map_err(Error::io(format!("opening {}", path.display())));
    let own = |kind: &str| open(&process.join("ns").join(kind));
    let here = std::env::current_dir();
    let (user, mount, pid) = (own("user")?, own("mnt")?, own("pid")?);
    let network = open(network)?;
    if !namespaces::same(&process.join("ns/user"), Path::new("/proc/self/ns/user")) {
        setns(user, CloneFlags::CLONE_NEWUSER).map_err(Error::sys("entering the lab's user namespace"))?;
    }
    setns(network, CloneFlags::CLONE_NEWNET).map_err(Error::sys("entering the place's network"))?;
    // Holds for the command, not for us: it ends with the lab.
    setns(pid, CloneFlags::CLONE_NEWPID).map_err(Error::sys("entering the lab's processes"))?;
    setns(mount, CloneFlags::CLONE_NEWNS).map_err(Error::sys("entering the lab's mounts"))?;
    // Entering mounts moves us to the root; the same files are there, so go back. A directory that
    // is gone is no reason not to run the command.
    if let Ok(here) = here
        && let Err(error) = std::env::set_current_dir(&here)
    {
        tracing::debug!(%error, directory = %here.display(), "starting in /");
    }
    Ok(())
}
