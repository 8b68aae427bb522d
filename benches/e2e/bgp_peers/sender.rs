//! Who tells the prefixes: the speaker of this project, or BIRD.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnetwork::{IpNetwork, Ipv4Network};
use metallb_bgp::io::tokio::{Shutdown, Speaker, SpeakerConfig};
use metallb_bgp::session::{PeerConfig, PeerKey};
use metallb_bgp::table::{Announcement, RouteAttributes};
use metallb_bgp::types::{Asn, RemoteAs, RouterId};

use crate::router::Bird;
use crate::support::Result;
use crate::support::namespace::Namespace;
use crate::{RECEIVER, SENDER};

/// Parts of the table that are announced and withdrawn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The first half of the prefixes.
    First,
    /// The second half.
    Second,
    /// One prefix more.
    Extra,
}

impl Part {
    fn prefixes(self, all: u32) -> impl Iterator<Item = u32> {
        match self {
            Self::First => FIRST..FIRST + all / 2,
            Self::Second => FIRST + all / 2..FIRST + all,
            Self::Extra => EXTRA..EXTRA + 1,
        }
    }
}

/// A speaker with a table of its own.
pub(crate) trait Sender {
    /// Announces these parts.
    fn announce(&mut self, parts: &[Part]) -> Result<()>;

    /// Withdraws these parts.
    fn withdraw(&mut self, parts: &[Part]) -> Result<()>;

    /// Ends the session and starts it again.
    fn restart(&mut self) -> Result<()>;
}

/// The speaker of this project, on a thread of its own in the namespace.
pub(crate) struct Ours {
    prefixes: u32,
    speaker: Speaker,
    runtime: tokio::runtime::Runtime,
    routes: Vec<Announcement>,
}

impl Ours {
    pub(crate) fn new(namespace: &Namespace, prefixes: u32) -> Result<Self> {
        // A runtime with one worker: its thread is started from the namespace, and so is in it.
        let runtime = namespace
            .run(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build())??;
        let (speaker, events) = runtime.block_on(async {
            Speaker::start(SpeakerConfig::new(RouterId::new(SENDER)?)).map_err(crate::support::Error::from)
        })?;
        drop(events);
        let mut peer =
            PeerConfig::new(SocketAddr::from((RECEIVER, 179)), Asn::new(64513), RemoteAs::External, 0);
        peer.connect_time = Some(Duration::from_secs(1));
        speaker.table_complete();
        speaker.set_peer(key(), peer);
        let routes = vec![Announcement { peers: [key()].into(), attributes: RouteAttributes::new() }];
        Ok(Self { prefixes, speaker, runtime, routes })
    }

    fn say(&self, parts: &[Part], routes: &[Announcement]) -> Result<()> {
        for number in parts.iter().flat_map(|part| part.prefixes(self.prefixes)) {
            let prefix = Ipv4Network::new(Ipv4Addr::from_bits(number), 32)?;
            self.speaker.set_prefix(IpNetwork::V4(prefix), routes.to_vec());
        }
        Ok(())
    }
}

impl Sender for Ours {
    fn announce(&mut self, parts: &[Part]) -> Result<()> {
        self.say(parts, &self.routes)
    }

    fn withdraw(&mut self, parts: &[Part]) -> Result<()> {
        self.say(parts, &[])
    }

    fn restart(&mut self) -> Result<()> {
        self.speaker.reset_peer(&key(), "measuring");
        Ok(())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.runtime.block_on(self.speaker.shutdown(Shutdown::Cease { text: String::new() }));
    }
}

fn key() -> PeerKey {
    PeerKey::new("receiver")
}

impl Sender for Bird {
    fn announce(&mut self, parts: &[Part]) -> Result<()> {
        parts.iter().try_for_each(|part| self.ask(&format!("enable {}", name(*part))).map(drop))
    }

    fn withdraw(&mut self, parts: &[Part]) -> Result<()> {
        parts.iter().try_for_each(|part| self.ask(&format!("disable {}", name(*part))).map(drop))
    }

    fn restart(&mut self) -> Result<()> {
        self.ask("restart peer").map(drop)
    }
}

/// A BIRD whose static routes are the table: each part is a protocol that can be switched on and off.
pub(crate) fn bird(namespace: &Namespace, directory: &Path, prefixes: u32) -> Result<Bird> {
    let mut config = format!(
        "router id {SENDER};
protocol bgp peer {{ local {SENDER} as 64513; neighbor {RECEIVER} as 64512; direct;
  ipv4 {{ import none; export all; next hop self; }};
  connect delay time 1; connect retry time 1; error wait time 1,1; }}\n"
    );
    for part in [Part::First, Part::Second, Part::Extra] {
        writeln!(config, "protocol static {} {{ disabled; ipv4;", name(part))?;
        for number in part.prefixes(prefixes) {
            writeln!(config, " route {}/32 blackhole;", Ipv4Addr::from_bits(number))?;
        }
        config.push_str("}\n");
    }
    Bird::start(namespace, directory, "sender", &config)
}

fn name(part: Part) -> &'static str {
    match part {
        Part::First => "first_half",
        Part::Second => "second_half",
        Part::Extra => "one_more",
    }
}

/// 10.0.0.0, the first prefix.
const FIRST: u32 = 0x0a00_0000;
/// 198.51.100.1, the prefix that comes and goes.
const EXTRA: u32 = 0xc633_6401;
