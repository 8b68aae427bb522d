//! Our OPEN: what we are and what we can do.

use std::net::IpAddr;

use super::connection::Endpoints;
use super::{OfferedFamilies, PeerConfig, Session};
use crate::types::{Families, Family};
use crate::wire::capability::{Capability, ExtendedNextHop, GracefulFamily, GracefulRestart};
use crate::wire::open::Open;

impl Session {
    /// The OPEN for a connection with these ends.
    pub(super) fn open_for(&mut self, endpoints: &Endpoints) -> Open {
        let configured = self.config.router_id;
        let router_id =
            configured.or(self.router_id).or_else(|| endpoints.router_id()).unwrap_or(self.fallback_id);
        self.router_id = Some(router_id);
        let capabilities = self.capabilities(endpoints.remote.ip());
        Open::new(self.config.local_asn, self.config.hold_time, router_id, capabilities)
    }

    fn capabilities(&self, remote: IpAddr) -> Vec<Capability> {
        let families = offered(&self.config, remote);
        let mut list: Vec<Capability> =
            families.iter().map(|family| Capability::Multiprotocol(family.afi_safi())).collect();
        list.push(Capability::RouteRefresh);
        list.push(Capability::EnhancedRouteRefresh);
        if families.contains(Family::Ipv4Unicast) && !remote.to_canonical().is_ipv4() {
            list.push(Capability::ExtendedNextHop(vec![ExtendedNextHop::IPV4_OVER_IPV6]));
        }
        if self.config.extended_messages {
            list.push(Capability::ExtendedMessage);
        }
        list.push(self.graceful_restart(families));
        list
    }

    /// With graceful restart the families; without, an empty list, which offers to help and promises End-of-RIB
    /// (RFC 4724 §4).
    fn graceful_restart(&self, families: Families) -> Capability {
        let Some(graceful) = &self.config.graceful_restart else {
            return Capability::GracefulRestart(GracefulRestart::default());
        };
        let seconds = u16::try_from(graceful.restart_time.as_secs()).unwrap_or(u16::MAX);
        let forwarding = graceful.forwarding_preserved;
        Capability::GracefulRestart(GracefulRestart {
            restarting: self.restarting,
            notification: true,
            restart_time: seconds.min(GracefulRestart::MAX_RESTART_TIME),
            families: families
                .iter()
                .map(|family| GracefulFamily { family: family.afi_safi(), forwarding })
                .collect(),
        })
    }
}

/// The families to offer to a peer at `remote`.
pub(super) fn offered(config: &PeerConfig, remote: IpAddr) -> Families {
    match config.families {
        OfferedFamilies::Both => Families::BOTH,
        OfferedFamilies::Ipv4 => Families::only(Family::Ipv4Unicast),
        OfferedFamilies::Own if remote.to_canonical().is_ipv4() => Families::only(Family::Ipv4Unicast),
        OfferedFamilies::Own | OfferedFamilies::Ipv6 => Families::only(Family::Ipv6Unicast),
    }
}
