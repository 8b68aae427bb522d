//! A daemon as a child process.

use std::net::{Ipv6Addr, TcpListener};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{Cluster, eventually};

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    pub(crate) metrics: u16,
    pub(crate) secure: u16,
    pub(crate) probes: u16,
    pub(crate) debug: u16,
}

/// A port that nobody listens on, and that nobody else gets: below those that the system gives to connections, and
/// handed out once only.
pub(crate) fn free_port() -> u16 {
    static HANDED_OUT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % u32::from(PORTS)).unwrap();
    loop {
        let next = own.wrapping_add(HANDED_OUT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let port = FIRST_PORT + next;
        if TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}

/// The first port that tests use, and how many there are: up to where Linux begins with ports of its own choice.
const FIRST_PORT: u16 = 12_768;
const PORTS: u16 = 20_000;

/// For how long, and a little more, a text of metrics is handed out again.
const CACHED: Duration = Duration::from_millis(110);

impl Daemon {
    /// Starts a program with a kubeconfig for the cluster, ports of its own and these arguments.
    pub(crate) fn start(program: &str, cluster: &Cluster, args: &[&str]) -> Self {
        let (metrics, secure, probes, debug) = (free_port(), free_port(), free_port(), free_port());
        let mut command = Command::new(program);
        command
            .args([format!("--port={metrics}"), format!("--secure-port={secure}")])
            .arg(format!("--health-probe-port={probes}"))
            .arg(format!("--pprof-bind-address=127.0.0.1:{debug}"))
            .args(args);
        let mut daemon = spawn(command, &[], Some(cluster)).with_ports(metrics, secure, probes);
        daemon.debug = debug;
        daemon
    }

    /// The same daemon, which serves there.
    pub(crate) fn with_ports(mut self, metrics: u16, secure: u16, probes: u16) -> Self {
        (self.metrics, self.secure, self.probes) = (metrics, secure, probes);
        self
    }

    /// Runs a program with nothing but these arguments to its end.
    pub(crate) async fn run(program: &str, args: &[&str]) -> (ExitStatus, String) {
        Self::run_in(program, &[], args).await
    }

    /// Runs a program with nothing but these variables and arguments to its end.
    pub(crate) async fn run_in(program: &str, env: &[(&str, &str)], args: &[&str]) -> (ExitStatus, String) {
        let mut command = Command::new(program);
        command.args(args);
        let mut daemon = spawn(command, env, None);
        let ended = tokio::time::timeout(super::PATIENCE, daemon.child.wait()).await;
        let status = ended.expect("the program ends").unwrap();
        let text = eventually("the output is read", async || {
            (Arc::strong_count(&daemon.log) == 1).then(|| daemon.log().join("\n"))
        })
        .await;
        (status, text)
    }

    /// The lines logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line that contains all of these; returns it.
    pub(crate) async fn says(&self, words: &[&str]) -> String {
        eventually(&format!("a line with {words:?}"), async || {
            self.log().into_iter().find(|line| words.iter().all(|word| line.contains(word)))
        })
        .await
    }

    /// Waits until `/readyz` says so.
    pub(crate) async fn ready(&self) {
        eventually("the daemon is ready", async || {
            let (status, _) = get(self.probes, "/readyz").await?;
            (status == 200).then_some(())
        })
        .await;
    }

    /// The status with which a path is answered where the probes are.
    pub(crate) async fn probe(&self, path: &str) -> Option<u16> {
        get(self.probes, path).await.map(|(status, _)| status)
    }

    /// Waits until `/readyz` says that it is not ready, and why.
    pub(crate) async fn lacks(&self, words: &[&str]) {
        eventually(&format!("not ready because of {words:?}"), async || {
            let (status, text) = get(self.probes, "/readyz").await?;
            (status == 503 && words.iter().all(|word| text.contains(word))).then_some(())
        })
        .await;
    }

    /// The metrics, as text, once the endpoint is there: as they are after the call, not those that were handed out before.
    pub(crate) async fn scrape(&self) -> String {
        tokio::time::sleep(CACHED).await;
        let (status, text) =
            eventually("the endpoint answers", async || get(self.metrics, "/metrics").await).await;
        assert_eq!(status, 200, "{text}");
        text
    }

    /// Waits until this series has this value.
    pub(crate) async fn shows(&self, series: &str, value: &str) {
        let line = format!("{series} {value}");
        let mut last = String::new();
        for _ in 0..200 {
            last = self.scrape().await;
            if last.lines().any(|found| found == line) {
                return;
            }
        }
        panic!("{line} never came:\n{last}");
    }

    /// The state as JSON.
    pub(crate) async fn state(&self) -> serde_json::Value {
        let (status, text) = self.state_at("").await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The state of one service, in full.
    pub(crate) async fn state_of(&self, service: &str) -> serde_json::Value {
        let (status, text) = self.state_at(&format!("/{service}")).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// What is answered below the path of the state.
    pub(crate) async fn state_at(&self, path: &str) -> (u16, String) {
        let path = format!("/debug/state{path}");
        eventually("the endpoint answers", async || get(self.debug, &path).await).await
    }

    /// Sends SIGTERM and waits for the end; returns how long that took.
    pub(crate) async fn terminate(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        self.signal(Signal::SIGTERM);
        let ended = tokio::time::timeout(super::PATIENCE, self.child.wait()).await;
        (ended.expect("the daemon ends").unwrap(), begun.elapsed())
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("the daemon runs")
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the daemon\n{}\n---", self.log().join("\n"));
        }
    }
}

/// Starts a program with these variables of ours, and no others, and a kubeconfig for the cluster.
pub(super) fn spawn(mut command: Command, env: &[(&str, &str)], cluster: Option<&Cluster>) -> Daemon {
    let ours = ["METALLB_", "FRRK8S_", "FRR_", "KUBECONFIG"];
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| ours.iter().any(|start| name.starts_with(start))) {
            command.env_remove(name);
        }
    }
    command.envs(env.iter().copied());
    let account = Path::new(command.as_std().get_program()).file_name().unwrap().to_str().unwrap().to_owned();
    command.envs(cluster.map(|cluster| ("KUBECONFIG", cluster.kubeconfig(&account))));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&log);
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = stderr.next_line().await {
            lines.lock().unwrap().push(line);
        }
    });
    Daemon { child, log, metrics: 0, secure: 0, probes: 0, debug: 0 }
}

/// A request over HTTP; `None` when nobody listens.
pub(crate) async fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    assert!(!head.contains("chunked"), "{head}");
    Some((status, body.to_owned()))
}
