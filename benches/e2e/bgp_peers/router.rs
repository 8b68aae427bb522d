//! BIRD and FRR as they are started and asked, over their control sockets.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::support::Result;
use crate::support::namespace::{Namespace, Program, find};
use crate::{PATIENCE, RECEIVER, SENDER, wait};

/// The microsecond of the day at which something happened, in UTC.
pub(crate) type Moment = u64;

/// A router that is told prefixes.
pub(crate) trait Receiver {
    /// How many prefixes it has from its peer, as it counts itself.
    fn count(&mut self) -> Result<u64>;

    /// When the session came up the last time, if it is up, as the router says.
    fn established(&mut self) -> Result<Option<Moment>>;
}

/// BIRD.
pub(crate) struct Bird {
    control: UnixStream,
    _program: Program,
}

impl Bird {
    /// Starts BIRD with this configuration after a common beginning.
    pub(crate) fn start(namespace: &Namespace, directory: &Path, name: &str, config: &str) -> Result<Self> {
        let file = |suffix: &str| directory.join(format!("{name}.{suffix}"));
        let text = format!("timeformat protocol iso long us;\nprotocol device {{}}\n{config}");
        std::fs::write(file("conf"), text)?;
        let path = |suffix: &str| file(suffix).to_string_lossy().into_owned();
        let [config, control, pid] = ["conf", "ctl", "pid"].map(path);
        let arguments = ["-f", "-c", &config, "-s", &control, "-P", &pid].map(str::to_owned);
        let program = namespace.start(&find("bird")?, &arguments, File::create(file("out"))?)?;
        let control = connect(&file("ctl"), "BIRD")?;
        let mut bird = Self { control, _program: program };
        bird.answer()?;
        Ok(bird)
    }

    /// A BIRD that waits for the speaker.
    pub(crate) fn receiver(namespace: &Namespace, directory: &Path) -> Result<Self> {
        let config = format!(
            "router id {RECEIVER};
protocol bgp peer {{ local {RECEIVER} as 64512; neighbor {SENDER} as 64513; passive on; direct;
  ipv4 {{ import all; export none; }}; connect delay time 1; connect retry time 1; error wait time 1,1; }}\n"
        );
        Self::start(namespace, directory, "receiver", &config)
    }

    /// The answer to a command.
    pub(crate) fn ask(&mut self, command: &str) -> Result<String> {
        self.control.write_all(format!("{command}\n").as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String> {
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while !is_complete(&text) {
            let read = self.control.read(&mut buffer)?;
            let piece = buffer.get(..read).filter(|piece| !piece.is_empty()).ok_or("BIRD has ended")?;
            text.extend_from_slice(piece);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Receiver for Bird {
    fn count(&mut self) -> Result<u64> {
        let answer = self.ask("show protocols all peer")?;
        let words = answer.split_once("Routes:").map(|(_, rest)| rest.split_whitespace());
        Ok(words.and_then(|mut words| words.next()?.parse().ok()).unwrap_or(0))
    }

    fn established(&mut self) -> Result<Option<Moment>> {
        let answer = self.ask("show protocols peer")?;
        let line = answer.lines().find(|line| line.contains("Established"));
        Ok(line.and_then(moment))
    }
}

/// An answer ends with a line of four digits and a space.
fn is_complete(text: &[u8]) -> bool {
    let Some(text) = text.strip_suffix(b"\n") else { return false };
    let last = text.rsplit(|octet| *octet == b'\n').next().unwrap_or_default();
    last.get(..4).is_some_and(|code| code.iter().all(u8::is_ascii_digit)) && last.get(4) == Some(&b' ')
}

/// FRR's bgpd, without zebra, that waits for the speaker.
pub(crate) struct Frr {
    vty: UnixStream,
    log: std::path::PathBuf,
    _program: Program,
}

impl Frr {
    pub(crate) fn receiver(namespace: &Namespace, directory: &Path) -> Result<Self> {
        let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
        let log = directory.join("bgpd.log");
        std::fs::write(directory.join("bgpd.conf"), frr_config(&log))?;
        let mut arguments = ["-S", "-Z", "-n", "-P", "0"].map(str::to_owned).to_vec();
        for (option, value) in [
            ("-f", path("bgpd.conf")),
            ("-i", path("bgpd.pid")),
            ("--vty_socket", directory.to_string_lossy().into_owned()),
        ] {
            arguments.extend([option.to_owned(), value]);
        }
        let output = File::create(directory.join("bgpd.out"))?;
        let program = namespace.start(&find("bgpd")?, &arguments, output)?;
        let vty = connect(&directory.join("bgpd.vty"), "bgpd")?;
        let mut frr = Self { vty, log, _program: program };
        frr.ask("enable")?;
        Ok(frr)
    }

    fn ask(&mut self, command: &str) -> Result<String> {
        self.vty.write_all(command.as_bytes())?;
        self.vty.write_all(&[0])?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        // An answer ends with three zero octets and a status.
        loop {
            let read = self.vty.read(&mut buffer)?;
            let piece = buffer.get(..read).filter(|piece| !piece.is_empty()).ok_or("bgpd has ended")?;
            answer.extend_from_slice(piece);
            if let Some((text, [0, 0, 0, _])) = answer.split_last_chunk() {
                return Ok(String::from_utf8_lossy(text).into_owned());
            }
        }
    }
}

impl Receiver for Frr {
    fn count(&mut self) -> Result<u64> {
        let answer: serde_json::Value = serde_json::from_str(&self.ask("show bgp summary json")?)?;
        let peer = answer.pointer(&format!("/ipv4Unicast/peers/{SENDER}/pfxRcd"));
        Ok(peer.and_then(serde_json::Value::as_u64).unwrap_or(0))
    }

    fn established(&mut self) -> Result<Option<Moment>> {
        let log = std::fs::read_to_string(&self.log)?;
        let last = log.lines().rfind(|line| line.contains("ADJCHANGE"));
        Ok(last.filter(|line| line.ends_with(" Up")).and_then(moment))
    }
}

/// The log says to the microsecond when the session came up; only a file named here does that.
fn frr_config(log: &Path) -> String {
    format!(
        "log timestamp precision 6
log file {} informational
router bgp 64512
 bgp router-id {RECEIVER}
 bgp log-neighbor-changes
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 neighbor {SENDER} remote-as 64513
 neighbor {SENDER} passive
 neighbor {SENDER} timers connect 1
 address-family ipv4 unicast
  neighbor {SENDER} activate
 exit-address-family
",
        log.display()
    )
}

/// Connects to the socket of a daemon that has just been started.
fn connect(path: &Path, name: &str) -> Result<UnixStream> {
    let stream = wait(&format!("{name} listens"), || Ok(UnixStream::connect(path).ok()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The first time of the day in a line, as `20:50:33.123456`.
fn moment(line: &str) -> Option<Moment> {
    line.split_whitespace().find_map(|word| {
        let (time, micros) = word.split_once('.')?;
        let mut parts = time.split(':').map(str::parse::<u64>);
        let (Some(Ok(hours)), Some(Ok(minutes)), Some(Ok(seconds)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let micros = micros.get(..6)?.parse::<u64>().ok()?;
        Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros)
    })
}

/// How long ago that was.
pub(crate) fn since(moment: Moment) -> Result<Duration> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let now = u64::try_from(now.as_micros())? % DAY;
    Ok(Duration::from_micros((now + DAY - moment) % DAY))
}

/// Microseconds in a day.
const DAY: u64 = 86_400_000_000;
