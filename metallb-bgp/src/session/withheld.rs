//! Why a peer does not get routes that are for it.

use std::fmt;

use super::connection::Connection;
use super::offer::offered;
use super::{PeerConfig, Session};
use crate::addresses::NoNextHop;
use crate::table::AdvTable;
use crate::types::{Families, Family};

/// Routes of one family that the peer of an established session does not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Withheld {
    /// Their family.
    pub family: Family,
    /// Why.
    pub reason: WithheldReason,
    /// How many there are.
    pub routes: u64,
}

/// Why routes are not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WithheldReason {
    /// There is no next hop of the family.
    NoNextHop(NoNextHop),
    /// IPv4 routes have an IPv6 next hop only, which the peer has not said it takes (RFC 8950 §4).
    NoExtendedNextHop(NoNextHop),
    /// The family is offered, and the peer does not have it (RFC 4760 §8).
    FamilyNotAgreed,
    /// The session is not to have the family.
    FamilyNotConfigured,
    /// Their attributes leave no room in a message (RFC 4271 §9.2).
    TooLong,
}

impl WithheldReason {
    /// One of each label.
    pub const LABELS: [&'static str; 8] = [
        NoNextHop::NoAddress.reason(),
        NoNextHop::Unusable.reason(),
        NoNextHop::Announced.reason(),
        NoNextHop::OfPeer.reason(),
        Self::NoExtendedNextHop(NoNextHop::NoAddress).label(),
        Self::FamilyNotAgreed.label(),
        Self::FamilyNotConfigured.label(),
        Self::TooLong.label(),
    ];

    /// A label for metrics: one of [`LABELS`](Self::LABELS).
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoNextHop(reason) => reason.reason(),
            Self::NoExtendedNextHop(_) => "noExtendedNextHop",
            Self::FamilyNotAgreed => "familyNotAgreed",
            Self::FamilyNotConfigured => "familyNotConfigured",
            Self::TooLong => "tooLong",
        }
    }
}

impl fmt::Display for WithheldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNextHop(reason) => write!(f, "no next hop: {reason}"),
            Self::NoExtendedNextHop(reason) => {
                write!(f, "no IPv4 next hop: {reason}; and the router does not take an IPv6 one (RFC 8950)")
            }
            Self::FamilyNotAgreed => f.write_str("the router has not activated the family for this session"),
            Self::FamilyNotConfigured => f.write_str("the session is not configured to have the family"),
            Self::TooLong => f.write_str("their attributes leave no room in a message"),
        }
    }
}

impl Session {
    /// The routes that the peer of the established session does not get.
    pub(super) fn withheld(&self, table: &AdvTable) -> Vec<Withheld> {
        let Some(connection) = self.established() else { return Vec::new() };
        let Some(negotiated) = &connection.negotiated else { return Vec::new() };
        let missing = missing_families(connection, &self.config);
        let of_family = |family| {
            if !negotiated.families.contains(family) {
                let agreed = missing.contains(family);
                let reason = if agreed {
                    WithheldReason::FamilyNotAgreed
                } else {
                    WithheldReason::FamilyNotConfigured
                };
                return (reason, table.routes_of(&self.key, family));
            }
            let whole = connection.withheld.iter().find(|(of, _)| *of == family);
            let reason = whole.map_or(WithheldReason::TooLong, |(_, reason)| *reason);
            (reason, connection.slot.map_or(0, |slot| table.unsendable(slot, family)))
        };
        Family::ALL
            .into_iter()
            .map(|family| (family, of_family(family)))
            .filter(|(_, (_, routes))| *routes > 0)
            .map(|(family, (reason, routes))| Withheld { family, reason, routes })
            .collect()
    }
}

/// The families that are wanted on a session, whatever was given up, and that were not agreed on.
pub(super) fn missing_families(connection: &Connection, config: &PeerConfig) -> Families {
    let Some((negotiated, endpoints)) = connection.negotiated.as_ref().zip(connection.endpoints) else {
        return Families::EMPTY;
    };
    negotiated.families.iter().fold(offered(config, endpoints.remote.ip()), Families::without)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_a_label_of_its_own() {
        let next_hops = [NoNextHop::NoAddress, NoNextHop::Unusable, NoNextHop::Announced, NoNextHop::OfPeer];
        let reasons = next_hops.map(WithheldReason::NoNextHop).into_iter().chain([
            WithheldReason::NoExtendedNextHop(NoNextHop::Unusable),
            WithheldReason::FamilyNotAgreed,
            WithheldReason::FamilyNotConfigured,
            WithheldReason::TooLong,
        ]);
        let labels: BTreeSet<&str> = reasons.map(WithheldReason::label).collect();
        assert_eq!(labels, WithheldReason::LABELS.into_iter().collect());
        assert_eq!(labels.len(), WithheldReason::LABELS.len());
    }
}
