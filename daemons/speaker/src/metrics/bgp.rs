//! Series about sessions of BGP and BFD.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use metallb_bgp::bfd::{Counters as BfdCounters, PathSnapshot, wire::State as PathState};
use metallb_bgp::fsm::State;
use metallb_bgp::io::bfd::BfdSnapshot;
use metallb_bgp::session::{Counters, PeerSnapshot, WithheldReason};
use metallb_bgp::types::Family::{Ipv4Unicast, Ipv6Unicast};
use metallb_core::config::{Config, Peer, PeerEndpoint};
use metallb_runtime::metrics::{Family, Kind, number};

use crate::args::PeerLabel;

/// What the series of this node are labelled with.
#[derive(Clone, Debug)]
pub(crate) struct Labels {
    node: String,
    /// The VRF of each peer that has one.
    vrfs: BTreeMap<String, String>,
    /// The interface of each unnumbered peer: its address may change, and its series should not.
    interfaces: BTreeMap<String, String>,
    style: PeerLabel,
}

impl Labels {
    /// For this node and its peers.
    pub(crate) fn new(node: &str, config: &Config, style: PeerLabel) -> Self {
        let vrf = |peer: &Peer| Some((peer.name.to_string(), peer.vrf.as_ref()?.to_string()));
        let interface = |peer: &Peer| match &peer.endpoint {
            PeerEndpoint::Interface(interface) => Some((peer.name.to_string(), interface.to_string())),
            PeerEndpoint::Address(_) => None,
        };
        Self {
            node: node.to_owned(),
            vrfs: config.peers().values().filter_map(|peer| vrf(peer)).collect(),
            interfaces: config.peers().values().filter_map(|peer| interface(peer)).collect(),
            style,
        }
    }

    /// The node.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// Those of a session. BFD has no port: `None`.
    fn of(&self, peer: &str, remote: IpAddr, port: Option<u16>) -> Vec<(&'static str, String)> {
        let name = match (self.interfaces.get(peer), self.style, port) {
            (Some(interface), ..) => interface.clone(),
            (None, PeerLabel::AddressPort, Some(port)) => SocketAddr::new(remote, port).to_string(),
            _ => remote.to_string(),
        };
        let mut labels = vec![("peer", name), ("node", self.node.clone())];
        labels.extend(self.vrfs.get(peer).map(|vrf| ("vrf", vrf.clone())));
        labels
    }

    fn of_session(&self, peer: &PeerSnapshot) -> Vec<(&'static str, String)> {
        self.of(peer.peer.as_str(), peer.remote.ip(), Some(peer.remote.port()))
    }
}

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

/// Everything about sessions of BGP.
pub(super) fn sessions(labels: &Labels, peers: &[PeerSnapshot]) -> Vec<Family> {
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
                family.push(labels.of_session(peer), number(value(peer)));
            }
            family
        })
        .chain([
            states(labels, peers),
            last_errors(labels, peers),
            missing(labels, peers),
            withheld(labels, peers),
        ])
        .collect()
}

/// One series for each state, of which the present one is 1.
fn states(labels: &Labels, peers: &[PeerSnapshot]) -> Family {
    let mut family = Family::new("metallb_bgp_state", Kind::Gauge, "1 for the state that the session is in");
    for peer in peers {
        for state in State::ALL {
            let mut labels = labels.of_session(peer);
            labels.push(("state", state.as_str().to_owned()));
            family.push(labels, f64::from(u8::from(peer.state == state)));
        }
    }
    family
}

/// The last error of each session that had one.
fn last_errors(labels: &Labels, peers: &[PeerSnapshot]) -> Family {
    let help =
        "Code and subcode of what last ended the session or kept it from coming up, 0 without a NOTIFICATION";
    let mut family = Family::new("metallb_bgp_last_error_info", Kind::Gauge, help);
    for (peer, error) in peers.iter().filter_map(|peer| Some((peer, peer.last_error.as_ref()?))) {
        let (code, subcode) = error.error_code().unwrap_or_default();
        let mut labels = labels.of_session(peer);
        labels.extend([("code", code.to_string()), ("subcode", subcode.to_string())]);
        family.push(labels, 1.0);
    }
    family
}

