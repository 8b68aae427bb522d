//! The speaker's metrics, computed from its state and its drivers'.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use metallb_arp::io::linux;
use metallb_bgp::bfd::{Counters as BfdCounters, PathSnapshot, wire::State as PathState};
use metallb_bgp::fsm::State;
use metallb_bgp::io::bfd::BfdSnapshot;
use metallb_bgp::io::tokio::Speaker as BgpSpeaker;
use metallb_bgp::session::{Counters, PeerSnapshot};
use metallb_core::config::{Config, Peer};
use metallb_k8s::queue::Queue;
use metallb_k8s::write::Stats;
use metallb_runtime::common_metrics;
use metallb_runtime::metrics::{Family, Kind, number};

use crate::announcer::Announcer;
use crate::inputs::Key;
use crate::membership;

/// What the owner of the announcements knows itself.
pub(crate) fn own(node: &str, announcer: &Announcer, queue: &Queue<Key>, stats: &Arc<Stats>) -> Vec<Family> {
    let mut families = common_metrics::api_client(stats);
    families.extend(common_metrics::configuration(announcer.is_started(), announcer.problems()));
    families.extend(common_metrics::process(queue.depth(), queue.oldest()));
    let mut announced =
        Family::new("metallb_speaker_announced", Kind::Gauge, "Services announced from this node");
    for entry in announcer.engine().announced() {
        let labels = vec![
            ("service", entry.service.to_string()),
            ("protocol", entry.protocol.as_str().to_owned()),
            ("node", node.to_owned()),
            ("ip", entry.address.to_string()),
        ];
        announced.push(labels, 1.0);
    }
    families.push(announced);
    families
}

/// What there is before anything is known.
pub(crate) fn starting(stats: &Stats) -> Vec<Family> {
    let mut families = common_metrics::api_client(stats);
    families.extend(common_metrics::configuration(false, &[]));
    families.extend(common_metrics::process(0, std::time::Duration::ZERO));
    families
}

/// What the series of this node are labelled with.
#[derive(Clone, Debug)]
pub(crate) struct Labels {
    node: String,
    /// The VRF of each peer that has one.
    vrfs: BTreeMap<String, String>,
}

impl Labels {
    /// For this node and its peers.
    pub(crate) fn new(node: &str, config: &Config) -> Self {
        let vrf = |peer: &Peer| Some((peer.name.to_string(), peer.vrf.as_ref()?.to_string()));
        Self { node: node.to_owned(), vrfs: config.peers().values().filter_map(|peer| vrf(peer)).collect() }
    }

    fn of(&self, peer: &str, remote: IpAddr) -> Vec<(&'static str, String)> {
        let mut labels = vec![("peer", remote.to_string()), ("node", self.node.clone())];
        labels.extend(self.vrfs.get(peer).map(|vrf| ("vrf", vrf.clone())));
        labels
    }
}

/// What the drivers know.
pub(crate) async fn drivers(
    labels: &Labels,
    layer2: &linux::Handle,
    bgp: &BgpSpeaker,
    membership: Option<&membership::Handle>,
) -> Vec<Family> {
    let mut families = Vec::new();
    if let Ok(snapshot) = layer2.snapshot().await {
        families.extend(self::layer2(&labels.node, &snapshot));
    }
    families.extend(sessions(labels, &bgp.snapshot().await));
    families.extend(bfd(labels, &bgp.bfd_snapshot().await));
    if let Some(membership) = membership
        && let Some(numbers) = membership.numbers().await
    {
        families.extend(members(numbers));
    }
    families
}

