//! Our OPEN: what we are and what we can do.

use std::net::IpAddr;

use super::connection::Endpoints;
use super::{GracefulRestart as Graceful, OfferedFamilies, PeerConfig, Session};
use crate::types::{Families, Family, RouterId};
use crate::wire::capability::{Capability, ExtendedNextHop, GracefulFamily, GracefulRestart, LongLived};
use crate::wire::open::Open;

impl Session {
    /// The OPEN for a connection with these ends.
    pub(super) fn open_for(&mut self, endpoints: &Endpoints) -> Open {
        let router_id = self.identifier(endpoints);
        if self.config.router_id.is_none() {
            self.derived_id = Some(router_id);
        }
        let capabilities = self.capabilities(endpoints.remote.ip());
        let mut open = Open::new(self.config.local_asn, self.config.hold_time, router_id, capabilities);
        self.given_up.apply(&mut open);
        open
    }

    /// The BGP identifier for a connection with these ends.
    pub(super) fn identifier(&self, endpoints: &Endpoints) -> RouterId {
        let chosen = self.config.router_id.or(self.derived_id);
        chosen.or_else(|| endpoints.router_id()).unwrap_or(self.fallback_id)
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
        // Roles are between ASes (RFC 9234 §4.1).
        let external = self.config.remote_asn.may_be_external(self.config.local_asn);
        list.extend(self.config.role.filter(|_| external).map(|policy| Capability::Role(policy.role.code())));
        let graceful = self.effective_graceful_restart();
        list.push(graceful_restart(graceful.as_ref(), self.restarting, families));
        list.extend(graceful.and_then(|graceful| long_lived(&graceful, families)));
        list
    }

    /// Graceful restart as configured; but a peer that has had a session with this process holds routes whose forwarding
    /// this process has set up. That it was not there when the process started does not matter any more.
    fn effective_graceful_restart(&self) -> Option<Graceful> {
        let mut graceful = self.config.graceful_restart?;
        graceful.forwarding_preserved |= !self.restarting || self.counters.established > 0;
        Some(graceful)
    }

    /// Capabilities in which our next OPEN differs from the one that was sent, in words.
    pub(super) fn pending_capabilities(&self, sent: &Open) -> Vec<&'static str> {
        let families = |open: &Open| -> Families {
            let family = |capability: &Capability| match capability {
                Capability::Multiprotocol(family) => family.family(),
                _ => None,
            };
            open.capabilities.iter().filter_map(family).collect()
        };
        let graceful = self.config.graceful_restart.as_ref();
        let mut wanted = vec![("graceful restart", graceful_restart(graceful, false, families(sent)))];
        let long_lived = graceful.and_then(|graceful| long_lived(graceful, families(sent)));
        wanted.extend(long_lived.map(|capability| ("long-lived graceful restart", capability)));
        wanted.retain(|(_, capability)| {
            let said = sent.capabilities.iter().any(|sent| same_promise(sent, capability));
            !said && !self.given_up.covers(capability)
        });
        wanted.into_iter().map(|(name, _)| name).collect()
    }
}

/// Whether two capabilities say the same, whatever they say of the past: the R and the F bits.
fn same_promise(sent: &Capability, wanted: &Capability) -> bool {
    match (sent, wanted) {
        (Capability::GracefulRestart(sent), Capability::GracefulRestart(wanted)) => {
            let same = |(a, b): (&GracefulFamily, &GracefulFamily)| a.family == b.family;
            sent.families.len() == wanted.families.len()
                && sent.families.iter().zip(&wanted.families).all(same)
                && sent.notification == wanted.notification
                && sent.restart_time == wanted.restart_time
        }
        (Capability::LongLivedGracefulRestart(sent), Capability::LongLivedGracefulRestart(wanted)) => {
            let same =
                |(a, b): (&LongLived, &LongLived)| (a.family, a.stale_time) == (b.family, b.stale_time);
            sent.len() == wanted.len() && sent.iter().zip(wanted).all(same)
        }
        _ => sent == wanted,
    }
}

/// With graceful restart the families; without, an empty list, which offers to help and promises End-of-RIB
/// (RFC 4724 §4).
fn graceful_restart(graceful: Option<&Graceful>, restarting: bool, families: Families) -> Capability {
    let Some(graceful) = graceful else {
        return Capability::GracefulRestart(GracefulRestart::default());
    };
    let seconds = u16::try_from(graceful.restart_time.as_secs()).unwrap_or(u16::MAX);
    let forwarding = graceful.forwarding_preserved;
    Capability::GracefulRestart(GracefulRestart {
        restarting,
        notification: true,
        restart_time: seconds.min(GracefulRestart::MAX_RESTART_TIME),
        families: families
            .iter()
            .map(|family| GracefulFamily { family: family.afi_safi(), forwarding })
            .collect(),
    })
}

/// Never without graceful restart (RFC 9494 §4.1), and for the same families.
fn long_lived(graceful: &Graceful, families: Families) -> Option<Capability> {
    let seconds = u32::try_from(graceful.long_lived_stale_time?.as_secs()).unwrap_or(u32::MAX);
    let entry = |family: Family| LongLived {
        family: family.afi_safi(),
        forwarding: graceful.forwarding_preserved,
        stale_time: seconds.min(LongLived::MAX_STALE_TIME),
    };
    Some(Capability::LongLivedGracefulRestart(families.iter().map(entry).collect()))
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
