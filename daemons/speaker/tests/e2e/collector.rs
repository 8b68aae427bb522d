//! A router that takes routes and gives none, built from `metallb-bgp`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use ipnetwork::IpNetwork;
use metallb_bgp::fsm::State;
use metallb_bgp::io::tokio::{EventReceiver, Speaker, SpeakerConfig};
use metallb_bgp::session::{Authentication, Event, Md5Key, OfferedFamilies, PeerConfig, PeerKey};
use metallb_bgp::types::{Asn, Attributes, RemoteAs, RouterId};

use crate::harness::eventually;
use crate::site::{LOCAL, REMOTE};

/// The router and what it was told.
pub(crate) struct Collector {
    speaker: Speaker,
    peer: PeerConfig,
    told: Arc<Mutex<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    routes: BTreeMap<IpNetwork, Arc<Attributes>>,
    up: bool,
    /// Why sessions ended.
    endings: Vec<String>,
    /// What was withdrawn while the session was up.
    withdrawn: Vec<IpNetwork>,
    /// The prefixes that were there at the first End-of-RIB of the session.
    complete: Option<Vec<String>>,
}

impl Collector {
    /// Listens for our speaker, as AS 64512 or, with `internal`, in its own AS.
    pub(crate) fn start(password: Option<&str>, internal: bool) -> Self {
        let identifier = RouterId::new(Ipv4Addr::new(10, 0, 0, 2)).unwrap();
        let mut config = SpeakerConfig::new(identifier);
        config.listen = vec![SocketAddr::new(REMOTE.parse().unwrap(), 179)];
        let (speaker, events) = Speaker::start(config).unwrap();
        let asn = if internal { 64500 } else { 64512 };
        let remote = SocketAddr::new(LOCAL.parse().unwrap(), 179);
        let mut peer = PeerConfig::new(remote, Asn::new(asn), RemoteAs::Asn(Asn::new(64500)), 0);
        peer.passive = true;
        peer.import = true;
        peer.families = OfferedFamilies::Both;
        peer.router_id = Some(identifier);
        if let Some(password) = password {
            peer.authentication = Authentication::Md5(Md5Key::new(password).unwrap());
        }
        speaker.set_peer(PeerKey::new("node"), peer.clone());
        speaker.table_complete();
        let told = Arc::new(Mutex::new(Told::default()));
        tokio::spawn(listen(events, Arc::clone(&told)));
        Self { speaker, peer, told }
    }

    /// Has other families from now on, which ends a session.
    pub(crate) fn offer(&self, families: OfferedFamilies) {
        let mut peer = self.peer.clone();
        peer.families = families;
        self.speaker.set_peer(PeerKey::new("node"), peer);
    }

    /// Waits until the session is up, or down.
    pub(crate) async fn session(&self, up: bool) {
        eventually(&format!("session up: {up}"), async || (self.told.lock().unwrap().up == up).then_some(()))
            .await;
    }

    /// Whether the session is up.
    pub(crate) fn is_up(&self) -> bool {
        self.told.lock().unwrap().up
    }

    /// Waits for a route.
    pub(crate) async fn route(&self, prefix: &str) -> Arc<Attributes> {
        let prefix = prefix.parse().unwrap();
        eventually(&format!("a route to {prefix}"), async || {
            self.told.lock().unwrap().routes.get(&prefix).cloned()
        })
        .await
    }

    /// Waits until exactly these routes are there.
    pub(crate) async fn routes(&self, wanted: &[&str]) {
        eventually(&format!("exactly {wanted:?}"), async || (self.prefixes() == wanted).then_some(())).await;
    }

    /// The prefixes there are routes to.
    pub(crate) fn prefixes(&self) -> Vec<String> {
        self.told.lock().unwrap().routes.keys().map(ToString::to_string).collect()
    }

    /// Waits for the first End-of-RIB of the session; returns the prefixes that there were routes to.
    pub(crate) async fn complete(&self) -> Vec<String> {
        eventually("End-of-RIB", async || self.told.lock().unwrap().complete.clone()).await
    }

    /// Why sessions ended.
    pub(crate) fn endings(&self) -> Vec<String> {
        self.told.lock().unwrap().endings.clone()
    }

    /// What was withdrawn while the session was up.
    pub(crate) fn withdrawn(&self) -> Vec<String> {
        self.told.lock().unwrap().withdrawn.iter().map(ToString::to_string).collect()
    }
}

async fn listen(mut events: EventReceiver, told: Arc<Mutex<Told>>) {
    while let Some(event) = events.recv().await {
        let mut told = told.lock().unwrap();
        match event {
            Event::StateChanged { state: State::Established, .. } => told.up = true,
            Event::StateChanged { reason, .. } => {
                if told.up {
                    told.endings.extend(reason.map(|reason| reason.to_string()));
                }
                told.up = false;
                told.routes.clear();
                told.complete = None;
            }
            Event::EndOfRib { .. } if told.complete.is_none() => {
                told.complete = Some(told.routes.keys().map(ToString::to_string).collect());
            }
            Event::Received { update, .. } => {
                for prefix in update.withdrawn {
                    told.routes.remove(&prefix);
                    told.withdrawn.push(prefix);
                }
                told.routes.extend(update.announced);
            }
            _ => {}
        }
    }
}
