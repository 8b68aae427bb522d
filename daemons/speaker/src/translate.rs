//! From the words of `metallb-core` to those of the protocol crates: total functions, no decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use metallb_arp::responder::{Interface, Scope, Subnet};
use metallb_arp::wire::MacAddr;
use metallb_bgp::addresses::InternalAddresses;
use metallb_bgp::bfd;
use metallb_bgp::session::{
    Authentication, GracefulRestart, Md5Key, OfferedFamilies, PeerBfd, PeerConfig, PeerKey, SettingNames,
    TtlPolicy,
};
use metallb_bgp::table::{Announcement, RouteAttributes};
use metallb_bgp::types::{Asn, Community, Family, HoldTime, LargeCommunity, RouterId};
use metallb_bgp::wire::update::OnUnreadable;
use metallb_core::announce::{InterfaceScope, Route};
use metallb_core::config::{self, BfdProfile, Peer, PeerEndpoint, PeerFamilies, RemoteAs};
use metallb_core::facts;
use metallb_core::keys::{self, InterfaceName, NodeName, PeerName};
use metallb_core::membership::InterfaceFacts;
use metallb_core::speaker::Claim;
use metallb_k8s::facts::SpeakerPod;

use crate::args::TtlMode;

/// Why a valid peer gets no session from this speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsupported {
    /// A link-local address without an interface.
    #[error(
        "spec.peerAddress: a link-local address means something on one link only; give spec.interface instead of it"
    )]
    LinkLocal,
    /// The hold time does not fit the protocol.
    #[error("spec.holdTime: use 0s, or 3s to 65535s")]
    HoldTime,
    /// The password does not fit the kernel.
    #[error("spec.password: a TCP MD5 key has 1 to 80 octets")]
    Password,
    /// The BFD profile does not fit the protocol.
    #[error("spec.bfdProfile: its intervals are 10 to 60000 ms, its detectMultiplier is not 0")]
    BfdProfile,
    /// The router ID is no BGP identifier.
    #[error("spec.routerID: 0.0.0.0 is no BGP identifier")]
    RouterId,
}

/// What a BGPPeer calls the settings of a session.
pub(crate) const SETTINGS: SettingNames = SettingNames {
    remote_asn: "spec.peerASN",
    local_asn: "spec.myASN",
    router_id: "spec.routerID",
    hold_time: "spec.holdTime",
    families: "spec.dualStackAddressFamily",
    authentication: "spec.password",
    local_address: "spec.sourceAddress",
    interface: "spec.interface",
    tcp_mss: "spec.tcpMSS",
};

/// The name of a peer for the BGP speaker.
#[must_use]
pub(crate) fn peer_key(name: &PeerName) -> PeerKey {
    PeerKey::new(name.as_str())
}

/// What all sessions of this node have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Common {
    /// Time to live towards external peers that are not multi-hop.
    pub ttl: TtlMode,
    /// How long the node was up when the speaker started.
    pub uptime: Duration,
    /// From the operating system; every peer gets its own seed of it.
    pub seed: u64,
}

impl Common {
    fn seed_of(&self, peer: &PeerName) -> u64 {
        // Any number that differs between peers of this node will do.
        self.seed ^ u64::from(RouterId::of_name(peer.as_str()).id.address().to_bits())
    }
}

