//! FRR and BIRD as they are asked and told.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::lab::{Lab, eventually, which};

/// FRR's bgpd without zebra.
pub(crate) struct Frr {
    socket: PathBuf,
}

impl Frr {
    /// Starts bgpd with this configuration.
    pub(crate) async fn start(lab: &mut Lab, config: &str) -> Self {
        let directory = lab.directory.path().to_owned();
        let config = lab.write("bgpd.conf", config);
        let log = directory.join("bgpd.log");
        let program = which("bgpd").unwrap();
        let vty = directory.to_string_lossy().into_owned();
        let arguments = [
            "-S".to_owned(),
            "-Z".to_owned(),
            "-n".to_owned(),
            "-P".to_owned(),
            "0".to_owned(),
            "-f".to_owned(),
            config.to_string_lossy().into_owned(),
            "-i".to_owned(),
            directory.join("bgpd.pid").to_string_lossy().into_owned(),
            "--vty_socket".to_owned(),
            vty,
            "--log".to_owned(),
            format!("file:{}", log.display()),
            "--log-level".to_owned(),
            "debug".to_owned(),
        ];
        lab.start(&program.to_string_lossy(), &arguments.each_ref().map(String::as_str));
        let frr = Self { socket: directory.join("bgpd.vty") };
        eventually("bgpd answers", async || frr.try_ask("show bgp summary json").map(|_| ())).await;
        frr
    }

    /// Starts zebra, bfdd and bgpd with one configuration for all; returns bgpd and bfdd.
    pub(crate) async fn start_with_bfd(lab: &mut Lab, config: &str) -> (Self, Self) {
        let directory = lab.directory.path().to_owned();
        let place = |name: &str| directory.join(name).to_string_lossy().into_owned();
        let config = lab.write("frr.conf", config).to_string_lossy().into_owned();
        // The daemons go on as a user of their own.
        let owner = std::process::Command::new("chown").args(["-R", "frr:frr", &place("")]).status().unwrap();
        assert!(owner.success());
        for daemon in ["zebra", "bfdd", "bgpd"] {
            let program = which(daemon).unwrap().to_string_lossy().into_owned();
            let (pid, zebra, log) =
                (place(&format!("{daemon}.pid")), place("zserv.api"), place(&format!("{daemon}.log")));
            let log = format!("file:{log}");
            let (vty, control) = (place(""), place("bfdd.sock"));
            let mut arguments = vec![
                "-P",
                "0",
                "-f",
                "/dev/null",
                "-i",
                &pid,
                "-z",
                &zebra,
                "--vty_socket",
                &vty,
                "--log",
                &log,
            ];
            if daemon == "bfdd" {
                arguments.extend(["--bfdctl", &control]);
            }
            lab.start(&program, &arguments);
            let socket = directory.join(format!("{daemon}.vty"));
            eventually(daemon, async || UnixStream::connect(&socket).ok()).await;
        }
        lab.router_says("vtysh", &["--vty_socket", &place(""), "-f", &config]).unwrap();
        (Self { socket: directory.join("bgpd.vty") }, Self { socket: directory.join("bfdd.vty") })
    }

    /// The answer to a command as JSON; null when there is none.
    pub(crate) fn json(&self, command: &str) -> Value {
        let text = self.try_ask(command).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Gives configuration commands.
    pub(crate) fn configure(&self, commands: &[&str]) {
        let mut all = vec!["enable", "configure terminal"];
        all.extend(commands);
        self.dialogue(&all).unwrap();
    }

    /// What bgpd has of a prefix.
    pub(crate) fn route(&self, prefix: &str) -> Value {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        self.json(&format!("show bgp {family} unicast {prefix} json"))["paths"][0].clone()
    }

    /// Everything about a neighbour.
    pub(crate) fn neighbour(&self, neighbour: &str) -> Value {
        self.json(&format!("show bgp neighbors {neighbour} json"))[neighbour].clone()
    }

    /// Waits until bgpd, too, calls the session established. We do one KEEPALIVE earlier, and what is done to bgpd
    /// in between ends a connection that it does not yet count as this neighbour's.
    pub(crate) async fn until_established(&self, neighbour: &str) {
        let agrees = async || (self.neighbour(neighbour)["bgpState"] == "Established").then_some(());
        eventually("bgpd says established", agrees).await;
    }

    fn try_ask(&self, command: &str) -> Option<String> {
        self.dialogue(&["enable", command]).ok()
    }

    /// Says one command after the other; returns the last answer.
    fn dialogue(&self, commands: &[&str]) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut answer = Vec::new();
        for command in commands {
            stream.write_all(command.as_bytes())?;
            stream.write_all(&[0])?;
            answer.clear();
            // An answer ends with three zero octets and a status.
            while answer.len() < 4 || !answer[..answer.len() - 1].ends_with(&[0, 0, 0]) {
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer)?;
                if count == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                answer.extend_from_slice(&buffer[..count]);
            }
        }
        answer.truncate(answer.len() - 4);
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// BIRD.
pub(crate) struct Bird {
    socket: PathBuf,
}

impl Bird {
    /// Starts BIRD with this configuration after a common beginning.
    pub(crate) async fn start(lab: &mut Lab, config: &str) -> Self {
        let directory = lab.directory.path().to_owned();
        let config = format!(
            "router id 192.0.2.1;\nlog \"{}\" all;\ndebug protocols {{ states, events }};\nprotocol device {{}}\n{config}",
            directory.join("bird.log").display()
        );
        let config = lab.write("bird.conf", &config).to_string_lossy().into_owned();
        let socket = directory.join("bird.ctl");
        let program = which("bird").unwrap();
        let control = socket.to_string_lossy().into_owned();
        let pid = directory.join("bird.pid").to_string_lossy().into_owned();
        lab.start(&program.to_string_lossy(), &["-f", "-c", &config, "-s", &control, "-P", &pid]);
        let bird = Self { socket };
        eventually("BIRD answers", async || bird.try_ask("show status").ok()).await;
        bird
    }

    /// The answer to a command.
    pub(crate) fn ask(&self, command: &str) -> String {
        self.try_ask(command).unwrap_or_default()
    }

    /// Whether BIRD has a route with all these words.
    pub(crate) fn has_route(&self, prefix: &str, words: &[&str]) -> Option<()> {
        let answer = self.ask(&format!("show route {prefix} all"));
        let all = answer.contains(prefix) && words.iter().all(|word| answer.contains(word));
        all.then_some(())
    }

    /// Waits until BIRD, too, calls the session `node` established.
    pub(crate) async fn until_established(&self) {
        let agrees = async || self.ask("show protocols node").contains("Established").then_some(());
        eventually("BIRD says established", agrees).await;
    }

    fn try_ask(&self, command: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut text = String::new();
        for (round, line) in ["", command].into_iter().enumerate() {
            if round > 0 {
                stream.write_all(format!("{line}\n").as_bytes())?;
                text.clear();
            }
            while !is_complete(&text) {
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer)?;
                if count == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                text.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        }
        Ok(text)
    }
}

/// An answer ends with a line of four digits and a space.
fn is_complete(text: &str) -> bool {
    let Some(last) = text.strip_suffix('\n').and_then(|text| text.lines().last()) else { return false };
    last.len() >= 5 && last.as_bytes()[..4].iter().all(u8::is_ascii_digit) && last.as_bytes()[4] == b' '
}
