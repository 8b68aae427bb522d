//! The places of the lab and the objects in its cluster.

pub(crate) mod objects;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnetwork::IpNetwork;

use crate::net::MacAddr;

/// Namespace of the load balancer's own objects.
pub(crate) const SYSTEM_NAMESPACE: &str = "metallb-system";

/// AS number of the lab's router.
pub(crate) const ROUTER_ASN: u32 = 64513;

/// Configuration and services of a lab without `-f`.
pub(crate) const DEFAULT_CONFIGURATION: &str = include_str!("configuration.yaml");

/// The same with BFD on every path.
pub(crate) fn watched_configuration() -> String {
    let watched = DEFAULT_CONFIGURATION.replace("holdTime:", "bfdProfile: lab, holdTime:");
    format!("{watched}{}", include_str!("bfd.yaml"))
}

/// Interval between two BFD packets, as the router has it and as `bfd.yaml` asks for.
pub(crate) const BFD_INTERVAL: Duration = Duration::from_millis(100);
/// How many packets may be missed.
pub(crate) const BFD_MULTIPLIER: u8 = 3;

/// Length of the segment's IPv4 prefix 192.0.2.0/24 (RFC 5737, TEST-NET-1).
const V4_LENGTH: u8 = 24;
/// Length of the segment's IPv6 prefix 2001:db8:1ab::/64 (RFC 3849).
const V6_LENGTH: u8 = 64;

/// A machine on the segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
    pub(crate) mac: MacAddr,
}

impl Place {
    /// The router: 192.0.2.1, 2001:db8:1ab::1.
    pub(crate) fn router() -> Self {
        Self::numbered("router", 1)
    }

    /// The client: 192.0.2.2, 2001:db8:1ab::2.
    pub(crate) fn client() -> Self {
        Self::numbered("client", 2)
    }

    /// The API server, and the controller beside it: 192.0.2.3, 2001:db8:1ab::3.
    pub(crate) fn api_server() -> Self {
        Self::numbered("segment", 3)
    }

    /// Node `number` (from 1): 192.0.2.11, 2001:db8:1ab::11 and so on.
    pub(crate) fn node(number: usize) -> Self {
        let host = u8::try_from(number).unwrap_or(u8::MAX).saturating_add(10);
        Self::numbered(&format!("node{number}"), host)
    }

    fn numbered(name: &str, host: u8) -> Self {
        // The IPv6 address reads like the IPv4 one: ::11 beside .11.
        let digits = u16::from_str_radix(&host.to_string(), 16).unwrap_or_else(|_| host.into());
        Self {
            name: name.to_owned(),
            v4: Ipv4Addr::new(192, 0, 2, host),
            v6: Ipv6Addr::new(0x2001, 0xdb8, 0x1ab, 0, 0, 0, 0, digits),
            mac: MacAddr([0x02, 0, 0, 0, 0, host]),
        }
    }

    /// The address that the kernel gives to `eth0` by itself (RFC 4291, appendix A); a router may
    /// prefer it as the next hop.
    pub(crate) fn link_local(&self) -> Ipv6Addr {
        let [m0, m1, m2, m3, m4, m5] = self.mac.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, m0 ^ 2, m1, m2, 0xff, 0xfe, m3, m4, m5])
    }

    /// Both addresses with the lengths of their prefixes.
    pub(crate) const fn addresses(&self) -> [(IpAddr, u8); 2] {
        [(IpAddr::V4(self.v4), V4_LENGTH), (IpAddr::V6(self.v6), V6_LENGTH)]
    }
}

/// Both prefixes of the segment.
pub(crate) fn segment() -> [IpNetwork; 2] {
    Place::router().addresses().map(|(address, length)| {
        // The lengths are constants within range; a host prefix would be the worst outcome.
        IpNetwork::new(address, length)
            .and_then(|net| IpNetwork::new(net.network(), length))
            .unwrap_or_else(|_| address.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::MAX_NODES;

    #[test]
    fn addresses_of_both_families_read_alike() {
        let node = Place::node(1);
        assert_eq!(
            (node.v4.to_string(), node.v6.to_string()),
            ("192.0.2.11".into(), "2001:db8:1ab::11".into())
        );
    }

    #[test]
    fn the_link_local_address_is_made_of_the_hardware_address() {
        assert_eq!(Place::node(1).link_local().to_string(), "fe80::ff:fe00:b");
    }

    #[test]
    fn the_last_node_stays_below_the_pool() {
        assert!(Place::node(MAX_NODES).v4 < Ipv4Addr::new(192, 0, 2, 100));
        assert!(Place::node(MAX_NODES).v6 < Ipv6Addr::new(0x2001, 0xdb8, 0x1ab, 0, 0, 0, 0, 0x100));
    }

    #[test]
    fn the_segment_holds_every_place() {
        for (address, _) in Place::node(MAX_NODES).addresses() {
            assert!(segment().iter().any(|net| net.contains(address)), "{address}");
        }
    }
}
