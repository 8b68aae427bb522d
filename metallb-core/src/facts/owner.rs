//! Whose an address visibly is.

use std::fmt;

use crate::keys::{NodeName, PeerName, ServiceKey};

/// Somebody who has addresses of their own, which no service must get.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum AddressOwner {
    /// A node: Kubernetes' `InternalIP` and `ExternalIP`.
    Node(NodeName),
    /// A BGP peer: its `peerAddress`.
    Peer(PeerName),
    /// The API server.
    ApiServer,
    /// A service that another load balancer serves: what its status says.
    Service(ServiceKey),
}

impl fmt::Display for AddressOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node \"{name}\""),
            Self::Peer(name) => write!(f, "BGPPeer \"{name}\""),
            Self::ApiServer => f.write_str("the API server"),
            Self::Service(key) => write!(f, "service {key} of another load balancer"),
        }
    }
}
