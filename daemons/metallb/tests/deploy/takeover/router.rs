//! A router that a node has a session with.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use metallb_bgp::io::tokio::{Speaker, SpeakerConfig};
use metallb_bgp::session::{Event, OfferedFamilies, PeerConfig, PeerKey};
use metallb_bgp::types::{Asn, RemoteAs, RouterId};

use super::before::{NODE_ADDRESS, ROUTER_ADDRESS};

/// The router, and to what it has routes.
pub(super) struct Router {
    _speaker: Speaker,
    routes: Arc<Mutex<BTreeSet<String>>>,
}

impl Router {
    /// Waits for the node's session. To be called inside of a runtime.
    pub(super) fn start() -> Self {
        let identifier = RouterId::new(Ipv4Addr::new(10, 0, 0, 2)).unwrap();
        let mut config = SpeakerConfig::new(identifier);
        config.listen = vec![SocketAddr::new(ROUTER_ADDRESS.parse().unwrap(), 179)];
        let (speaker, mut events) = Speaker::start(config).unwrap();
        let remote = SocketAddr::new(NODE_ADDRESS.parse().unwrap(), 179);
        let mut peer = PeerConfig::new(remote, Asn::new(64512), RemoteAs::Asn(Asn::new(64500)), 0);
        peer.passive = true;
        peer.import = true;
        peer.families = OfferedFamilies::Both;
        peer.router_id = Some(identifier);
        speaker.set_peer(PeerKey::new("node"), peer);
        speaker.table_complete();
        let routes = Arc::new(Mutex::new(BTreeSet::new()));
        let told = Arc::clone(&routes);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let mut told = told.lock().unwrap();
                match event {
                    Event::Received { update, .. } => {
                        for prefix in update.withdrawn {
                            told.remove(&prefix.ip().to_string());
                        }
                        told.extend(update.announced.iter().map(|(prefix, _)| prefix.ip().to_string()));
                    }
                    Event::StateChanged { .. } => told.clear(),
                    _ => {}
                }
            }
        });
        Self { _speaker: speaker, routes }
    }

    /// The addresses that it has routes to.
    pub(super) fn routes(&self) -> BTreeSet<String> {
        self.routes.lock().unwrap().clone()
    }
}
