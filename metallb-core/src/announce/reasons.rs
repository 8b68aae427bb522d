//! Why a node does or does not announce: one reason per decision, from where it is made to where it is shown.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::keys::{AdvertisementName, NodeName, PeerName, ServiceKey};

/// Why a node is no candidate for a group, or does not advertise a service. In the order in which the rules
/// are applied: the greatest of all nodes' is the one that came closest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// Nothing is known of the node (yet).
    UnknownNode,
    /// No live speaker runs there.
    NoSpeaker,
    /// Its condition `NetworkUnavailable` is true.
    NetworkUnavailable,
    /// It is labelled `node.kubernetes.io/exclude-from-external-load-balancers`.
    Excluded,
    /// It is tainted `node.kubernetes.io/out-of-service`.
    OutOfService,
    /// A service that shares the address is selected by no advertisement.
    ServiceNotSelected,
    /// No advertisement for a service and an address of the group selects the node.
    NodeNotSelected,
    /// It has no interface on which the address may be announced.
    NoInterface,
    /// It has interfaces for the address, but none of them can carry IPv6.
    NoIpv6Interface,
    /// No service of the group has a ready endpoint.
    NoReadyEndpoint,
    /// The services take traffic only where their endpoints are, and none is ready on the node.
    NoLocalEndpoint,
}

impl Rejection {
    /// A stable word for events and metric labels.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::UnknownNode => "unknown_node",
            Self::NoSpeaker => "no_speaker",
            Self::NetworkUnavailable => "network_unavailable",
            Self::Excluded => "node_excluded",
            Self::OutOfService => "node_out_of_service",
            Self::ServiceNotSelected => "service_not_selected",
            Self::NodeNotSelected => "node_not_selected",
            Self::NoInterface => "no_interface",
            Self::NoIpv6Interface => "no_ipv6_interface",
            Self::NoReadyEndpoint => "no_ready_endpoint",
            Self::NoLocalEndpoint => "no_local_endpoint",
        }
    }

    /// What helps.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::UnknownNode => "wait until the API server tells about the node",
            Self::NoSpeaker => "see why the speaker does not run or is not heard there",
            Self::NetworkUnavailable => "see why the node's condition NetworkUnavailable is true",
            Self::Excluded => {
                "remove the label node.kubernetes.io/exclude-from-external-load-balancers, or run the \
                 speakers with --ignore-exclude-lb"
            }
            Self::OutOfService => "remove the taint node.kubernetes.io/out-of-service",
            Self::ServiceNotSelected => {
                "make the serviceSelectors of an advertisement select every service that shares the address"
            }
            Self::NodeNotSelected => "change the nodeSelectors of an advertisement of the pool",
            Self::NoInterface => {
                "list an interface that exists and is up in the advertisement, or none to use all"
            }
            Self::NoIpv6Interface => {
                "see why no interface there has a usable IPv6 link-local address (disable_ipv6, duplicate address)"
            }
            Self::NoReadyEndpoint => "make a pod of the service ready that takes the address's family",
            Self::NoLocalEndpoint => {
                "make a pod of the service ready on a node that may announce, or set \
                 externalTrafficPolicy to Cluster"
            }
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownNode => "nothing is known of the node",
            Self::NoSpeaker => "no live speaker runs on the node",
            Self::NetworkUnavailable => "the node's network is unavailable",
            Self::Excluded => "the node is excluded from external load balancers by its label",
            Self::OutOfService => "the node is out of service",
            Self::ServiceNotSelected => "a service on the address is selected by no advertisement",
            Self::NodeNotSelected => "no advertisement selects the node",
            Self::NoInterface => "the node has no interface that may announce the address",
            Self::NoIpv6Interface => {
                "no interface of the node that may announce the address has a usable IPv6 link-local address"
            }
            Self::NoReadyEndpoint => "the service has no ready endpoint",
            Self::NoLocalEndpoint => "no ready endpoint is on the node",
        })
    }
}

/// Why the owner of a group is the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Decision {
    /// It is the only candidate.
    OnlyCandidate,
    /// It owned the group already.
    Sticky,
    /// It has an interface in the subnet of more addresses of the group than others.
    Subnet,
    /// It can serve more address families of the group than others.
    Families,
    /// Its endpoints are ready, others' are on their way out.
    ReadyEndpoints,
    /// Its preference score is the highest.
    Preference,
    /// It has ready endpoints of more services of the group than others.
    LocalEndpoints,
    /// It is first in the hash order.
    Hash,
}

impl Decision {
    /// A stable word.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::OnlyCandidate => "only_candidate",
            Self::Sticky => "sticky",
            Self::Subnet => "subnet",
            Self::Families => "families",
            Self::ReadyEndpoints => "ready_endpoints",
            Self::Preference => "preference",
            Self::LocalEndpoints => "local_endpoints",
            Self::Hash => "hash",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnlyCandidate => "it is the only candidate",
            Self::Sticky => "it announced the address already",
            Self::Subnet => "it has an interface in the address's subnet",
            Self::Families => "it has endpoints for the most address families",
            Self::ReadyEndpoints => "its endpoints are ready, not on their way out",
            Self::Preference => "its preference score is the highest",
            Self::LocalEndpoints => "it has ready endpoints of the most services",
            Self::Hash => "it is first in the hash order",
        })
    }
}

/// Why a service is not announced as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnounceProblem {
    /// No node can announce the address by Layer 2.
    #[error("no node can announce {address} by layer2: of {nodes} nodes none is eligible, because {}; {}", .rule, .rule.remedy())]
    NoCandidate {
        /// The address.
        address: IpAddr,
        /// How many nodes there are.
        nodes: usize,
        /// The rule that removed the last of them.
        rule: Rejection,
    },
    /// This node owns the address but has no interface to announce it on.
    #[error("node {node} should announce {address} by layer2, but {rule}; {}", .rule.remedy())]
    NoUsableInterface {
        /// This node.
        node: NodeName,
        /// The address.
        address: IpAddr,
        /// What is missing.
        rule: Rejection,
    },
    /// No advertisement is for the pool of the address and selects the service.
    #[error(
        "no L2Advertisement or BGPAdvertisement is for {address}; create one that selects its pool and the service"
    )]
    NoAdvertisement {
        /// The address.
        address: IpAddr,
    },
    /// Two advertisements want different local preferences for one prefix at one peer.
    #[error(
        "advertisements {first} and {second} want different localPref for {prefix} at peer {peer}; make them equal or select different peers"
    )]
    LocalPrefConflict {
        /// The prefix.
        prefix: IpNetwork,
        /// The peer.
        peer: PeerName,
        /// One advertisement.
        first: AdvertisementName,
        /// The other one.
        second: AdvertisementName,
        /// The service by which the first applies, when it is another one.
        other_service: Option<ServiceKey>,
    },
}

impl AnnounceProblem {
    /// A stable word for events and metric labels.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoCandidate { rule, .. } | Self::NoUsableInterface { rule, .. } => rule.reason(),
            Self::NoAdvertisement { .. } => "no_advertisement",
            Self::LocalPrefConflict { .. } => "local_pref_conflict",
        }
    }
}
