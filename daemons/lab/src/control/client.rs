//! The host's side of the control socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Request, Response};
use crate::error::Error;
use crate::options::LabName;
use crate::state::{self, StateDir};

/// How long a lab may take to answer; a speaker that starts may need half a minute.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How long a lab may take to end by itself before it is ended.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Asks a running lab; without a name, the only one there is.
///
/// # Errors
/// [`Error::NotRunning`], [`Error::NoneRunning`], [`Error::Ambiguous`] when there is no lab to ask;
/// [`Error::Refused`] with the lab's own words; [`Error::Io`] when it does not answer.
pub fn ask(name: Option<&LabName>, request: &Request) -> Result<Response, Error> {
    let (name, dir) = choose(name)?;
    match exchange(&dir, request).map_err(Error::io(format!("asking the lab {name}")))? {
        Response::Refused { reason } => Err(Error::Refused(reason)),
        response => Ok(response),
    }
}

/// Ends a lab and waits until it is gone, with everything it made; without a name, the only one.
///
/// # Errors
/// As [`ask`]; also when its files cannot be removed.
pub fn down(name: Option<&LabName>) -> Result<LabName, Error> {
    let (name, dir) = choose(name)?;
    end(&dir)?;
    Ok(name)
}

/// Ends every lab of this user and removes what crashed ones left; returns their names.
///
/// # Errors
/// When something cannot be ended or removed.
pub fn down_all() -> Result<Vec<LabName>, Error> {
    let mut names = Vec::new();
    for (name, dir) in StateDir::all()? {
        end(&dir)?;
        names.push(name);
    }
    state::sweep()?;
    Ok(names)
}

/// The lab that is meant.
pub(crate) fn choose(name: Option<&LabName>) -> Result<(LabName, StateDir), Error> {
    if let Some(name) = name {
        let dir = StateDir::of(name)?;
        return match dir.running() {
            Some(_) => Ok((name.clone(), dir)),
            None => Err(Error::NotRunning { name: name.clone() }),
        };
    }
    let mut running: Vec<_> =
        StateDir::all()?.into_iter().filter(|(_, dir)| dir.running().is_some()).collect();
    match (running.pop(), running.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(Error::NoneRunning),
        (Some(last), false) => {
            running.push(last);
            Err(Error::Ambiguous { names: running.into_iter().map(|(name, _)| name.to_string()).collect() })
        }
    }
}

fn exchange(dir: &StateDir, request: &Request) -> std::io::Result<Response> {
    let mut stream = UnixStream::connect(dir.socket())?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Asks, then insists. The kernel ends what is inside with the lab's first process.
fn end(dir: &StateDir) -> Result<(), Error> {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let roles = [state::Role::Inside, state::Role::Starter];
        let processes: Vec<_> = roles.into_iter().filter_map(|role| dir.process(role)).collect();
        for process in &processes {
            process.signal(signal)?;
        }
        let end = Instant::now() + END_LIMIT;
        while processes.iter().any(state::Process::lives) && Instant::now() < end {
            std::thread::sleep(crate::wait::LOOK);
        }
    }
    dir.remove()
}
