//! Two network namespaces with a link between them, a router in one, the speaker under test in the other.

use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The speaker's addresses.
pub(crate) const SPEAKER: [&str; 3] = ["192.0.2.2", "2001:db8:ff::2", "192.0.2.3"];
/// The router's addresses.
pub(crate) const ROUTER: [&str; 2] = ["192.0.2.1", "2001:db8:ff::1"];

/// Everything a test made; gone when it is dropped, whatever happened.
pub(crate) struct Lab {
    pub(crate) directory: TempDir,
    router: Child,
    speaker: Child,
    children: Vec<(String, Child)>,
}

impl Lab {
    /// A lab, or `None` with the reason printed if this machine cannot have one. With
    /// `METALLB_REQUIRE_INTEROP=1` a missing tool is a failure.
    pub(crate) fn new(tools: &[&str]) -> Option<Self> {
        let missing = tools.iter().find(|tool| which(tool).is_none());
        let result = match missing {
            Some(tool) => Err(format!("{tool} is not installed")),
            None => Self::build(),
        };
        match result {
            Ok(lab) => Some(lab),
            Err(reason) if std::env::var_os("METALLB_REQUIRE_INTEROP").is_some() => {
                panic!("interop required, but {reason}")
            }
            Err(reason) => {
                eprintln!("skipped: {reason}");
                None
            }
        }
    }

    fn build() -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let router = hold_namespace()?;
        let speaker = hold_namespace()?;
        let lab = Self { directory, router, speaker, children: Vec::new() };
        lab.link("vrouter", "vspeaker")?;
        lab.router_ip(&["addr", "add", &format!("{}/24", ROUTER[0]), "dev", "vrouter"])?;
        lab.router_ip(&["addr", "add", &format!("{}/64", ROUTER[1]), "dev", "vrouter", "nodad"])?;
        lab.speaker_ip(&["addr", "add", &format!("{}/24", SPEAKER[0]), "dev", "vspeaker"])?;
        lab.speaker_ip(&["addr", "add", &format!("{}/24", SPEAKER[2]), "dev", "vspeaker"])?;
        lab.speaker_ip(&["addr", "add", &format!("{}/64", SPEAKER[1]), "dev", "vspeaker", "nodad"])?;
        for device in ["lo", "vrouter"] {
            lab.router_ip(&["link", "set", device, "up"])?;
        }
        for device in ["lo", "vspeaker"] {
            lab.speaker_ip(&["link", "set", device, "up"])?;
        }
        Ok(lab)
    }

    /// Makes a link between a device at the router and one at the speaker.
    pub(crate) fn link(&self, router: &str, speaker: &str) -> Result<(), String> {
        self.router_ip(&["link", "add", router, "type", "veth", "peer", "name", speaker])?;
        self.router_ip(&["link", "set", speaker, "netns", &self.speaker.id().to_string()])
    }

    /// Runs `ip` in the router's namespace.
    pub(crate) fn router_ip(&self, arguments: &[&str]) -> Result<(), String> {
        in_namespace(&self.router, "ip", arguments).map(|_| ())
    }

    /// Runs a program in the router's namespace and returns what it prints.
    pub(crate) fn router_says(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        in_namespace(&self.router, program, arguments)
    }

    /// Runs `ip` in the speaker's namespace.
    pub(crate) fn speaker_ip(&self, arguments: &[&str]) -> Result<(), String> {
        in_namespace(&self.speaker, "ip", arguments).map(|_| ())
    }

    /// Runs a program in the speaker's namespace and returns what it prints.
    pub(crate) fn speaker_says(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        in_namespace(&self.speaker, program, arguments)
    }

    /// Loads nftables rules in the router's namespace.
    pub(crate) fn nft(&self, rules: &str) {
        let file = self.write("rules.nft", rules);
        in_namespace(&self.router, "nft", &["-f", &file.to_string_lossy()]).unwrap();
    }

    /// A value of `/proc/net/netstat` in the router's namespace.
    pub(crate) fn netstat(&self, name: &str) -> u64 {
        netstat(&self.router, name)
    }

    /// A value of `/proc/net/netstat` in the speaker's namespace.
    pub(crate) fn speaker_netstat(&self, name: &str) -> u64 {
        netstat(&self.speaker, name)
    }

    /// Writes a file into the lab's directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts a daemon in the router's namespace; it ends with the lab.
    pub(crate) fn start(&mut self, program: &str, arguments: &[&str]) {
        let log = File::create(self.directory.path().join("daemon.out")).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "nsenter", "-t", &self.router.id().to_string(), "-n"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        self.children.push((program.to_owned(), child));
    }

    /// Sends a signal to a daemon of this lab.
    pub(crate) fn signal(&self, program: &str, signal: Signal) {
        let named = |(name, _): &&(String, Child)| Path::new(name).ends_with(program);
        let (_, child) = self.children.iter().find(named).unwrap();
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    }

    /// Starts a program in the speaker's namespace; the caller ends it.
    pub(crate) fn start_speaker(&self, program: &Path, arguments: &[&str], variable: (&str, &str)) -> Child {
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "nsenter", "-t", &self.speaker.id().to_string(), "-n"])
            .arg(program)
            .args(arguments)
            .env(variable.0, variable.1)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Runs the test's future on a thread in the speaker's namespace.
    pub(crate) fn run<T: Send>(&mut self, test: impl AsyncFnOnce(&mut Self) -> T + Send) -> T {
        let speaker = self.speaker.id();
        within_namespace(speaker, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test(self))
        })
    }

    /// Does something in the router's namespace. Sockets that are made there stay there.
    pub(crate) fn at_router<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        within_namespace(self.router.id(), action)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = self.directory.path().join("daemon.out");
            eprintln!("daemon said: {}", std::fs::read_to_string(path).unwrap_or_default());
            let log = std::fs::read_to_string(self.directory.path().join("bgpd.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"));
        }
        let children = self.children.iter_mut().map(|(_, child)| child);
        for child in children.chain([&mut self.router, &mut self.speaker]) {
            // A child that has ended already is as good as killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A process that does nothing but hold a network namespace.
fn hold_namespace() -> Result<Child, String> {
    let own = std::fs::read_link("/proc/self/ns/net").map_err(|error| error.to_string())?;
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--net", "sleep", "600"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("setpriv: {error}"))?;
    let path = format!("/proc/{}/ns/net", child.id());
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if std::fs::read_link(&path).is_ok_and(|link| link != own) {
            return Ok(child);
        }
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return Err("network namespaces cannot be made here (not root, or switched off)".to_owned());
        }
        std::thread::yield_now();
    }
    Err("making a network namespace takes too long".to_owned())
}

