//! What an interface of a node can carry.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::keys::Family;

/// An interface on which a node can answer for Layer 2 addresses. By default it carries both families and is in no known
/// subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain facts")]
pub struct Interface {
    /// It has no usable link-local address, so that IPv6 addresses cannot be announced there.
    pub ipv4_only: bool,
    /// The subnets of its own addresses.
    pub subnets: BTreeSet<IpNetwork>,
}

impl Interface {
    /// Whether addresses of a family can be announced there.
    #[must_use]
    pub const fn carries(&self, family: Family) -> bool {
        matches!(family, Family::V4) || !self.ipv4_only
    }

    /// Whether an address is in one of its subnets.
    #[must_use]
    pub fn is_in_subnet(&self, address: IpAddr) -> bool {
        self.subnets.iter().any(|subnet| subnet.contains(address))
    }
}
