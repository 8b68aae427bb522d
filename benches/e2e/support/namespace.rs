//! Network namespaces with programs in them that end with this process, however it ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

use super::Result;

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace. It has no name and no file: a thread is in it, and it is gone when the thread and the programs
/// started by it are.
#[derive(Debug)]
pub(crate) struct Namespace {
    path: PathBuf,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespace {
    /// A new namespace with its loopback interface up.
    pub(crate) fn new() -> Result<Self> {
        let (jobs, receiver) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let made = unshare(CloneFlags::CLONE_NEWNET).map(|()| gettid());
            let usable = made.is_ok();
            if tell.send(made).is_ok() && usable {
                for job in receiver {
                    job();
                }
            }
        });
        let made = told.recv()?;
        let id =
            made.map_err(|error| format!("cannot make a network namespace ({error}): run this as root"))?;
        let path = format!("/proc/{}/task/{id}/ns/net", std::process::id()).into();
        let namespace = Self { path, jobs: Some(jobs), thread: Some(thread) };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Does something on the thread that is in the namespace, and waits for it.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (tell, told) = mpsc::channel();
        let jobs = self.jobs.as_ref().ok_or("the namespace is gone")?;
        jobs.send(Box::new(move || drop(tell.send(work())))).map_err(|_| "the namespace is gone")?;
        Ok(told.recv()?)
    }

    /// Runs `ip` in the namespace.
    pub(crate) fn ip(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(arguments);
        let output = self.run(move || command.output())?.map_err(|error| format!("ip: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("ip {arguments:?}: {said}").into()) }
    }

    /// Connects two namespaces: one end of a new link in each, with these addresses.
    pub(crate) fn connect(&self, other: &Self, addresses: [&str; 2]) -> Result<()> {
        let far = other.path.to_string_lossy();
        self.ip(&["link", "add", LINK, "type", "veth", "peer", "name", LINK, "netns", &far])?;
        for (namespace, address) in [self, other].into_iter().zip(addresses) {
            namespace.ip(&["addr", "add", address, "dev", LINK])?;
            namespace.ip(&["link", "set", LINK, "up"])?;
        }
        Ok(())
    }

    /// Starts a program in the namespace; what it says goes to the file. Times are in UTC.
    pub(crate) fn start(&self, program: &Path, arguments: &[String], log: File) -> Result<Program> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).args(arguments).env("TZ", "UTC");
        command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log);
        let started = self.run(move || command.spawn())?;
        Ok(Program(started.map_err(|error| format!("{}: {error}", program.display()))?))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that has panicked is as good as ended.
            drop(thread.join());
        }
    }
}

/// A running program; ended when dropped.
#[derive(Debug)]
pub(crate) struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // A child that has ended already is as good as killed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Where a program is. FRR's come first, because OpenBGPD has a `bgpd`, too.
pub(crate) fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(PathBuf::from("/usr/lib/frr"))
        .chain(std::env::split_paths(&path))
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|place| place.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| format!("{program} is not installed").into())
}

/// The name of a link at both its ends.
const LINK: &str = "link0";
