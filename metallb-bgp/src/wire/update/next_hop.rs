//! Next hops judged by value: whether routes can lead there at all (RFC 4271 §6.3).
//!
//! RFC 4760 and RFC 8950 say nothing of values; what NEXT_HOP may not be, the next hop in MP_REACH_NLRI is not either.

use std::net::{IpAddr, Ipv6Addr};

use super::fault::Fault;
use crate::types::NextHop;

/// Judges a next hop of MP_REACH_NLRI; `own` is our address on the session.
pub(super) fn judge_multiprotocol(next_hop: NextHop, own: Option<IpAddr>) -> Result<(), Fault> {
    if let NextHop::V6 { link_local: Some(second), .. } = next_hop
        && !second.is_unicast_link_local()
    {
        return Err(Fault::SecondNextHop);
    }
    judge(next_hop.address(), own, Fault::MultiprotocolNextHop)
}

/// Judges the address that routes lead to; `no_host` says that it is no address of a host.
pub(super) fn judge(address: IpAddr, own: Option<IpAddr>, no_host: Fault) -> Result<(), Fault> {
    let address = address.to_canonical();
    if !is_host(address) {
        return Err(no_host);
    }
    if own.is_some_and(|own| own.to_canonical() == address) { Err(Fault::OwnNextHop) } else { Ok(()) }
}

/// The second address of a next hop of 32 octets (RFC 2545 §3); `::` is none.
pub(super) fn second(address: Ipv6Addr) -> Option<Ipv6Addr> {
    Some(address).filter(|address| !address.is_unspecified())
}

/// Whether another host can have the address: not unspecified, loopback, multicast, nor from the reserved end of IPv4.
fn is_host(address: IpAddr) -> bool {
    let reserved = matches!(address, IpAddr::V4(v4) if matches!(v4.octets(), [0 | 240..=255, ..]));
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || reserved)
}
