//! Where this machine sends what is for an address: the kernel's main table, as `/proc/net` shows it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The way to an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) interface: String,
    /// The router, when the address is not in a segment of this machine.
    pub(super) gateway: Option<IpAddr>,
}

/// The route to an address; `None` when there is none.
pub(super) fn find(address: IpAddr) -> Result<Option<Route>, String> {
    let read =
        |path: &str| std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"));
    match address {
        IpAddr::V4(address) => read("/proc/net/route").map(|table| v4(&table, address)),
        IpAddr::V6(address) => read("/proc/net/ipv6_route").map(|table| v6(&table, address)),
    }
}

/// The longest prefix of `/proc/net/route` that has the address.
fn v4(table: &str, address: Ipv4Addr) -> Option<Route> {
    let routes = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, metric, mask, ..] = fields.as_slice() else {
            return None;
        };
        // Octets in the order of the network, written as a number of this machine.
        let number = |text: &str| {
            u32::from_str_radix(text, 16).ok().map(|number| u32::from_be_bytes(number.to_ne_bytes()))
        };
        let (destination, gateway, mask) = (number(destination)?, number(gateway)?, number(mask)?);
        let usable = u32::from_str_radix(flags, 16).ok()? & (UP | REJECT) == UP;
        (usable && u32::from(address) & mask == destination).then(|| {
            let gateway = Some(Ipv4Addr::from(gateway)).filter(|gateway| !gateway.is_unspecified());
            let route = Route { interface: (*interface).to_owned(), gateway: gateway.map(IpAddr::V4) };
            (mask.count_ones(), std::cmp::Reverse(metric.parse::<u32>().unwrap_or(u32::MAX)), route)
        })
    });
    routes.max_by_key(|(length, metric, _)| (*length, *metric)).map(|(.., route)| route)
}

/// The longest prefix of `/proc/net/ipv6_route` that has the address.
fn v6(table: &str, address: Ipv6Addr) -> Option<Route> {
    let routes = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [destination, length, _, _, gateway, metric, _, _, flags, interface] = fields.as_slice() else {
            return None;
        };
        let number = |text: &str| u128::from_str_radix(text, 16).ok();
        let length = u32::from_str_radix(length, 16).ok()?;
        let shift = 128_u32.checked_sub(length)?;
        let is_inside = (u128::from(address) ^ number(destination)?).checked_shr(shift).unwrap_or(0) == 0;
        // What is local to this machine is on `lo`, and says nothing about the segment.
        let usable = u32::from_str_radix(flags, 16).ok()? & (UP | REJECT) == UP && *interface != "lo";
        (is_inside && usable).then(|| {
            let gateway = number(gateway).map(Ipv6Addr::from).filter(|gateway| !gateway.is_unspecified());
            let route = Route { interface: (*interface).to_owned(), gateway: gateway.map(IpAddr::V6) };
            (length, std::cmp::Reverse(u32::from_str_radix(metric, 16).unwrap_or(u32::MAX)), route)
        })
    });
    routes.max_by_key(|(length, metric, _)| (*length, *metric)).map(|(.., route)| route)
}

/// `RTF_UP` and `RTF_REJECT` of `route.h`.
const UP: u32 = 1;
const REJECT: u32 = 0x200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
            *\t0064A8C0\t00000000\t0201\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let of = |address: &str| v4(table, address.parse().unwrap());
        let direct = Route { interface: "eth1".to_owned(), gateway: None };
        assert_eq!(of("192.0.2.7"), Some(direct));
        let by_router = Route { interface: "eth0".to_owned(), gateway: Some("192.0.2.1".parse().unwrap()) };
        assert_eq!(of("198.51.100.1"), Some(by_router));
        assert_eq!(v4("Iface\n", "192.0.2.7".parse().unwrap()), None);
    }

    #[test]
    fn a_local_address_says_nothing_about_the_segment() {
        let table = "20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n\
            20010db8000000000000000000000007 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80200001       lo\n\
            00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n\
            00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";
        let of = |address: &str| v6(table, address.parse().unwrap()).unwrap();
        assert_eq!(of("2001:db8::7"), Route { interface: "eth0".to_owned(), gateway: None });
        assert_eq!(of("2001:db8:1::7").gateway, Some("fe80::1".parse().unwrap()));
    }
}
