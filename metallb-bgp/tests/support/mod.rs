//! What the driver's tests share.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnetwork::IpNetwork;
use metallb_bgp::addresses::InternalAddresses;
use metallb_bgp::fsm::State;
use metallb_bgp::io::tokio::{EventReceiver, Speaker, SpeakerConfig};
use metallb_bgp::session::{Event, PeerConfig, PeerKey, PeerSnapshot};
use metallb_bgp::table::{Announcement, RouteAttributes};
use metallb_bgp::types::{Asn, Attributes, Family, RemoteAs, RouterId};
use std::sync::Arc;

/// How long anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn mk_id(last: u8) -> RouterId {
    RouterId::new(Ipv4Addr::new(10, 0, 0, last)).unwrap()
}

pub(crate) fn mk_speaker(id: u8, listen: &[&str]) -> (Speaker, EventReceiver) {
    let mut config = SpeakerConfig::new(mk_id(id));
    // For sessions over the loopback.
    config.internal_addresses = InternalAddresses {
        v4: Some(Ipv4Addr::new(192, 0, 2, 200 + id % 50)),
        v6: Some(format!("2001:db8::{id}").parse().unwrap()),
    };
    config.listen = listen.iter().map(|address| address.parse().unwrap()).collect();
    Speaker::start(config).unwrap()
}

pub(crate) fn mk_peer(remote: SocketAddr, local: u32, peer: u32) -> PeerConfig {
    PeerConfig::new(remote, Asn::new(local), RemoteAs::Asn(Asn::new(peer)), 0)
}

pub(crate) fn to(peer: &str, attributes: RouteAttributes) -> Vec<Announcement> {
    vec![Announcement { peers: [PeerKey::from(peer)].into(), attributes }]
}

pub(crate) fn prefix(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

/// What a collector has been told.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(crate) held: BTreeMap<IpNetwork, Arc<Attributes>>,
    pub(crate) ended: Vec<Family>,
    pub(crate) state: BTreeMap<PeerKey, State>,
    pub(crate) states: Vec<(PeerKey, State, Option<String>)>,
}

impl Routes {
    pub(crate) fn take(&mut self, event: Event) {
        match event {
            Event::Received { update, .. } => {
                for prefix in update.withdrawn {
                    self.held.remove(&prefix);
                }
                self.held.extend(update.announced);
            }
            Event::EndOfRib { family, .. } => self.ended.push(family),
            Event::StateChanged { peer, state, reason } => {
                if state != State::Established && self.state.get(&peer) == Some(&State::Established) {
                    self.held.clear();
                    self.ended.clear();
                }
                self.state.insert(peer.clone(), state);
                self.states.push((peer, state, reason.map(|reason| reason.to_string())));
            }
            _ => {}
        }
    }

    /// Takes events until `done`.
    pub(crate) async fn until(
        &mut self,
        events: &mut EventReceiver,
        what: &str,
        mut done: impl FnMut(&Self) -> bool,
    ) {
        let wait = async {
            while !done(self) {
                match events.recv().await {
                    Some(event) => self.take(event),
                    None => break,
                }
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, wait).await.is_ok();
        assert!(in_time && done(self), "{what}: {:?} {:?}", self.states, self.held.keys());
    }
}

/// The session is established.
pub(crate) fn up(snapshot: &PeerSnapshot) -> bool {
    snapshot.state == State::Established
}

/// Asks for snapshots until one peer's is as wanted.
pub(crate) async fn snapshot_until(
    speaker: &Speaker,
    peer: &str,
    what: &str,
    done: impl Fn(&PeerSnapshot) -> bool,
) -> PeerSnapshot {
    let mut last = None;
    let wait = async {
        loop {
            let all = speaker.snapshot().await;
            if let Some(snapshot) = all.into_iter().find(|s| s.peer.as_str() == peer) {
                if done(&snapshot) {
                    return snapshot;
                }
                last = Some(snapshot);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, wait).await;
    answer.unwrap_or_else(|_| panic!("{what}: {last:#?}"))
}
