//! Network namespaces for tests: each test runs in a process of its own with a fresh network namespace,
//! as root or as anybody else who may make user namespaces.

use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use metallb_arp::io::linux::{Driver, Event, EventReceiver, Handle, Options};
use metallb_arp::responder::Interface;

/// Runs `body` in a child process with a network namespace of its own.
pub(crate) fn in_namespace(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        body();
        return;
    }
    let flags = if nix::unistd::Uid::effective().is_root() { "-n" } else { "-Urn" };
    let probe = Command::new("unshare").args([flags, "ip", "link", "set", "lo", "up"]).output();
    if let Some(reason) = missing(probe, flags) {
        assert!(std::env::var_os(REQUIRED).is_none(), "{test}: {reason}, and {REQUIRED} is set");
        println!("{test}: skipped: {reason}");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .arg(flags)
        .arg(this)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its namespace");
}

fn missing(probe: std::io::Result<Output>, flags: &str) -> Option<String> {
    match probe {
        Err(error) => Some(format!("cannot run unshare: {error}")),
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Some(format!("no network namespace with `unshare {flags} ip …`: {why}"))
        }
    }
}

/// A network namespace, entered by a thread that runs what it is given.
pub(crate) struct Space {
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
    pub(crate) tid: i32,
}

impl Space {
    /// A namespace with nothing but a loopback interface, which is up.
    pub(crate) fn new() -> Self {
        let (jobs, queue) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (ready, tid) = mpsc::channel();
        thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            ready.send(nix::unistd::gettid().as_raw()).unwrap();
            for job in queue {
                job();
            }
        });
        let space = Self { jobs, tid: tid.recv().unwrap() };
        space.sh("ip link set lo up");
        space
    }

    /// Runs something in the namespace.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, result) = mpsc::channel();
        self.jobs.send(Box::new(move || sender.send(job()).unwrap())).unwrap();
        result.recv().expect("the job panicked")
    }

    /// Runs a shell command in the namespace and returns what it printed.
    pub(crate) fn sh(&self, command: &str) -> String {
        let (ok, text) = self.try_sh(command);
        assert!(ok, "`{command}`: {text}");
        text
    }

    /// Runs a shell command that may fail.
    pub(crate) fn try_sh(&self, command: &str) -> (bool, String) {
        let command = command.to_owned();
        self.run(move || {
            let output = Command::new("sh").args(["-c", &command]).output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&text).into_owned())
        })
    }

    /// Connects two namespaces by a veth pair with the given names; both ends come up, without waiting
    /// for duplicate address detection of their link-local addresses.
    pub(crate) fn connect(&self, own: &str, other: &Self, others: &str) {
        for (space, name) in [(self, own), (other, others)] {
            space.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0");
            assert!(name.len() < 16);
        }
        self.sh(&format!("ip link add {own} type veth peer name peer-{own}"));
        self.sh(&format!("ip link set peer-{own} netns {}", other.tid));
        other.sh(&format!("ip link set peer-{own} name {others}"));
        self.sh(&format!("ip link set {own} up"));
        other.sh(&format!("ip link set {others} up"));
    }

    /// The hardware address of an interface.
    pub(crate) fn mac(&self, interface: &str) -> String {
        let text = self.sh(&format!("ip -o link show {interface}"));
        let words: Vec<&str> = text.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "link/ether").unwrap();
        words[at + 1].to_owned()
    }

    /// Starts a driver in the namespace.
    pub(crate) fn driver(&self, options: impl FnOnce() -> Options + Send + 'static) -> Speaker {
        let (handle, events) = self.run(|| Driver::start(options()).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Speaker { handle, events, runtime }
    }
}

/// A running driver and what it says.
pub(crate) struct Speaker {
    pub(crate) handle: Handle,
    events: EventReceiver,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl Speaker {
    /// Waits for an event that `pick` wants; others are dropped.
    pub(crate) fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let events = &mut self.events;
        let wait = async {
            loop {
                let event = events.recv().await.expect("the driver has ended");
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        let found = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, wait).await });
        found.unwrap_or_else(|_| panic!("no event: {what}"))
    }

    /// Waits until an interface can be used, with a link-local address.
    pub(crate) fn ready(&mut self, name: &str) -> Interface {
        self.wait(&format!("{name} is usable"), |event| match event {
            Event::Interfaces(all) => {
                all.into_iter().find(|one| one.name == name && one.link_local.is_some())
            }
            _ => None,
        })
    }

    /// What the driver knows.
    pub(crate) fn snapshot(&self) -> metallb_arp::io::linux::Snapshot {
        self.runtime.block_on(self.handle.snapshot()).unwrap()
    }
}

/// Waits until a condition holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const INSIDE: &str = "METALLB_TEST_NAMESPACE";
const REQUIRED: &str = "METALLB_REQUIRE_INTEROP";