/// Families that the peer of an established session should have and does not.
fn missing(labels: &Labels, peers: &[PeerSnapshot]) -> Family {
    let help = "1 if the family is configured for the session and the peer has not activated it";
    let mut family = Family::new("metallb_bgp_family_missing", Kind::Gauge, help);
    for peer in peers {
        let missing = peer.negotiated.as_ref().map(|agreed| agreed.missing_families.as_slice());
        for (address_family, name) in [(Ipv4Unicast, "ipv4"), (Ipv6Unicast, "ipv6")] {
            let mut labels = labels.of_session(peer);
            labels.push(("family", name.to_owned()));
            let is_missing = missing.unwrap_or_default().contains(&address_family);
            family.push(labels, f64::from(u8::from(is_missing)));
        }
    }
    family
}

/// Routes that the peers of established sessions do not get.
fn withheld(labels: &Labels, peers: &[PeerSnapshot]) -> Family {
    let help = "Prefixes for the peer of an established session that it does not get, by reason";
    let mut family = Family::new("metallb_bgp_withheld_prefixes", Kind::Gauge, help);
    for peer in peers {
        for reason in WithheldReason::LABELS {
            let mut labels = labels.of_session(peer);
            labels.push(("reason", reason.to_owned()));
            let of_reason = peer.withheld.iter().filter(|withheld| withheld.reason.label() == reason);
            family.push(labels, number(of_reason.map(|withheld| withheld.routes).sum()));
        }
    }
    family
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

/// Everything about sessions of BFD.
pub(super) fn paths(labels: &Labels, snapshot: &BfdSnapshot) -> Vec<Family> {
    let family = |(name, kind, help, value): (&'static str, Kind, &'static str, BfdNumber)| {
        let mut family = Family::new(name, kind, help);
        for path in &snapshot.sessions {
            family.push(labels.of(path.user.as_str(), path.path.remote, None), number(value(path)));
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use metallb_bgp::io::tokio::{Speaker as BgpSpeaker, SpeakerConfig};
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
        let families =
            sessions(&Labels::new("node1", &built.config, PeerLabel::Address), &speaker.snapshot().await);
        let labels: Vec<_> = families[0].samples.iter().map(|sample| sample.labels.clone()).collect();
        let own = vec![("peer", "127.0.0.1".to_owned()), ("node", "node1".to_owned())];
        let red = [own.clone(), vec![("vrf", "red".to_owned())]].concat();
        assert_eq!(labels, [own, red]);
        let native = Labels::new("node1", &built.config, PeerLabel::AddressPort);
        let families = sessions(&native, &speaker.snapshot().await);
        assert_eq!(families[0].samples[0].labels[0], ("peer", "127.0.0.1:1".to_owned()));
    }

    // req: T8
    #[tokio::test]
    async fn a_peer_behind_an_interface_is_named_by_it_whatever_its_address() {
        let peer = PeerInput { address: None, interface: Some("eth1".to_owned()), ..mk_peer("leaf", None) };
        let built = Config::build(&Input { peers: vec![peer], ..Input::default() }, &Config::default());
        let identifier = RouterId::new(Ipv4Addr::new(192, 0, 2, 9)).unwrap();
        let (speaker, _events) = BgpSpeaker::start(SpeakerConfig::new(identifier)).unwrap();
        let mut session =
            PeerConfig::unnumbered("eth1", 179, Asn::new(64500), RemoteAs::Asn(Asn::new(64512)), 0);
        session.passive = true;
        speaker.set_peer(PeerKey::new("leaf"), session);
        for style in [PeerLabel::Address, PeerLabel::AddressPort] {
            let labels = Labels::new("node1", &built.config, style);
            let families = sessions(&labels, &speaker.snapshot().await);
            let own = vec![("peer", "eth1".to_owned()), ("node", "node1".to_owned())];
            assert_eq!(families[0].samples[0].labels, own);
            assert_eq!(labels.of("leaf", "fe80::1".parse().unwrap(), None), own, "of BFD");
        }
    }
}
