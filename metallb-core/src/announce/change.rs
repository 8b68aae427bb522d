//! What an evaluation yields.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use crate::config::{Community, Peer};
use crate::keys::{InterfaceName, PeerName, ServiceKey};

use super::reasons::AnnounceProblem;

/// One difference between what this node did and what it should do. Each carries the full new state of the
/// thing it names, so that carrying one out twice does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver that ignored one would lose traffic")]
pub enum Change {
    /// Answer for an address by ARP or NDP, or stop (`None`).
    L2 {
        /// The address.
        address: IpAddr,
        /// On which interfaces.
        state: Option<InterfaceScope>,
    },
    /// Advertise a prefix with exactly these routes; none means withdraw it.
    Bgp {
        /// The prefix, with the host bits zero.
        prefix: IpNetwork,
        /// Disjoint sets of peers, each with what they are told.
        routes: Vec<Route>,
    },
    /// Have a session with these settings, or end it (`None`).
    Peer {
        /// Its name.
        name: PeerName,
        /// Its settings.
        peer: Option<Arc<Peer>>,
    },
    /// A peer that selects this node has no session because an older one to the same neighbour has (`with`);
    /// `None` when that is over.
    PeerConflict {
        /// The peer without a session.
        name: PeerName,
        /// The peer in its way.
        with: Option<PeerName>,
    },
    /// This node announces a service by Layer 2, or does not any more (`None`). For status and events.
    Layer2Owner {
        /// The service.
        service: ServiceKey,
        /// The interfaces on which its addresses are announced.
        interfaces: Option<InterfaceScope>,
    },
    /// The peers to which this node advertises a service and that have a route of it
    /// ([`Engine::set_receipts`](super::Engine::set_receipts)); none when none has any more. For status.
    BgpPeers {
        /// The service.
        service: ServiceKey,
        /// The peers.
        peers: BTreeSet<PeerName>,
    },
    /// The exclude label of nodes is ignored because every node with a speaker carries it and is a control plane, or it
    /// counts again. Only the first live speaker in hash order says so.
    ExclusionIgnored {
        /// It is ignored.
        ignored: bool,
    },
    /// Why a service is not announced as it should be, or that it is again (`None`). Only the node that
    /// should speak about it says so.
    Problem {
        /// The service.
        service: ServiceKey,
        /// What is wrong.
        problem: Option<AnnounceProblem>,
    },
}

impl Change {
    /// The order in which changes are carried out: stop before start, sessions before routes, reports last.
    pub(super) const fn order(&self) -> u8 {
        match self {
            Self::L2 { state: None, .. } => 0,
            Self::L2 { .. } => 1,
            Self::Peer { peer: Some(_), .. } => 2,
            Self::Bgp { .. } => 3,
            Self::Peer { peer: None, .. } => 4,
            Self::PeerConflict { .. } => 5,
            Self::Layer2Owner { .. } => 6,
            Self::BgpPeers { .. } => 7,
            Self::ExclusionIgnored { .. } => 8,
            Self::Problem { .. } => 9,
        }
    }
}

/// On which interfaces an address is announced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "consumers must handle each")]
pub enum InterfaceScope {
    /// On all that can.
    All,
    /// Only on these, as far as they exist.
    Only(BTreeSet<InterfaceName>),
}

impl InterfaceScope {
    /// Whether it includes an interface.
    #[must_use]
    pub fn contains(&self, interface: &InterfaceName) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(interface),
        }
    }

    /// Adds what `interfaces` of an advertisement allow: an empty list allows all.
    pub(super) fn add(scope: &mut Option<Self>, interfaces: &BTreeSet<InterfaceName>) {
        match scope {
            _ if interfaces.is_empty() => *scope = Some(Self::All),
            Some(Self::All) => {}
            Some(Self::Only(names)) => names.extend(interfaces.iter().cloned()),
            None => *scope = Some(Self::Only(interfaces.clone())),
        }
    }

    /// Adds another scope.
    pub(super) fn merge(scope: &mut Option<Self>, other: &Self) {
        match other {
            Self::All => *scope = Some(Self::All),
            Self::Only(names) => Self::add(scope, names),
        }
    }
}

/// What a set of peers is told about a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "plain value")]
pub struct Route {
    /// The peers, all with a session from this node.
    pub peers: BTreeSet<PeerName>,
    /// The attributes.
    pub attributes: RouteAttributes,
}

/// The attributes of a route that a configuration decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "plain value")]
pub struct RouteAttributes {
    /// LOCAL_PREF, only for internal peers; `None`: the default, 100.
    pub local_pref: Option<u32>,
    /// Communities, sorted, each once.
    pub communities: Vec<Community>,
}

/// One thing that this node announces, for metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Announced {
    /// The service.
    pub service: ServiceKey,
    /// How.
    pub protocol: AnnounceProtocol,
    /// The address of the service.
    pub address: IpAddr,
}

/// How an address is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum AnnounceProtocol {
    /// By ARP and NDP.
    Layer2,
    /// By BGP.
    Bgp,
}

impl AnnounceProtocol {
    /// `layer2` or `bgp`, as in metrics and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Layer2 => "layer2",
            Self::Bgp => "bgp",
        }
    }
}