/// Runs something on a thread in the namespace that a process holds.
fn within_namespace<T: Send>(holder: u32, action: impl FnOnce() -> T + Send) -> T {
    let path = format!("/proc/{holder}/ns/net");
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            action()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn in_namespace(holder: &Child, program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("nsenter")
        .args(["-t", &holder.id().to_string(), "-n", program])
        .args(arguments)
        .output()
        .map_err(|error| format!("nsenter: {error}"))?;
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{program} {arguments:?}: {}", text(&output.stderr)))
    }
}

fn netstat(holder: &Child, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/net/netstat", holder.id())).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let mut pairs = lines.chunks_exact(2).flat_map(|pair| pair[0].iter().zip(&pair[1]));
    pairs.find(|(key, _)| **key == name).unwrap().1.parse().unwrap()
}

/// Where a program is. FRR's come first, because OpenBGPD has a `bgpd`, too.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let frr = std::iter::once(PathBuf::from("/usr/lib/frr"));
    let places = frr.chain(std::env::split_paths(&path)).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    places.map(|place| place.join(program)).find(|candidate| candidate.is_file())
}

/// Asks again and again until the answer is there.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, ask).await
}

/// As [`eventually`], with a limit.
pub(crate) async fn within<T>(limit: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let answer: Result<T, _> = tokio::time::timeout(limit, asking).await;
    answer.unwrap_or_else(|_| panic!("{what}: not within {limit:?}"))
}

/// The router's address of this family.
pub(crate) fn router(v6: bool) -> IpAddr {
    ROUTER[usize::from(v6)].parse().unwrap()
}

/// Lines of a daemon's log shown after a failure.
const LOG_LINES: usize = 40;