fn layer2(node: &str, snapshot: &linux::Snapshot) -> Vec<Family> {
    // Both spellings are in use in published guides.
    let names: [(&'static str, &'static str, AddressNumber); 6] = [
        ("metallb_layer2_requests_received", "Requests for announced addresses", |counters| {
            counters.requests
        }),
        ("metallb_layer2_requests_received_total", "Requests for announced addresses", |counters| {
            counters.requests
        }),
        ("metallb_layer2_responses_sent", "Answers to them", |counters| counters.responses),
        ("metallb_layer2_responses_sent_total", "Answers to them", |counters| counters.responses),
        ("metallb_layer2_gratuitous_sent", "Unsolicited announcements", |counters| counters.gratuitous),
        ("metallb_layer2_gratuitous_sent_total", "Unsolicited announcements", |counters| counters.gratuitous),
    ];
    let mut families: Vec<Family> = names
        .into_iter()
        .map(|(name, help, count)| {
            let mut family = Family::new(name, Kind::Counter, help);
            for (address, counters) in &snapshot.addresses {
                let labels = vec![("node", node.to_owned()), ("ip", address.to_string())];
                family.push(labels, number(count(counters)));
            }
            family
        })
        .collect();
    let mut conflicts = Family::new(
        "metallb_layer2_conflicts_total",
        Kind::Counter,
        "Claims of other machines to the address",
    );
    for (address, counters) in &snapshot.addresses {
        conflicts.push(vec![("ip", address.to_string())], number(counters.conflicts));
    }
    families.push(conflicts);
    families.push(Family::single(
        "metallb_layer2_malformed_total",
        Kind::Counter,
        "Frames that could not be read",
        number(snapshot.frames.malformed),
    ));
    families
}

/// A number of an address.
type AddressNumber = fn(&metallb_arp::responder::Counters) -> u64;

/// A number of a session.
type Number = fn(&PeerSnapshot) -> u64;

/// Name, kind, help and value of each family with one series per session.
const SESSION_FAMILIES: [(&str, Kind, &str, Number); 13] = [
    ("metallb_bgp_session_up", Kind::Gauge, "1 if the session is established", |peer| u64::from(is_up(peer))),
    ("metallb_bgp_announced_prefixes_total", Kind::Gauge, "Prefixes the peer has been told", |peer| {
        peer.advertised_v4.saturating_add(peer.advertised_v6)
    }),
    ("metallb_bgp_pending_prefixes_total", Kind::Gauge, "Changes not written to the peer yet", |peer| {
        peer.queued_changes
    }),
    ("metallb_bgp_received_prefixes_total", Kind::Gauge, "Prefixes the peer has announced", |peer| {
        peer.received_prefixes
    }),
    ("metallb_bgp_updates_total", Kind::Counter, "UPDATE messages sent", |peer| counters(peer).updates_sent),
    ("metallb_bgp_updates_total_received", Kind::Counter, "UPDATE messages received", |peer| {
        counters(peer).updates_received
    }),
    ("metallb_bgp_opens_sent", Kind::Counter, "OPEN messages sent", |peer| counters(peer).opens_sent),
    ("metallb_bgp_opens_received", Kind::Counter, "OPEN messages received", |peer| {
        counters(peer).opens_received
    }),
    ("metallb_bgp_notifications_sent", Kind::Counter, "NOTIFICATION messages sent", |peer| {
        counters(peer).notifications_sent
    }),
    ("metallb_bgp_keepalives_sent", Kind::Counter, "KEEPALIVE messages sent", |peer| {
        counters(peer).keepalives_sent
    }),
    ("metallb_bgp_keepalives_received", Kind::Counter, "KEEPALIVE messages received", |peer| {
        counters(peer).keepalives_received
    }),
    ("metallb_bgp_route_refresh_sent", Kind::Counter, "ROUTE-REFRESH messages sent", |peer| {
        counters(peer).refreshes_sent
    }),
    ("metallb_bgp_total_sent", Kind::Counter, "Messages sent", |peer| counters(peer).messages_sent),
];

fn sessions(labels: &Labels, peers: &[PeerSnapshot]) -> Vec<Family> {
    let received: (&str, Kind, &str, Number) =
        ("metallb_bgp_total_received", Kind::Counter, "Messages received", |peer| {
            counters(peer).messages_received
        });
    SESSION_FAMILIES
        .into_iter()
        .chain(std::iter::once(received))
        .map(|(name, kind, help, value)| {
            let mut family = Family::new(name, kind, help);
            for peer in peers {
                family.push(labels.of(peer.peer.as_str(), peer.remote.ip()), number(value(peer)));
            }
            family
        })
        .collect()
}

/// A number of a session of BFD.
type BfdNumber = fn(&PathSnapshot) -> u64;