/// The session for a peer, watched as its BFD profile says.
///
/// # Errors
/// [`Unsupported`] names the field that this speaker cannot serve.
pub(crate) fn session(
    peer: &Peer,
    profile: Option<&BfdProfile>,
    common: Common,
) -> Result<PeerConfig, Unsupported> {
    let (own, remote, seed) =
        (Asn::new(peer.shown_asn()), remote_as(peer.remote), common.seed_of(&peer.name));
    let mut session = match &peer.endpoint {
        PeerEndpoint::Address(IpAddr::V6(v6)) if v6.is_unicast_link_local() => {
            return Err(Unsupported::LinkLocal);
        }
        PeerEndpoint::Address(address) => {
            PeerConfig::new(SocketAddr::new(*address, peer.port), own, remote, seed)
        }
        PeerEndpoint::Interface(interface) => {
            PeerConfig::unnumbered(interface.as_str(), peer.port, own, remote, seed)
        }
    };
    session.local_address = peer.source;
    session.router_id = peer.router_id.map(RouterId::new).transpose().map_err(|_| Unsupported::RouterId)?;
    session.hold_time = HoldTime::try_from(peer.hold_time).map_err(|_| Unsupported::HoldTime)?;
    session.keepalive_time = Some(peer.keepalive_time).filter(|time| !time.is_zero());
    session.connect_time = peer.connect_time;
    session.families = match peer.families {
        PeerFamilies::Own => OfferedFamilies::Own,
        PeerFamilies::Both => OfferedFamilies::Both,
    };
    session.authentication = match &peer.password {
        Some(password) => {
            Authentication::Md5(Md5Key::new(password.reveal()).map_err(|_| Unsupported::Password)?)
        }
        None => Authentication::None,
    };
    session.ttl = match common.ttl {
        _ if peer.ebgp_multi_hop => TtlPolicy::Multihop(255),
        TtlMode::Strict if !peer.is_internal() => TtlPolicy::Exact(1),
        TtlMode::Gtsm if !peer.is_internal() => TtlPolicy::Gtsm { hops: 1 },
        TtlMode::Compat | TtlMode::Strict | TtlMode::Gtsm => TtlPolicy::System,
    };
    // Nobody here wants its routes: those that cannot be read end no session.
    session.on_unreadable = OnUnreadable::DisableFamily;
    session.next_hops.v4 = peer.next_hop_v4;
    session.next_hops.v6 = peer.next_hop_v6;
    session.tcp_mss = peer.tcp_mss;
    session.bind_device = peer.vrf.as_ref().map(ToString::to_string);
    session.graceful_restart = peer.graceful_restart.then(|| graceful_restart(peer, common.uptime));
    session.bfd = profile.map(bfd).transpose()?;
    Ok(session)
}

/// How BFD watches the path. As with FRR, a session without BFD on the other side is none the less a session.
fn bfd(profile: &BfdProfile) -> Result<PeerBfd, Unsupported> {
    let BfdProfile { transmit_interval, receive_interval, detect_multiplier, .. } = *profile;
    let watched = bfd::Profile::new(transmit_interval, receive_interval, detect_multiplier)
        .map_err(|_| Unsupported::BfdProfile)?;
    Ok(PeerBfd::new(watched.with_passive(profile.passive_mode).with_minimum_ttl(profile.minimum_ttl)))
}

/// Forwarding survives a restart of the speaker, for the kernel does it, but not one of the node. A node that had been up
/// for longer than peers wait when the speaker started was not in the middle of its own restart.
fn graceful_restart(peer: &Peer, uptime: Duration) -> GracefulRestart {
    let mut restart = GracefulRestart::default();
    restart.forwarding_preserved = uptime >= restart.restart_time.saturating_add(peer.hold_time);
    restart.selection_deferral = restart.restart_time.saturating_sub(DEFERRAL_MARGIN);
    restart
}

/// A router waits the restart time for this speaker, and is not to keep the routes of an earlier run for longer than that
/// because the speaker cannot decide: so much earlier it is told that there are no others.
const DEFERRAL_MARGIN: Duration = Duration::from_secs(10);

fn remote_as(remote: RemoteAs) -> metallb_bgp::types::RemoteAs {
    match remote {
        RemoteAs::Asn(asn) => metallb_bgp::types::RemoteAs::Asn(Asn::new(asn)),
        RemoteAs::Internal => metallb_bgp::types::RemoteAs::Internal,
        RemoteAs::External => metallb_bgp::types::RemoteAs::External,
    }
}

