//! What two OPENs agree on.

use super::capability::{
    AddPath, Capability, ExtendedNextHop, GracefulRestart, LongLived, add_path_families,
};
use super::header::MessageLimit;
use super::open::Open;
use super::pack::PathEncoding;
use super::update::UpdateContext;
use crate::types::{Asn, AsnWidth, Families, Family, HoldTime, PeerKind};

/// The properties of a session that follow from the OPENs of both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Negotiated {
    /// Internal or external.
    pub peer: PeerKind,
    /// The peer's AS number.
    pub remote_asn: Asn,
    /// The smaller of both hold times.
    pub hold_time: HoldTime,
    /// Width of AS numbers in attributes (RFC 6793 §4.1).
    pub asn_width: AsnWidth,
    /// Families both ends announced (RFC 4760 §8). An end without any multiprotocol capability means IPv4 unicast.
    pub families: Families,
    /// The longest message the peer accepts (RFC 8654 §4).
    pub send_limit: MessageLimit,
    /// The longest message we must accept.
    pub receive_limit: MessageLimit,
    /// The peer understands ROUTE-REFRESH.
    pub route_refresh: bool,
    /// Both ends understand BoRR and EoRR (RFC 7313 §4).
    pub enhanced_refresh: bool,
    /// Both ends take IPv4 unicast routes with an IPv6 next hop (RFC 8950 §4).
    pub extended_next_hop: bool,
    /// Families in which the peer sends path identifiers (RFC 7911 §4).
    pub add_path_receive: Families,
    /// Families in which we must send path identifiers.
    pub add_path_send: Families,
    /// The peer's graceful restart capability.
    pub graceful_restart: Option<GracefulRestart>,
    /// The families in the peer's long-lived graceful restart capability; none if it does not announce graceful
    /// restart, without which the capability is to be ignored (RFC 9494 §4.1).
    pub long_lived: Vec<LongLived>,
}

impl Negotiated {
    /// Compares the OPEN we sent with the one we received.
    pub fn new(sent: &Open, received: &Open) -> Self {
        let both = |capability: &Capability| sent.announces(capability) && received.announces(capability);
        let limit = |open: &Open| {
            let extended = open.announces(&Capability::ExtendedMessage);
            if extended { MessageLimit::Extended } else { MessageLimit::Standard }
        };
        let asn_width =
            if both(&Capability::FourOctetAsn(sent.asn)) { AsnWidth::Four } else { AsnWidth::Two };
        let (we, they) = (add_path(sent), add_path(received));
        let receives = |entry: &AddPath| entry.receive;
        let sends = |entry: &AddPath| entry.send;
        let directions = |from: &[AddPath], to: &[AddPath]| {
            add_path_families(from, sends).intersection(add_path_families(to, receives))
        };
        Self {
            peer: PeerKind::between(sent.asn, received.asn),
            remote_asn: received.asn,
            hold_time: sent.hold_time.negotiate(received.hold_time),
            asn_width,
            families: families(sent).intersection(families(received)),
            send_limit: limit(received),
            receive_limit: limit(sent),
            route_refresh: received.announces(&Capability::RouteRefresh),
            enhanced_refresh: both(&Capability::EnhancedRouteRefresh),
            extended_next_hop: takes_ipv6_next_hop(sent) && takes_ipv6_next_hop(received),
            add_path_receive: directions(&they, &we),
            add_path_send: directions(&we, &they),
            graceful_restart: graceful_restart(received),
            long_lived: graceful_restart(received).map_or_else(Vec::new, |_| long_lived(received)),
        }
    }

    /// How received UPDATEs have to be judged.
    pub fn update_context(&self) -> UpdateContext {
        let mut context = UpdateContext::new(self.peer, self.remote_asn, self.asn_width, self.families);
        context.extended_next_hop = self.extended_next_hop;
        context.add_path = self.add_path_receive;
        context
    }

    /// How path attributes have to be encoded.
    pub fn encoding(&self) -> PathEncoding {
        PathEncoding { peer: self.peer, asn_width: self.asn_width }
    }
}

/// The families an OPEN offers.
fn families(open: &Open) -> Families {
    let announced = open.capabilities.iter().filter_map(|capability| match capability {
        Capability::Multiprotocol(family) => Some(family),
        _ => None,
    });
    if announced.clone().next().is_none() {
        return Families::only(Family::Ipv4Unicast);
    }
    announced.filter_map(|family| family.family()).collect()
}

fn add_path(open: &Open) -> Vec<AddPath> {
    let entries = |capability: &Capability| match capability {
        Capability::AddPath(entries) => entries.clone(),
        _ => Vec::new(),
    };
    open.capabilities.iter().flat_map(entries).collect()
}

fn takes_ipv6_next_hop(open: &Open) -> bool {
    open.capabilities.iter().any(|capability| match capability {
        Capability::ExtendedNextHop(entries) => entries.contains(&ExtendedNextHop::IPV4_OVER_IPV6),
        _ => false,
    })
}

/// The last instance counts (RFC 4724 §3).
fn graceful_restart(open: &Open) -> Option<GracefulRestart> {
    open.capabilities.iter().rev().find_map(|capability| match capability {
        Capability::GracefulRestart(restart) => Some(restart.clone()),
        _ => None,
    })
}

/// The last instance counts, as with graceful restart.
fn long_lived(open: &Open) -> Vec<LongLived> {
    let last = open.capabilities.iter().rev().find_map(|capability| match capability {
        Capability::LongLivedGracefulRestart(entries) => Some(entries.clone()),
        _ => None,
    });
    last.unwrap_or_default()
}

#[cfg(test)]
mod tests;