/// Name, kind, help and value of each family with one series per session of BFD. Echo packets are not sent.
const BFD_FAMILIES: [(&str, Kind, &str, BfdNumber); 7] = [
    ("metallb_bfd_session_up", Kind::Gauge, "1 if BFD sees that packets come and go", |path| {
        u64::from(path.session.state == PathState::Up)
    }),
    ("metallb_bfd_control_packet_input", Kind::Counter, "BFD control packets received", |path| {
        bfd_counters(path).packets_received
    }),
    ("metallb_bfd_control_packet_output", Kind::Counter, "BFD control packets sent", |path| {
        bfd_counters(path).packets_sent
    }),
    ("metallb_bfd_echo_packet_input", Kind::Counter, "BFD echo packets received", |_| 0),
    ("metallb_bfd_echo_packet_output", Kind::Counter, "BFD echo packets sent", |_| 0),
    ("metallb_bfd_session_up_events", Kind::Counter, "Times BFD came up", |path| {
        bfd_counters(path).up_events
    }),
    ("metallb_bfd_session_down_events", Kind::Counter, "Times BFD was up and went down", |path| {
        bfd_counters(path).down_events
    }),
];

fn bfd(labels: &Labels, snapshot: &BfdSnapshot) -> Vec<Family> {
    let family = |(name, kind, help, value): (&'static str, Kind, &'static str, BfdNumber)| {
        let mut family = Family::new(name, kind, help);
        for path in &snapshot.sessions {
            family.push(labels.of(path.user.as_str(), path.path.remote), number(value(path)));
        }
        family
    };
    BFD_FAMILIES.into_iter().map(family).collect()
}

const fn bfd_counters(path: &PathSnapshot) -> &BfdCounters {
    &path.session.counters
}

const fn counters(peer: &PeerSnapshot) -> &Counters {
    &peer.counters
}

fn is_up(peer: &PeerSnapshot) -> bool {
    peer.state == State::Established
}

fn members(numbers: membership::Numbers) -> [Family; 2] {
    let members = u64::try_from(numbers.members).unwrap_or(u64::MAX);
    let stats = numbers.stats;
    let dropped = [stats.malformed, stats.unknown, stats.stale, numbers.unsealed].into_iter();
    [
        Family::single("metallb_membership_members", Kind::Gauge, "Speakers that live", number(members)),
        Family::single(
            "metallb_membership_dropped_total",
            Kind::Counter,
            "Heartbeats that were dropped",
            number(dropped.fold(0, u64::saturating_add)),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use metallb_bgp::io::tokio::SpeakerConfig;
    use metallb_bgp::session::{PeerConfig, PeerKey};
    use metallb_bgp::types::{Asn, RemoteAs, RouterId};
    use metallb_core::config::{Input, Meta, PeerInput};

    use super::*;

    fn mk_peer(name: &str, vrf: Option<&str>) -> PeerInput {
        PeerInput {
            meta: Meta { name: name.to_owned(), ..Meta::default() },
            my_asn: 64500,
            peer_asn: Some(64512),
            address: Some("192.0.2.1".to_owned()),
            vrf: vrf.map(str::to_owned),
            ..PeerInput::default()
        }
    }

    #[tokio::test]
    async fn peers_with_one_address_differ_by_their_vrf() {
        let input =
            Input { peers: vec![mk_peer("plain", None), mk_peer("red", Some("red"))], ..Input::default() };
        let built = Config::build(&input, &Config::default());
        assert!(built.errors.is_empty(), "{:?}", built.errors);
        let identifier = RouterId::new(Ipv4Addr::new(192, 0, 2, 9)).unwrap();
        let (speaker, _events) = BgpSpeaker::start(SpeakerConfig::new(identifier)).unwrap();
        for name in ["plain", "red"] {
            let remote = "127.0.0.1:1".parse().unwrap();
            let mut session = PeerConfig::new(remote, Asn::new(64500), RemoteAs::Asn(Asn::new(64512)), 0);
            session.passive = true;
            speaker.set_peer(PeerKey::new(name), session);
        }
        let families = sessions(&Labels::new("node1", &built.config), &speaker.snapshot().await);
        let labels: Vec<_> = families[0].samples.iter().map(|sample| sample.labels.clone()).collect();
        let own = vec![("peer", "127.0.0.1".to_owned()), ("node", "node1".to_owned())];
        let red = [own.clone(), vec![("vrf", "red".to_owned())]].concat();
        assert_eq!(labels, [own, red]);
    }
}
