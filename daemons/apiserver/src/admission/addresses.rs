//! Cluster addresses and node ports: who has which.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::{list, text};

/// What services hold. Kept in step with the store by [`Addresses::hold`] and [`Addresses::release`].
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    used: BTreeSet<IpAddr>,
    ports: BTreeSet<(u16, String)>,
    next_v4: u32,
    next_v6: u32,
    next_port: u16,
}

/// Address families in Kubernetes' spelling.
pub(crate) const V4: &str = "IPv4";
pub(crate) const V6: &str = "IPv6";

impl Addresses {
    pub(crate) fn hold(&mut self, service: &Value) {
        self.used.extend(cluster_addresses(service));
        self.ports.extend(node_ports(service));
    }

    pub(crate) fn release(&mut self, service: &Value) {
        for address in cluster_addresses(service) {
            self.used.remove(&address);
        }
        for port in node_ports(service) {
            self.ports.remove(&port);
        }
    }

    /// A free cluster address. It is only held once the service is stored.
    pub(crate) fn free_address(&mut self, family: &str) -> Option<IpAddr> {
        for _ in 0..HOSTS {
            let candidate = if family == V6 { self.candidate_v6() } else { self.candidate_v4() };
            if !self.used.contains(&candidate) {
                return Some(candidate);
            }
        }
        None
    }

    /// A free node port that is not among `taken` either.
    pub(crate) fn free_port(&mut self, protocol: &str, taken: &BTreeSet<(u16, String)>) -> Option<u16> {
        for _ in FIRST_PORT..=LAST_PORT {
            let port = FIRST_PORT + self.next_port;
            self.next_port = (self.next_port + 1) % (LAST_PORT - FIRST_PORT + 1);
            let wanted = (port, protocol.to_owned());
            // A port that another protocol has is left alone while there are others.
            let busy = |set: &BTreeSet<(u16, String)>| {
                set.range((port, String::new())..).next().is_some_and(|(found, _)| *found == port)
            };
            if !busy(&self.ports) && !busy(taken) && !taken.contains(&wanted) {
                return Some(port);
            }
        }
        None
    }

    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.used.contains(&address)
    }

    pub(crate) fn has_port(&self, port: u16, protocol: &str) -> bool {
        self.ports.contains(&(port, protocol.to_owned()))
    }

    fn candidate_v4(&mut self) -> IpAddr {
        self.next_v4 = self.next_v4 % HOSTS + 1;
        IpAddr::V4(Ipv4Addr::from_bits(BASE_V4.to_bits() + self.next_v4))
    }

    fn candidate_v6(&mut self) -> IpAddr {
        self.next_v6 = self.next_v6 % HOSTS + 1;
        IpAddr::V6(Ipv6Addr::from_bits(BASE_V6.to_bits() + u128::from(self.next_v6)))
    }
}

/// Whether an address lies in the range for services.
pub(crate) fn in_range(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.to_bits() >> 16 == BASE_V4.to_bits() >> 16,
        IpAddr::V6(address) => address.to_bits() >> 16 == BASE_V6.to_bits() >> 16,
    }
}

/// The range that an address of this family must lie in.
pub(crate) fn range_of(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "10.96.0.0/16" } else { "fd00:10:96::/112" }
}

pub(crate) fn family_of(address: IpAddr) -> &'static str {
    if address.is_ipv4() { V4 } else { V6 }
}

pub(crate) fn cluster_addresses(service: &Value) -> impl Iterator<Item = IpAddr> {
    list(service, "/spec/clusterIPs").iter().filter_map(|address| address.as_str()?.parse().ok())
}

/// Node ports of a service, the health check port included.
pub(crate) fn node_ports(service: &Value) -> BTreeSet<(u16, String)> {
    let port =
        |value: Option<&Value>| value.and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let mut ports: BTreeSet<_> = list(service, "/spec/ports")
        .iter()
        .filter_map(|entry| {
            let number = port(entry.get("nodePort")).filter(|number| *number != 0)?;
            Some((number, text(entry, "/protocol").to_owned()))
        })
        .collect();
    if let Some(number) = port(service.pointer("/spec/healthCheckNodePort")).filter(|number| *number != 0) {
        ports.insert((number, "TCP".to_owned()));
    }
    ports
}

/// 10.96.0.0/16 and fd00:10:96::/112.
const BASE_V4: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 0);
const BASE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0);
/// Usable addresses per family: without network and broadcast address.
const HOSTS: u32 = 65_534;
/// Node ports, as the real server's default.
pub(crate) const FIRST_PORT: u16 = 30_000;
pub(crate) const LAST_PORT: u16 = 32_767;
