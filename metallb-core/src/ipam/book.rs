//! Who holds what: services by key, holders by address.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::claim::{Claim, Sharing};
use crate::addr::to_value;
use crate::keys::{Family, NamespaceName, Port, ServiceKey};

/// Number of a service in the book. Depends on history, so it never decides anything.
pub(super) type Slot = u32;

/// What one service holds.
#[derive(Clone, Debug)]
pub(super) struct Holding {
    pub(super) service: ServiceKey,
    pub(super) ports: Box<[Port]>,
    pub(super) sharing: Option<Arc<Sharing>>,
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
    v6_first: bool,
    /// Since when it holds each, as a number that grows with each address that anybody gets.
    since: [u64; 2],
}

impl Holding {
    pub(super) fn address(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }

    /// The addresses in the order in which they are written.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let order = if self.v6_first { [Family::V6, Family::V4] } else { Family::BOTH };
        let addresses = order.map(|family| self.address(family));
        addresses.into_iter().flatten()
    }

    /// Since when it holds its address of the family, compared with others.
    pub(super) const fn since(&self, family: Family) -> u64 {
        let [v4, v6] = self.since;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    const fn set_since(&mut self, family: Family, since: u64) {
        let [v4, v6] = &mut self.since;
        match family {
            Family::V4 => *v4 = since,
            Family::V6 => *v6 = since,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    pub(super) fn holds(&self, address: IpAddr) -> bool {
        self.address(Family::of(address)) == Some(address)
    }

    /// Puts an address behind what is there.
    fn append(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                self.v6_first = self.v6.is_some();
                self.v4 = Some(address);
            }
            IpAddr::V6(address) => {
                self.v6_first = self.v4.is_none();
                self.v6 = Some(address);
            }
        }
    }

    fn drop_family(&mut self, family: Family) {
        match family {
            Family::V4 => self.v4 = None,
            Family::V6 => self.v6 = None,
        }
    }
}

/// Who holds one address.
#[derive(Debug)]
pub(super) enum Holders {
    /// One service.
    One(Slot),
    /// Several that share it.
    Many(Box<Group>),
}

/// Services that share an address.
#[derive(Debug, Default)]
pub(super) struct Group {
    members: BTreeSet<Slot>,
    ports: BTreeMap<Port, Slot>,
    /// What the members say about sharing, and how many say so.
    sharing: BTreeMap<Option<Arc<Sharing>>, usize>,
    /// Their namespaces, and how many are in each.
    namespaces: BTreeMap<NamespaceName, usize>,
}

/// What [`Book::add`] did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added {
    /// The service that was added.
    pub(super) slot: Slot,
    /// Nobody held the address before.
    pub(super) is_first: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Book {
    slots: HashMap<ServiceKey, Slot>,
    holdings: Vec<Option<Holding>>,
    vacant: Vec<Slot>,
    v4: BTreeMap<u128, Holders>,
    v6: BTreeMap<u128, Holders>,
    /// How many addresses were given out so far.
    given: u64,
}

impl Book {
    pub(super) fn holding(&self, service: &ServiceKey) -> Option<&Holding> {
        self.at(*self.slots.get(service)?)
    }

    /// The number of a service that holds something.
    pub(super) fn slot(&self, service: &ServiceKey) -> Option<Slot> {
        self.slots.get(service).copied()
    }

    /// How many services hold something.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// All services in the order of their keys.
    pub(super) fn sorted(&self) -> Vec<&Holding> {
        let mut all: Vec<&Holding> = self.holdings.iter().flatten().collect();
        all.sort_by(|a, b| a.service.cmp(&b.service));
        all
    }

    /// True when somebody holds the address.
    pub(super) fn is_held(&self, address: IpAddr) -> bool {
        self.holders(address).is_some()
    }

    /// The services that hold the address, in no particular order.
    pub(super) fn holders_of(&self, address: IpAddr) -> impl Iterator<Item = &Holding> {
        self.holders(address).into_iter().flat_map(|holders| self.members(holders))
    }

