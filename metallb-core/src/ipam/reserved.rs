//! Addresses that visibly are somebody's: nodes', peers', the API server's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::action::Report;
use super::allocator::{Allocator, Options};
use super::book::Holding;
use super::error::AllocationError;
use crate::config::{Config, ConfigError, Kind, ObjectId, PeerEndpoint, Problem};
use crate::facts::AddressOwner;
use crate::keys::{Family, PoolName, ServiceKey};

/// Whose an address is. An address may be that of several: of a node and a peer, for example.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    by_address: BTreeMap<IpAddr, BTreeSet<AddressOwner>>,
    by_owner: BTreeMap<AddressOwner, BTreeSet<IpAddr>>,
}

impl Reserved {
    /// Who has the address; of several the first.
    pub(super) fn owner_of(&self, address: IpAddr) -> Option<&AddressOwner> {
        if self.by_address.is_empty() {
            return None;
        }
        self.by_address.get(&address)?.first()
    }

    /// Reserved addresses from `first` to `last`, in order.
    pub(super) fn within(&self, first: IpAddr, last: IpAddr) -> impl Iterator<Item = IpAddr> {
        self.by_address.range(first..=last).map(|(&address, _)| address)
    }

    /// These are all addresses of the owner. Returns those that are reserved now and were not, and those that were and
    /// are not any more.
    fn replace(&mut self, owner: &AddressOwner, addresses: BTreeSet<IpAddr>) -> Changes {
        let before = self.by_owner.remove(owner).unwrap_or_default();
        let mut changes = Changes::default();
        for &address in before.difference(&addresses) {
            if let Some(owners) = self.by_address.get_mut(&address) {
                owners.remove(owner);
                if owners.is_empty() {
                    self.by_address.remove(&address);
                    changes.ended.push(address);
                } else {
                    changes.renamed.push(address);
                }
            }
        }
        for &address in addresses.difference(&before) {
            let owners = self.by_address.entry(address).or_default();
            let new = owners.is_empty();
            owners.insert(owner.clone());
            if new {
                changes.begun.push(address);
            } else {
                changes.renamed.push(address);
            }
        }
        if !addresses.is_empty() {
            self.by_owner.insert(owner.clone(), addresses);
        }
        changes
    }

    /// Peers with their addresses, as they are known.
    fn peers(&self) -> impl Iterator<Item = &AddressOwner> {
        self.by_owner.keys().filter(|owner| matches!(owner, AddressOwner::Peer(_)))
    }
}

/// What has become of reserved addresses.
#[derive(Debug, Default)]
struct Changes {
    begun: Vec<IpAddr>,
    ended: Vec<IpAddr>,
    /// Reserved before and after, for others.
    renamed: Vec<IpAddr>,
}

impl Allocator {
    /// Takes note that these, and no others, are addresses of `owner`; none at all when it is gone. They are never given
    /// out any more. A service that has one keeps it.
    ///
    /// The addresses of BGP peers come with the configuration ([`Allocator::set_pools`]).
    ///
    /// Costs the work of the addresses that have changed. Returns the services that hold one of these.
    pub fn reserve(&mut self, owner: &AddressOwner, addresses: &BTreeSet<IpAddr>) -> BTreeSet<ServiceKey> {
        let addresses = addresses.iter().map(IpAddr::to_canonical).collect();
        let Changes { begun, ended, renamed } = self.reserved.replace(owner, addresses);
        let mut concerned = BTreeSet::new();
        for &address in &begun {
            self.bar(address);
        }
        for &address in &ended {
            self.unbar(address);
        }
        for address in begun.into_iter().chain(ended).chain(renamed) {
            concerned.extend(self.book.holders_of(address).map(|holding| holding.service.clone()));
            if let Some(pool) = self.pools.name_of(address).cloned() {
                self.journal.users(&pool);
            }
        }
        concerned
    }

    /// Takes over the addresses of the peers of a configuration.
    pub(super) fn reserve_for_peers(&mut self, config: &Config) -> BTreeSet<ServiceKey> {
        let known: Vec<AddressOwner> = self.reserved.peers().cloned().collect();
        let mut wanted: BTreeMap<AddressOwner, BTreeSet<IpAddr>> =
            known.into_iter().map(|owner| (owner, BTreeSet::new())).collect();
        for peer in config.peers().values() {
            if let PeerEndpoint::Address(address) = peer.endpoint {
                wanted.insert(AddressOwner::Peer(peer.name.clone()), BTreeSet::from([address]));
            }
        }
        wanted.into_iter().flat_map(|(owner, addresses)| self.reserve(&owner, &addresses)).collect()
    }