/// A family of routes.
pub(crate) const fn family(family: Family) -> keys::Family {
    match family {
        Family::Ipv4Unicast => keys::Family::V4,
        Family::Ipv6Unicast => keys::Family::V6,
    }
}

/// Several things in one text.
pub(crate) fn words(items: &[impl ToString]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The node's own addresses: the first of each family.
#[must_use]
pub(crate) fn internal_addresses(node: &facts::Node) -> InternalAddresses {
    let all = || node.internal_addresses.iter();
    InternalAddresses {
        v4: all().find_map(|ip| if let IpAddr::V4(v4) = ip { Some(*v4) } else { None }),
        v6: all().find_map(|ip| if let IpAddr::V6(v6) = ip { Some(*v6) } else { None }),
    }
}

/// What peers are told about a prefix.
#[must_use]
pub(crate) fn announcements(routes: &[Route]) -> Vec<Announcement> {
    routes
        .iter()
        .map(|route| Announcement {
            peers: route.peers.iter().map(peer_key).collect(),
            attributes: attributes(&route.attributes),
        })
        .collect()
}

fn attributes(attributes: &metallb_core::announce::RouteAttributes) -> RouteAttributes {
    let communities = attributes.communities.iter();
    let standard = communities.clone().filter_map(|community| match *community {
        config::Community::Standard(value) => Some(Community(value)),
        config::Community::Large(..) => None,
    });
    let large = communities.filter_map(|community| match *community {
        config::Community::Large(global, local1, local2) => Some(LargeCommunity::new(global, local1, local2)),
        config::Community::Standard(_) => None,
    });
    RouteAttributes::new()
        .with_local_pref(attributes.local_pref)
        .with_communities(standard)
        .with_large_communities(large)
}

/// On which interfaces to answer.
#[must_use]
pub(crate) fn scope(scope: &InterfaceScope) -> Scope {
    match scope {
        InterfaceScope::All => Scope::All,
        InterfaceScope::Only(names) => Scope::Only(names.iter().map(ToString::to_string).collect()),
    }
}

/// The interfaces as a status lists them: none when it is all of them, as MetalLB does.
#[must_use]
pub(crate) fn listed(scope: &InterfaceScope) -> BTreeSet<InterfaceName> {
    match scope {
        InterfaceScope::All => BTreeSet::new(),
        InterfaceScope::Only(names) => names.clone(),
    }
}

/// What an interface can carry.
#[must_use]
pub(crate) fn interface_facts(interface: &Interface) -> facts::Interface {
    let subnet = |subnet: &Subnet| IpNetwork::new(subnet.address, subnet.prefix).ok();
    facts::Interface {
        ipv4_only: interface.link_local.is_none(),
        subnets: interface.subnets.iter().filter_map(subnet).collect(),
    }
}

/// The interfaces of this node.
#[must_use]
pub(crate) fn interfaces(interfaces: &[Interface]) -> BTreeMap<InterfaceName, InterfaceFacts> {
    let facts = |interface: &Interface| InterfaceFacts {
        mac: Some(interface.mac.octets()),
        interface: interface_facts(interface),
    };
    let named = |interface: &Interface| (InterfaceName::new(interface.name.as_str()), facts(interface));
    interfaces.iter().map(named).collect()
}

/// What a frame claims.
#[must_use]
pub(crate) fn claim(address: IpAddr, interface: &str, mac: MacAddr) -> Claim {
    Claim { address, interface: InterfaceName::new(interface), mac: mac.octets() }
}

/// The other speakers, reached in the family of our own address. A service's address is none of a speaker: whoever owns
/// it would answer.
#[must_use]
pub(crate) fn speakers(
    pods: impl IntoIterator<Item = Arc<SpeakerPod>>,
    bind: SocketAddr,
    is_service: impl Fn(IpAddr) -> bool,
) -> BTreeMap<NodeName, metallb_core::membership::Peer> {
    pods.into_iter()
        .filter_map(|pod| {
            let usable = |address: &&IpAddr| address.is_ipv4() == bind.is_ipv4() && !is_service(**address);
            let address = SocketAddr::new(*pod.addresses.iter().find(usable)?, bind.port());
            let peer = metallb_core::membership::Peer::new(address, pod.ready);
            Some((pod.node.clone(), peer.with_sources(pod.addresses.iter().copied())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use metallb_arp::responder::InterfaceIndex;
    use metallb_bgp::session::NextHops;
    use metallb_core::config::{BfdProfileInput, Config, Input, Meta, PeerInput};

    use super::*;

    fn mk_session(change: impl FnOnce(&mut PeerInput), common: Common) -> PeerConfig {
        let mut peer = PeerInput {
            meta: Meta { name: "router".to_owned(), ..Meta::default() },
            my_asn: 64500,
            peer_asn: Some(64512),
            address: Some("192.0.2.1".to_owned()),
            ..PeerInput::default()
        };
        change(&mut peer);
        let built = Config::build(&Input { peers: vec![peer], ..Input::default() }, &Config::default());
        session(built.config.peers().values().next().unwrap(), None, common).unwrap()
    }

    // req: T8
    #[test]
    fn a_peer_behind_an_interface_has_both_families_and_no_address() {
        let session = mk_session(
            |peer| (peer.address, peer.interface, peer.port) = (None, Some("eth1".to_owned()), Some(1790)),
            COMMON,
        );
        assert_eq!(session.interface.as_deref(), Some("eth1"));
        assert!(session.is_remote_unknown() && session.remote.port() == 1790);
        assert_eq!(session.families, OfferedFamilies::Both);
        assert_eq!(session.remote_name().to_string(), "the router on eth1");
    }

    // req: X1, X5
    #[test]
    fn next_hops_and_segment_size_are_the_peer_s() {
        let session = mk_session(
            |peer| {
                peer.next_hop_v4 = Some("192.0.2.77".to_owned());
                peer.next_hop_v6 = Some("2001:db8::77".to_owned());
                peer.tcp_mss = Some(1200);
            },
            COMMON,
        );
        let expected = NextHops { v4: "192.0.2.77".parse().ok(), v6: "2001:db8::77".parse().ok() };
        assert_eq!((session.next_hops, session.tcp_mss), (expected, Some(1200)));
        let session = mk_session(|peer| peer.next_hop_v4 = Some("self".to_owned()), COMMON);
        assert_eq!((session.next_hops, session.tcp_mss), (NextHops::default(), None));
    }

    const COMMON: Common = Common { ttl: TtlMode::Compat, uptime: Duration::ZERO, seed: 7 };

    #[test]
    fn timers_are_spread_over_nodes_and_peers() {
        let seed = |seed, name: &'static str| {
            mk_session(|peer| name.clone_into(&mut peer.meta.name), Common { seed, ..COMMON }).seed
        };
        assert_eq!(seed(7, "a"), seed(7, "a"), "a session that is configured again keeps its timers");
        assert_ne!(seed(7, "a"), seed(8, "a"));
        assert_ne!(seed(7, "a"), seed(7, "b"));
    }

    // req: T4
    #[test]
    fn the_time_to_live_follows_mode_and_kind_of_peer() {
        let ttl = |mode, change: fn(&mut PeerInput)| mk_session(change, Common { ttl: mode, ..COMMON }).ttl;
        let internal: fn(&mut PeerInput) = |peer| peer.peer_asn = Some(64500);
        assert_eq!(ttl(TtlMode::Compat, |_| ()), TtlPolicy::System);
        assert_eq!(ttl(TtlMode::Strict, |_| ()), TtlPolicy::Exact(1));
        assert_eq!(ttl(TtlMode::Gtsm, |_| ()), TtlPolicy::Gtsm { hops: 1 });
        for mode in [TtlMode::Compat, TtlMode::Strict, TtlMode::Gtsm] {
            assert_eq!(ttl(mode, |peer| peer.ebgp_multi_hop = true), TtlPolicy::Multihop(255));
            assert_eq!(ttl(mode, internal), TtlPolicy::System);
        }
    }

    // req: G3
    #[test]
    fn forwarding_counts_as_preserved_only_when_the_node_was_up_before() {
        let preserved = |seconds| {
            let common = Common { uptime: Duration::from_secs(seconds), ..COMMON };
            mk_session(|peer| peer.graceful_restart = true, common)
                .graceful_restart
                .unwrap()
                .forwarding_preserved
        };
        // 120 s of restart time and the default hold time of 90 s.
        assert!(!preserved(0));
        assert!(!preserved(209));
        assert!(preserved(210));
    }

    // req: G6
    #[test]
    fn routers_do_not_keep_old_routes_for_longer_than_a_restart_may_take() {
        let restart = mk_session(|peer| peer.graceful_restart = true, COMMON).graceful_restart.unwrap();
        assert_eq!(restart.restart_time, Duration::from_secs(120));
        assert_eq!(restart.selection_deferral, Duration::from_secs(110));
    }

    // req: B12
    #[test]
    fn a_session_is_watched_as_its_profile_says() {
        let profile = BfdProfileInput {
            meta: Meta { name: "fast".to_owned(), ..Meta::default() },
            receive_interval: Some(50),
            detect_multiplier: Some(5),
            passive_mode: true,
            minimum_ttl: Some(200),
            ..BfdProfileInput::default()
        };
        let peer = PeerInput {
            meta: Meta { name: "router".to_owned(), ..Meta::default() },
            my_asn: 64500,
            peer_asn: Some(64512),
            address: Some("192.0.2.1".to_owned()),
            bfd_profile: Some("fast".to_owned()),
            ..PeerInput::default()
        };
        let input = Input { peers: vec![peer], bfd_profiles: vec![profile], ..Input::default() };
        let config = Config::build(&input, &Config::default()).config;
        let (peer, profile) =
            (config.peers().values().next().unwrap(), config.bfd_profiles().values().next().unwrap());
        let watched = session(peer, Some(profile), COMMON).unwrap().bfd.unwrap();
        let expected = bfd::Profile::new(Duration::from_millis(300), Duration::from_millis(50), 5).unwrap();
        assert_eq!(watched, PeerBfd::new(expected.with_passive(true).with_minimum_ttl(200)));
        assert_eq!(session(peer, None, COMMON).unwrap().bfd, None, "a profile that does not exist (yet)");
    }

    #[test]
    fn an_interface_without_a_link_local_address_carries_ipv4_only() {
        let subnets = [Subnet { address: "192.0.2.10".parse().unwrap(), prefix: 24 }].into();
        let mac = [2, 0, 0, 0, 0, 1].into();
        let mut interface =
            Interface { index: InterfaceIndex(1), name: "eth0".into(), mac, link_local: None, subnets };
        let facts = interface_facts(&interface);
        assert!(facts.ipv4_only && facts.is_in_subnet("192.0.2.77".parse().unwrap()));
        interface.link_local = Some("fe80::1".parse().unwrap());
        assert!(!interface_facts(&interface).ipv4_only);
    }

    #[test]
    fn the_first_internal_address_of_each_family_counts() {
        let mut node = facts::Node::new(NodeName::new("n"), [("a", "b")].into_iter().collect());
        assert_eq!(internal_addresses(&node), InternalAddresses::default());
        node.internal_addresses =
            ["2001:db8::1", "192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap()).into();
        let found = internal_addresses(&node);
        assert_eq!((found.v4, found.v6), ("192.0.2.1".parse().ok(), "2001:db8::1".parse().ok()));
    }

    #[test]
    fn no_interfaces_listed_means_all() {
        assert!(listed(&InterfaceScope::All).is_empty());
        let only = InterfaceScope::Only(BTreeSet::from([InterfaceName::new("eth0")]));
        assert_eq!(scope(&only), Scope::Only(BTreeSet::from(["eth0".to_owned()])));
    }
}