    /// Held addresses from `first` to `last`, in order.
    pub(super) fn held_in(&self, family: Family, first: u128, last: u128) -> impl Iterator<Item = u128> + '_ {
        self.family(family).range(first..=last).map(|(&value, _)| value)
    }

    /// The services that hold these addresses.
    pub(super) fn services_in(
        &self,
        family: Family,
        first: u128,
        last: u128,
    ) -> impl Iterator<Item = &ServiceKey> {
        let holders = self.family(family).range(first..=last).map(|(_, holders)| holders);
        holders.flat_map(|holders| self.members(holders)).map(|holding| &holding.service)
    }

    /// Another service on the address that uses one of the ports.
    pub(super) fn port_conflict<'a>(
        &'a self,
        address: IpAddr,
        service: &ServiceKey,
        ports: impl IntoIterator<Item = &'a Port>,
    ) -> Option<(Port, &'a ServiceKey)> {
        let holders = self.holders(address)?;
        let user = |port: &Port| {
            let slot = match holders {
                Holders::One(slot) => {
                    Some(*slot).filter(|&slot| self.at(slot).is_some_and(|h| h.ports.contains(port)))
                }
                Holders::Many(group) => group.ports.get(port).copied(),
            };
            slot.and_then(|slot| self.at(slot))
                .map(|holding| &holding.service)
                .filter(|&user| user != service)
        };
        ports.into_iter().find_map(|port| user(port).map(|user| (*port, user)))
    }

    /// The sharing that all holders of the address have in common; `None` when they have none or different ones.
    pub(super) fn common_sharing(&self, address: IpAddr) -> Option<&Arc<Sharing>> {
        common_sharing(&self.holdings, self.holders(address)?)
    }

    /// The namespace of all that hold the address; `None` when they are in several.
    pub(super) fn common_namespace(&self, address: IpAddr) -> Option<&str> {
        match self.holders(address)? {
            Holders::One(slot) => self.at(*slot).map(|holding| holding.service.namespace()),
            Holders::Many(group) if group.namespaces.len() == 1 => {
                group.namespaces.keys().next().map(NamespaceName::as_str)
            }
            Holders::Many(_) => None,
        }
    }

    /// The service holds the address as it did `before`: since then, and in that order with its other one.
    pub(super) fn set_as_before(&mut self, before: &Holding, address: IpAddr) {
        let slot = self.slot(&before.service);
        if let Some(holding) = slot.and_then(|slot| self.at_mut(slot)) {
            let family = Family::of(address);
            holding.set_since(family, before.since(family));
            holding.v6_first = before.v6_first;
        }
    }

    /// Ports that are in use on the address.
    pub(super) fn ports_at(&self, address: IpAddr) -> Vec<Port> {
        match self.holders(address) {
            None => Vec::new(),
            Some(Holders::One(slot)) => {
                self.at(*slot).map(|holding| holding.ports.to_vec()).unwrap_or_default()
            }
            Some(Holders::Many(group)) => group.ports.keys().copied().collect(),
        }
    }

    /// Writes down that the service holds the address, too.
    pub(super) fn add(&mut self, claim: &Claim<'_>, address: IpAddr) -> Added {
        let slot = self.slot_of(claim);
        let (family, value) = (Family::of(address), to_value(address));
        let Self { holdings, v4, v6, .. } = self;
        let by_address = match family {
            Family::V4 => v4,
            Family::V6 => v6,
        };
        let is_first = match by_address.entry(value) {
            Entry::Vacant(place) => {
                place.insert(Holders::One(slot));
                true
            }
            Entry::Occupied(mut place) => {
                match place.get_mut() {
                    Holders::Many(group) => group.join(holdings, slot),
                    Holders::One(other) => {
                        let mut group = Group::default();
                        group.join(holdings, *other);
                        group.join(holdings, slot);
                        place.insert(Holders::Many(Box::new(group)));
                    }
                }
                false
            }
        };
        self.given = self.given.saturating_add(1);
        let since = self.given;
        if let Some(holding) = self.at_mut(slot) {
            holding.append(address);
            holding.set_since(family, since);
        }
        Added { slot, is_first }
    }

    /// Writes down that the service no longer holds the address.
    pub(super) fn remove(&mut self, service: &ServiceKey, address: IpAddr) {
        let Some(&slot) = self.slots.get(service) else { return };
        let family = Family::of(address);
        let value = to_value(address);
        match self.family_mut(family).get_mut(&value) {
            Some(Holders::One(holder)) if *holder == slot => drop(self.family_mut(family).remove(&value)),
            Some(Holders::Many(group)) if group.members.contains(&slot) => {
                let mut group = std::mem::take(group);
                group.leave(&self.holdings, slot);
                let rest = match group.members.first() {
                    Some(&last) if group.members.len() == 1 => Holders::One(last),
                    _ => Holders::Many(group),
                };
                self.family_mut(family).insert(value, rest);
            }
            _ => return,
        }
        let Some(holding) = self.at_mut(slot) else { return };
        holding.drop_family(family);
        if holding.is_empty() {
            self.slots.remove(service);
            if let Some(place) = self.holdings.get_mut(usize::try_from(slot).unwrap_or(usize::MAX)) {
                *place = None;
            }
            self.vacant.push(slot);
        }
    }

    /// Takes over new ports and sharing of a service that stays where it is.
    pub(super) fn update(&mut self, service: &ServiceKey, sharing: Option<Arc<Sharing>>, ports: Vec<Port>) {
        let Some(&slot) = self.slots.get(service) else { return };
        let addresses: Vec<IpAddr> = self.at(slot).map(|h| h.addresses().collect()).unwrap_or_default();
        let mut groups = Vec::new();
        for address in addresses {
            let (family, value) = (Family::of(address), to_value(address));
            if let Some(Holders::Many(group)) = self.family_mut(family).get_mut(&value) {
                let mut group = std::mem::take(group);
                group.leave(&self.holdings, slot);
                groups.push((family, value, group));
            }
        }
        if let Some(holding) = self.at_mut(slot) {
            holding.sharing = sharing;
            holding.ports = ports.into();
        }
        for (family, value, mut group) in groups {
            group.join(&self.holdings, slot);
            self.family_mut(family).insert(value, Holders::Many(group));
        }
    }

    fn slot_of(&mut self, claim: &Claim<'_>) -> Slot {
        match self.slots.entry(claim.service.clone()) {
            hash_map::Entry::Occupied(slot) => *slot.get(),
            hash_map::Entry::Vacant(place) => {
                let holding = Holding {
                    service: claim.service.clone(),
                    ports: claim.ports.iter().copied().collect(),
                    sharing: claim.sharing.clone(),
                    v4: None,
                    v6: None,
                    v6_first: false,
                    since: [0; 2],
                };
                let slot = self.vacant.pop().unwrap_or_else(|| {
                    self.holdings.push(None);
                    Slot::try_from(self.holdings.len() - 1).unwrap_or(Slot::MAX)
                });
                if let Some(free) = self.holdings.get_mut(usize::try_from(slot).unwrap_or(usize::MAX)) {
                    *free = Some(holding);
                }
                *place.insert(slot)
            }
        }
    }

    fn holders(&self, address: IpAddr) -> Option<&Holders> {
        self.family(Family::of(address)).get(&to_value(address))
    }

    fn members<'a>(&'a self, holders: &'a Holders) -> impl Iterator<Item = &'a Holding> {
        let (one, many) = match holders {
            Holders::One(slot) => (Some(*slot), None),
            Holders::Many(group) => (None, Some(&group.members)),
        };
        one.into_iter().chain(many.into_iter().flatten().copied()).filter_map(|slot| self.at(slot))
    }

    /// What the service with this number holds.
    pub(super) fn at(&self, slot: Slot) -> Option<&Holding> {
        at(&self.holdings, slot)
    }

    fn at_mut(&mut self, slot: Slot) -> Option<&mut Holding> {
        self.holdings.get_mut(usize::try_from(slot).ok()?)?.as_mut()
    }

    const fn family(&self, family: Family) -> &BTreeMap<u128, Holders> {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    const fn family_mut(&mut self, family: Family) -> &mut BTreeMap<u128, Holders> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

impl Group {
    fn join(&mut self, holdings: &[Option<Holding>], slot: Slot) {
        let Some(holding) = at(holdings, slot) else { return };
        self.members.insert(slot);
        for port in &holding.ports {
            self.ports.entry(*port).or_insert(slot);
        }
        *self.sharing.entry(holding.sharing.clone()).or_default() += 1;
        match self.namespaces.get_mut(holding.service.namespace()) {
            Some(count) => *count += 1,
            None => drop(self.namespaces.insert(NamespaceName::new(holding.service.namespace()), 1)),
        }
    }

    fn leave(&mut self, holdings: &[Option<Holding>], slot: Slot) {
        let Some(holding) = at(holdings, slot) else { return };
        self.members.remove(&slot);
        for port in &holding.ports {
            if self.ports.get(port) == Some(&slot) {
                self.ports.remove(port);
            }
        }
        if let Some(count) = self.sharing.get_mut(&holding.sharing) {
            *count -= 1;
            if *count == 0 {
                self.sharing.remove(&holding.sharing);
            }
        }
        if let Some(count) = self.namespaces.get_mut(holding.service.namespace()) {
            *count -= 1;
            if *count == 0 {
                self.namespaces.remove(holding.service.namespace());
            }
        }
    }
}

fn common_sharing<'a>(holdings: &'a [Option<Holding>], holders: &'a Holders) -> Option<&'a Arc<Sharing>> {
    match holders {
        Holders::One(slot) => at(holdings, *slot)?.sharing.as_ref(),
        Holders::Many(group) if group.sharing.len() == 1 => group.sharing.keys().next()?.as_ref(),
        Holders::Many(_) => None,
    }
}

fn at(holdings: &[Option<Holding>], slot: Slot) -> Option<&Holding> {
    holdings.get(usize::try_from(slot).ok()?)?.as_ref()
}
