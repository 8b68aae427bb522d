//! The order among nodes that decides who announces an address by Layer 2.
//!
//! Every node computes it alone, from the same facts, and comes to the same result. The hash is the one of
//! MetalLB (`speaker/layer2_controller.go`), so that nodes running either agree on the owner.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::keys::NodeName;

/// What a group of services is elected by: the first address of its oldest service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionKey {
    address: IpAddr,
    text: Box<str>,
}

impl ElectionKey {
    /// The key of a group whose oldest service has `address` first.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        // Go writes an IPv4-mapped IPv6 address as the IPv4 address that it carries.
        Self { address, text: address.to_canonical().to_string().into() }
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The place of a node: `sha256(node + "#" + address)`. The lowest place wins.
    #[must_use]
    pub fn place(&self, node: &NodeName) -> Place {
        let mut hasher = Sha256::new();
        hasher.update(node.as_str());
        hasher.update("#");
        hasher.update(self.text.as_bytes());
        Place(hasher.finalize().into())
    }
}

/// The place of a node in the order for one key; lower wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place([u8; 32]);

impl Place {
    /// The hash itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What distinguishes a candidate apart from its place in the hash order, compared in this order; the greatest wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Standing {
    /// It announces the group already (only with sticky ownership).
    pub claims: bool,
    /// How many addresses of the group are in a subnet of one of its interfaces that may announce them. Equal for all
    /// nodes where it does not matter, also where nothing is known of subnets.
    pub subnets: usize,
    /// How many address families of the group it can serve.
    pub families: usize,
    /// How many of them by endpoints that are ready, not on their way out.
    pub ready: usize,
    /// The sum of the weights of the preferences that match.
    pub score: u64,
    /// How many services of the group have a ready endpoint there; counted for groups of several services
    /// that take traffic only where their endpoints are, else 0.
    pub local_services: usize,
}

/// The rank of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rank {
    /// What comes first.
    pub standing: Standing,
    /// Its place in the hash order, among those of equal standing.
    pub place: Place,
}

impl Rank {
    /// A candidate's rank.
    #[must_use]
    pub const fn new(standing: Standing, place: Place) -> Self {
        Self { standing, place }
    }

    /// Whether this candidate wins against `other`.
    #[must_use]
    pub fn beats(&self, other: &Self) -> bool {
        self.standing.cmp(&other.standing).then_with(|| other.place.cmp(&self.place)).is_gt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ElectionKey {
        ElectionKey::new(text.parse().unwrap())
    }

    fn hex(place: Place) -> String {
        use std::fmt::Write as _;
        place.as_bytes().iter().fold(String::new(), |mut text, octet| {
            write!(text, "{octet:02x}").unwrap();
            text
        })
    }

    // Expected values: `printf '%s' 'node-a#192.0.2.1' | sha256sum`.
    #[test]
    fn the_hash_is_that_of_node_sharp_address() {
        let place = |node: &str, address: &str| hex(key(address).place(&NodeName::new(node)));
        assert_eq!(
            place("node-a", "192.0.2.1"),
            "9028b03eebd9c50f45e3cb24b507db170990cd5f206b44ba22be4e1dc2acad0a"
        );
        assert_eq!(
            place("node-a", "2001:db8::1"),
            "3c9f88a7e2ef52a1c015be314124ea3ab99785b842ce9ee37afdf6470837efbe"
        );
        assert_eq!(place("node-a", "::ffff:192.0.2.1"), place("node-a", "192.0.2.1"));
    }

    #[test]
    fn each_rule_comes_before_all_later_ones_and_the_hash_last() {
        let place = |node: &str| key("192.0.2.1").place(&NodeName::new(node));
        let (low, high) = (place("a").min(place("b")), place("a").max(place("b")));
        let all = Standing { claims: true, subnets: 9, families: 9, ready: 9, score: 9, local_services: 9 };
        assert!(Standing { claims: true, ..Standing::default() } > Standing { claims: false, ..all });
        assert!(
            Standing { subnets: 1, ..Standing::default() } > Standing { claims: false, subnets: 0, ..all }
        );
        let none = Standing { claims: false, subnets: 0, ..all };
        assert!(Standing { families: 2, ..Standing::default() } > Standing { families: 1, ..none });
        let none = Standing { families: 0, ..none };
        assert!(Standing { ready: 1, ..Standing::default() } > Standing { ready: 0, ..none });
        let none = Standing { ready: 0, ..none };
        assert!(Standing { score: 1, ..Standing::default() } > Standing { score: 0, ..none });
        assert!(Rank::new(all, low).beats(&Rank::new(all, high)));
        assert!(!Rank::new(all, low).beats(&Rank::new(all, low)));
    }
}