    /// Why the address is not given out, although its pool has it.
    pub(super) fn barrier(&self, address: IpAddr) -> Option<AllocationError> {
        if let Some(owner) = self.reserved.owner_of(address) {
            return Some(AllocationError::AddressReserved { address, owner: owner.clone() });
        }
        let (id, _) = self.pools.locate(address)?;
        let pool = self.pools.index(id)?.pool();
        pool.excludes(address).then(|| AllocationError::AddressExcluded { address, pool: pool.name.clone() })
    }

    /// What is to be said about addresses that a service keeps although they would not be given out.
    pub(super) fn kept_barred(&self, service: &ServiceKey) -> impl Iterator<Item = Report> {
        let addresses = self.book.holding(service).into_iter().flat_map(Holding::addresses);
        addresses.filter_map(|address| {
            self.barrier(address).map(|barrier| Report::KeptBarred { address, barrier })
        })
    }

    /// What is to be said about a pool that contains addresses of others: the first few of them. Those of services come and go, and
    /// are named to who asks for one of them.
    pub fn owned_in(&self, pool: &PoolName) -> Option<Problem> {
        let index = self.pools.by_name(pool)?;
        let addresses = Family::BOTH.into_iter().flat_map(|family| index.reserved(family));
        let mut owned = addresses.filter_map(|address| {
            let owner = self.reserved.owner_of(address)?;
            (!matches!(owner, AddressOwner::Service(_))).then_some((address, owner))
        });
        let first: Vec<_> =
            owned.by_ref().take(MOST_NAMED).map(|(address, owner)| (address, owner.clone())).collect();
        let more = owned.count();
        (!first.is_empty()).then_some(Problem::Owned { first, more })
    }

    /// The address is not given out any more.
    fn bar(&mut self, address: IpAddr) {
        let Some((pool, position)) = self.pools.locate(address) else { return };
        let family = Family::of(address);
        let (held, until) = (self.book.is_held(address), self.quarantine.until(address));
        let key = self.joinable(address);
        self.pools.index_mut(pool, |index| {
            if let Some(key) = &key {
                index.unshare(family, key, position, false);
            }
            index.reserve(family, position, held, until);
        });
        self.note_usage(pool);
    }

    /// The address may be given out again.
    fn unbar(&mut self, address: IpAddr) {
        let Some((pool, position)) = self.pools.locate(address) else { return };
        let family = Family::of(address);
        let (held, until) = (self.book.is_held(address), self.quarantine.until(address));
        let key = self.joinable(address);
        let ports = self.book.ports_at(address);
        self.pools.index_mut(pool, |index| {
            index.end_reservation(family, position, held);
            if let Some(until) = until {
                index.quarantine(family, position, until);
            }
            if let Some(key) = &key {
                index.share(family, key, position, ports);
            }
        });
        self.note_usage(pool);
        self.journal.left(address);
        if let Some(key) = &key {
            self.journal.shareable(&key.sharing);
        }
        if let Some(index) = self.pools.index(pool) {
            self.journal.freed(&index.pool().name, family);
        }
    }
}

/// The warnings on the pools of a configuration that contain addresses of these owners or of its own BGP peers.
pub fn owned_addresses(
    config: &Config,
    owners: impl IntoIterator<Item = (AddressOwner, BTreeSet<IpAddr>)>,
) -> Vec<ConfigError> {
    let mut allocator = Allocator::new(Options::default());
    allocator.set_pools(config);
    for (owner, addresses) in owners {
        allocator.reserve(&owner, &addresses);
    }
    let warning = |pool: &PoolName| {
        let object = ObjectId::new(Kind::Pool, pool.as_str());
        Some(ConfigError::warning(object, "spec.addresses", allocator.owned_in(pool)?))
    };
    config.pools().keys().filter_map(warning).collect()
}

/// How many addresses of others are named in the warning on a pool.
const MOST_NAMED: usize = 5;
