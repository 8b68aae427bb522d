//! What would change from one outcome to another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::announce::{AnnounceProblem, Route};
use crate::keys::{NodeName, ServiceKey};

use super::{Outcome, ServiceOutcome};

/// One thing that two outcomes do not have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The addresses of a service.
    Addresses {
        /// The service.
        service: ServiceKey,
        /// What it had.
        before: Vec<IpAddr>,
        /// What it has.
        after: Vec<IpAddr>,
    },
    /// The node that announces an address by Layer 2.
    Owner {
        /// The address.
        address: IpAddr,
        /// Who did.
        before: Option<NodeName>,
        /// Who does.
        after: Option<NodeName>,
    },
    /// What a node advertises for a prefix.
    Routes {
        /// The node.
        node: NodeName,
        /// The prefix.
        prefix: IpNetwork,
        /// The routes there were.
        before: Vec<Route>,
        /// The routes there are.
        after: Vec<Route>,
    },
    /// What is wrong with a service.
    Problems {
        /// The service.
        service: ServiceKey,
        /// What was wrong.
        before: Vec<AnnounceProblem>,
        /// What is wrong.
        after: Vec<AnnounceProblem>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses { service, before, after } => {
                write!(f, "{service}: {} -> {}", Listed(before), Listed(after))
            }
            Self::Owner { address, before, after } => {
                write!(
                    f,
                    "{address} by layer2: {} -> {}",
                    Listed(before.as_slice()),
                    Listed(after.as_slice())
                )
            }
            Self::Routes { node, prefix, before, after } => {
                let peers = |routes: &[Route]| -> Vec<_> {
                    routes.iter().flat_map(|route| route.peers.iter().cloned()).collect()
                };
                let (before, after) = (peers(before), peers(after));
                write!(f, "{prefix} from {node} to ")?;
                if before == after {
                    return write!(f, "{}: other attributes", Listed(&after));
                }
                write!(f, "{} -> {}", Listed(&before), Listed(&after))
            }
            Self::Problems { service, before, after } => {
                write!(f, "{service}: {} -> {}", Listed(before), Listed(after))
            }
        }
    }
}

/// What would change from one outcome to the other: addresses, owners, routes, problems, each in order.
#[must_use]
pub fn diff(before: &Outcome, after: &Outcome) -> Vec<Difference> {
    let mut differences = Vec::new();
    let nothing = ServiceOutcome::default();
    let pairs: Vec<_> = keys(&before.services, &after.services)
        .map(|key| {
            let of = |outcome: &'_ Outcome| outcome.services.get(key).cloned();
            (key, of(before).unwrap_or_else(|| nothing.clone()), of(after).unwrap_or_else(|| nothing.clone()))
        })
        .collect();
    for (key, old, new) in &pairs {
        if old.addresses != new.addresses {
            differences.push(Difference::Addresses {
                service: (*key).clone(),
                before: old.addresses.clone(),
                after: new.addresses.clone(),
            });
        }
    }
    let (old, new) = (owners(before), owners(after));
    for address in keys(&old, &new) {
        if old.get(address) != new.get(address) {
            differences.push(Difference::Owner {
                address: *address,
                before: old.get(address).cloned(),
                after: new.get(address).cloned(),
            });
        }
    }
    diff_routes(before, after, &mut differences);
    for (key, old, new) in pairs {
        if old.problems != new.problems {
            let (before, after) = (old.problems, new.problems);
            differences.push(Difference::Problems { service: key.clone(), before, after });
        }
    }
    differences
}

fn diff_routes(before: &Outcome, after: &Outcome, differences: &mut Vec<Difference>) {
    let nothing = BTreeMap::new();
    for node in keys(&before.routes, &after.routes) {
        let old = before.routes.get(node).unwrap_or(&nothing);
        let new = after.routes.get(node).unwrap_or(&nothing);
        for prefix in keys(old, new) {
            if old.get(prefix) != new.get(prefix) {
                differences.push(Difference::Routes {
                    node: node.clone(),
                    prefix: *prefix,
                    before: old.get(prefix).cloned().unwrap_or_default(),
                    after: new.get(prefix).cloned().unwrap_or_default(),
                });
            }
        }
    }
}

fn owners(outcome: &Outcome) -> BTreeMap<IpAddr, NodeName> {
    outcome.services.values().flat_map(|entry| entry.owners.clone()).collect()
}

/// The keys of both maps, in order, each once.
fn keys<'a, K: Ord, V>(a: &'a BTreeMap<K, V>, b: &'a BTreeMap<K, V>) -> impl Iterator<Item = &'a K> {
    a.keys().chain(b.keys()).collect::<BTreeSet<_>>().into_iter()
}

/// Items with commas between them; `none` when there are none.
struct Listed<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}
