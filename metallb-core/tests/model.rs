//! The allocator against a naive model that scans every address, over random sequences of operations.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metallb_core::config::{Config, Input, Meta, Pool, PoolInput, ServiceAllocationInput, SharingScope};
use metallb_core::facts::{AddressOwner, FamilyPolicy, Request, RequestedFamilies};
use metallb_core::ipam::{Allocator, Backend, Claim, Options, Sharing, SharingOrder};
use metallb_core::keys::{
    Created, Family, NamespaceName, NodeName, PoolName, Port, Protocol, ServiceKey, SharingKey,
};
use metallb_core::select::Labels;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

/// A claim that owns its parts.
#[derive(Clone, Debug)]
struct Wish {
    request: Request,
    ports: BTreeSet<Port>,
    sharing: Option<Arc<Sharing>>,
}

#[derive(Clone, Debug)]
enum Op {
    Pools(Vec<PoolInput>),
    /// An owner has these addresses of the universe from now on.
    Reserve(usize, BTreeSet<usize>),
    Allocate(usize, Wish),
    Again(usize),
    Revise(usize),
    Release(usize),
    Wait(u64),
    Restart,
}

/// What the model knows about one service.
#[derive(Clone, Debug)]
struct Held {
    wish: Wish,
    addresses: Vec<IpAddr>,
    /// In which step it got each.
    since: BTreeMap<IpAddr, u64>,
}

/// What is considered, one after the other: what can be joined, what is free, what rests for others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Joined,
    Free,
    Resting,
}

#[derive(Debug, Default)]
struct Model {
    config: Config,
    two_pools: bool,
    first_free: bool,
    services: BTreeMap<usize, Held>,
    /// The pool, and whether the service was looked at since.
    kept_for: BTreeMap<(usize, Family), (PoolName, bool)>,
    now: u64,
    quarantine: u64,
    /// Who had the address, and until when it rests.
    resting: BTreeMap<IpAddr, (usize, u64)>,
    losses: u64,
    /// Addresses that are somebody's own, by owner.
    reserved: BTreeMap<usize, BTreeSet<IpAddr>>,
    /// Addresses are shared within one namespace only, unless a pool says otherwise.
    within_namespace: bool,
    given: u64,
    /// Who had to give way, and where.
    displaced: Vec<(usize, IpAddr)>,
}

/// The ends from here on are those of addresses that are remembered for who lost them, in the order of the losses.
const REMEMBERED: u64 = 1 << 32;

fn key(service: usize) -> ServiceKey {
    ServiceKey::new(format!("n{}", service % 2), format!("s{service}"))
}

/// Every address there is in these tests, in order.
fn universe() -> impl Iterator<Item = IpAddr> {
    let v4 = (0_u32..14).map(|n| IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_00fb + n)));
    let v6 = (0_u128..8).map(|n| IpAddr::V6(std::net::Ipv6Addr::from_bits((0xfc << 120) + n)));
    v4.chain(v6)
}

impl Model {
    fn holders(&self, address: IpAddr, except: usize) -> impl Iterator<Item = &Held> {
        self.others(address, except).map(|(_, held)| held)
    }

    fn others(&self, address: IpAddr, except: usize) -> impl Iterator<Item = (usize, &Held)> {
        let others = self.services.iter().filter(move |(service, _)| **service != except);
        others
            .map(|(service, held)| (*service, held))
            .filter(move |(_, held)| held.addresses.contains(&address))
    }

    fn shares_within_namespace(&self, address: IpAddr) -> bool {
        let own = self.pool_with(address).and_then(|pool| pool.sharing_scope());
        own.map_or(self.within_namespace, |scope| scope == SharingScope::Namespace)
    }

    fn may_join(&self, service: usize, wish: &Wish, address: IpAddr, lenient: bool) -> bool {
        self.in_the_way(service, wish, address, lenient).next().is_none()
    }

    /// Those beside whom the service may not hold the address.
    fn in_the_way(
        &self,
        service: usize,
        wish: &Wish,
        address: IpAddr,
        lenient: bool,
    ) -> impl Iterator<Item = usize> {
        let foreign = move |other: usize| key(other).namespace() != key(service).namespace();
        let fits = move |(number, other): &(usize, &Held)| {
            if !lenient && self.shares_within_namespace(address) && foreign(*number) {
                return false;
            }
            let (Some(mine), Some(theirs)) = (&wish.sharing, &other.wish.sharing) else { return false };
            let selector = |sharing: &Sharing| match &sharing.backend {
                Backend::Anywhere => None,
                Backend::Local { selector, .. } => Some(selector.clone()),
            };
            let equal =
                mine == theirs || lenient && mine.key == theirs.key && selector(mine) == selector(theirs);
            equal && wish.ports.is_disjoint(&other.wish.ports)
        };
        self.others(address, service).filter(move |other| !fits(other)).map(|(number, _)| number)
    }

    /// Whether all that are in the way are of other namespaces and came later; then they lose the address.
    fn displace(&mut self, service: usize, wish: &Wish, address: IpAddr, lenient: bool) -> bool {
        let later: Vec<usize> = self.in_the_way(service, wish, address, lenient).collect();
        let since = |service: usize| self.services[&service].since[&address];
        let gives_way = |other: &usize| {
            key(*other).namespace() != key(service).namespace() && since(*other) > since(service)
        };
        if !later.iter().all(gives_way) {
            return false;
        }
        for other in later {
            self.note(other, Family::of(address), None);
            let held = self.services.get_mut(&other).unwrap();
            held.addresses.retain(|held| *held != address);
            if held.addresses.is_empty() {
                self.services.remove(&other);
            }
            self.displaced.push((other, address));
        }
        true
    }

    /// The addresses of the pool that services of the namespace hold.
    fn held_by_namespace(&self, service: usize, pool: &Pool) -> BTreeSet<IpAddr> {
        let own =
            self.services.iter().filter(|(other, _)| key(**other).namespace() == key(service).namespace());
        own.flat_map(|(_, held)| held.addresses.iter().copied())
            .filter(|address| pool.entry_of(*address).is_some())
            .collect()
    }

    /// Whether the namespace may hold no further address of the pool when it gets `with`.
    fn is_full(&self, service: usize, pool: &Pool, with: Option<IpAddr>) -> bool {
        let mut held = self.held_by_namespace(service, pool);
        held.extend(with.filter(|address| pool.entry_of(*address).is_some()));
        pool.max_per_namespace().is_some_and(|max| held.len() >= max as usize)
    }

    fn has_room(&self, service: usize, address: IpAddr, with: Option<IpAddr>) -> bool {
        self.pool_with(address).is_none_or(|pool| {
            self.held_by_namespace(service, pool).contains(&address) || !self.is_full(service, pool, with)
        })
    }

    /// Not given out although its pool has it.
    fn is_barred(&self, address: IpAddr) -> bool {
        self.reserved.values().any(|own| own.contains(&address))
            || self.pool_with(address).is_some_and(|pool| pool.excludes(address))
    }

    fn pool_with(&self, address: IpAddr) -> Option<&Arc<Pool>> {
        self.config.pools().values().find(|pool| pool.entry_of(address).is_some())
    }

    fn admits(pool: &Pool, service: usize) -> bool {
        pool.admits(key(service).namespace(), &Labels::new(), &Labels::new())
    }

    /// The pool for which the service may keep the address, and whether it is only held for it.
    fn may_keep(
        &self,
        service: usize,
        wish: &Wish,
        address: IpAddr,
        recorded: &[PoolName],
    ) -> Option<(PoolName, bool)> {
        let wanted = wish.request.wanted_addresses();
        if !wish.request.families().contains(Family::of(address))
            || !wanted.is_empty() && !wanted.contains(&address)
        {
            return None;
        }
        let own = self.pool_with(address);
        let is_wanted = |pool: &PoolName| wish.request.wanted_pool().is_none_or(|wanted| wanted == pool);
        let usable =
            own.filter(|pool| pool.contains(address) && Self::admits(pool, service) && is_wanted(&pool.name));
        let pool = match usable {
            Some(pool) => (pool.name.clone(), false),
            None => (self.held_for(service, address, recorded)?, true),
        };
        is_wanted(&pool.0).then_some(pool)
    }

    /// The pool that is not in force for which the address would be held.
    fn held_for(&self, service: usize, address: IpAddr, recorded: &[PoolName]) -> Option<PoolName> {
        let rejected = self.config.rejected_pools();
        let kept_for = self.kept_for.get(&(service, Family::of(address))).map(|(pool, _)| pool);
        let named: Vec<_> = recorded.iter().chain(kept_for).filter_map(|name| rejected.get(name)).collect();
        let named = named.iter().find(|pool| pool.contains(address)).or_else(|| named.first()).copied();
        let own = self.pool_with(address);
        let inside = rejected.values().find(|pool| own.is_none() && pool.contains(address));
        Some(named.or(inside)?.name.clone())
    }

    /// The address of a pool that comes first among those that are considered in this step.
    fn choose(
        &self,
        service: usize,
        wish: &Wish,
        (pool, family): (&Pool, Family),
        step: Step,
        with: Option<IpAddr>,
    ) -> Option<IpAddr> {
        let addresses =
            pool.entries.iter().flat_map(|entry| universe().filter(|address| entry.contains(*address)));
        let usable = addresses.filter(|address| {
            Family::of(*address) == family && pool.contains(*address) && !self.is_barred(*address)
        });
        let mut free: Vec<IpAddr> =
            usable.filter(|address| self.may_join(service, wish, *address, false)).collect();
        if self.is_full(service, pool, with) {
            let own = self.held_by_namespace(service, pool);
            free.retain(|address| own.contains(address));
            return free.first().copied();
        }
        let is_held = |address: &&IpAddr| self.holders(**address, service).next().is_some();
        let joined = free.iter().find(is_held).copied();
        if step == Step::Joined || joined.is_some() && !self.first_free {
            return joined;
        }
        let end = |address: &IpAddr| self.resting.get(address).filter(|(had, _)| *had != service);
        let first = free.iter().find(|address| end(address).is_none()).copied();
        first.or_else(|| {
            let resting = free.into_iter().filter(|_| step == Step::Resting);
            resting.min_by_key(|address| (self.resting.get(address).map(|(_, end)| *end), *address))
        })
    }

    fn steps(&self, wish: &Wish) -> &'static [Step] {
        if wish.sharing.is_some() && !self.first_free {
            &[Step::Joined, Step::Free, Step::Resting]
        } else {
            &[Step::Free, Step::Resting]
        }
    }

    /// The other address of those that hold this one under the same sharing, if the service may join it there.
    fn rest_of_set(&self, service: usize, wish: &Wish, has: IpAddr, pools: &[&Arc<Pool>]) -> Option<IpAddr> {
        let partners: Vec<&Held> =
            self.holders(has, service).filter(|held| held.wish.sharing == wish.sharing).collect();
        pools.iter().find_map(|pool| {
            let addresses = pool.entries.iter().flat_map(|entry| universe().filter(|a| entry.contains(*a)));
            let mut usable = addresses.filter(|address| {
                Family::of(*address) != Family::of(has)
                    && pool.contains(*address)
                    && !self.is_barred(*address)
                    && partners.iter().any(|held| held.addresses.contains(address))
                    && self.has_room(service, *address, Some(has))
                    && self.may_join(service, wish, *address, false)
            });
            usable.next()
        })
    }

    fn joined_set(&self, service: usize, wish: &Wish, pools: &[&Arc<Pool>]) -> Option<Vec<IpAddr>> {
        pools.iter().find_map(|pool| {
            let addresses = pool.entries.iter().flat_map(|entry| universe().filter(|a| entry.contains(*a)));
            let mut v4 = addresses.filter(|address| {
                Family::of(*address) == Family::V4
                    && pool.contains(*address)
                    && !self.is_barred(*address)
                    && self.holders(*address, service).next().is_some()
                    && self.has_room(service, *address, None)
                    && self.may_join(service, wish, *address, false)
            });
            let others = if self.two_pools { pools } else { &[*pool][..] };
            v4.find_map(|v4| Some(vec![v4, self.rest_of_set(service, wish, v4, others)?]))
        })
    }

    /// Pools that may serve the wish, by group.
    fn eligible(&self, service: usize, wish: &Wish) -> Vec<Vec<&Arc<Pool>>> {
        let admitting = || self.config.pools().values().filter(|pool| Self::admits(pool, service));
        if let Some(wanted) = wish.request.wanted_pool() {
            return admitting().filter(|pool| pool.name == *wanted).map(|pool| vec![pool]).collect();
        }
        let automatic = admitting().filter(|pool| pool.auto_assign);
        let (mut first, then): (Vec<_>, Vec<_>) =
            automatic.partition(|pool| pool.service_allocation.is_some());
        // Pools come by name, and the sort is stable.
        first.sort_by_key(|pool| {
            let priority = pool.service_allocation.as_ref().unwrap().priority;
            priority.map_or(i64::MAX, i64::from)
        });
        [first, then].into_iter().filter(|group| !group.is_empty()).collect()
    }

    fn wanted(&self, service: usize, wish: &Wish, has: &[IpAddr]) -> Option<Vec<IpAddr>> {
        let mut pools = BTreeSet::new();
        let mut with = None;
        for &address in wish.request.wanted_addresses() {
            let pool = self
                .pool_with(address)
                .filter(|pool| pool.contains(address) && Self::admits(pool, service))?;
            if wish.request.wanted_pool().is_some_and(|wanted| *wanted != pool.name) {
                return None;
            }
            pools.insert(pool.name.clone());
            let may_get = !self.is_barred(address)
                && self.may_join(service, wish, address, false)
                && self.has_room(service, address, with);
            if !has.contains(&address) {
                if !may_get {
                    return None;
                }
                with = Some(address);
            }
        }
        if pools.len() > 1 && !self.two_pools {
            return None;
        }
        Some(
            wish.request
                .wanted_addresses()
                .iter()
                .copied()
                .filter(|address| !has.contains(address))
                .collect(),
        )
    }

    fn second(&self, service: usize, wish: &Wish, has: IpAddr) -> Option<IpAddr> {
        let family = Family::of(has).other();
        let own = self.pool_with(has);
        let mut pools: Vec<&Arc<Pool>> = own.into_iter().collect();
        if self.two_pools {
            let groups = self.eligible(service, wish);
            if groups.is_empty() {
                return None;
            }
            pools.retain(|pool| Self::admits(pool, service));
            pools.extend(groups.concat());
        }
        self.steps(wish).iter().find_map(|&step| {
            let set = if step == Step::Joined { self.rest_of_set(service, wish, has, &pools) } else { None };
            set.or_else(|| {
                pools.iter().find_map(|pool| self.choose(service, wish, (pool, family), step, Some(has)))
            })
        })
    }

    fn fresh(&self, service: usize, wish: &Wish) -> Option<Vec<IpAddr>> {
        self.steps(wish).iter().find_map(|&step| self.fresh_from(service, wish, step))
    }

    fn fresh_from(&self, service: usize, wish: &Wish, step: Step) -> Option<Vec<IpAddr>> {
        let families: Vec<Family> = wish.request.families().iter().collect();
        let groups = self.eligible(service, wish);
        if step == Step::Joined && families.len() == 2 {
            return self.joined_set(service, wish, &groups.concat());
        }
        let one = |pools: &[&Arc<Pool>], family, with| {
            pools.iter().find_map(|pool| self.choose(service, wish, (pool, family), step, with))
        };
        for group in &groups {
            let full = |step| {
                group.iter().find_map(|pool| {
                    let all = [Family::V4, Family::V6].into_iter().filter(|family| families.contains(family));
                    let mut with = None;
                    let all = all.map(|family| {
                        with = self.choose(service, wish, (pool, family), step, with);
                        with
                    });
                    all.collect::<Option<Vec<IpAddr>>>()
                })
            };
            let half =
                || families.iter().find_map(|&family| one(group, family, None)).map(|address| vec![address]);
            let prefer = families.len() == 2 && wish.request.policy() != FamilyPolicy::RequireDual;
            let found = full(step).or_else(|| if prefer { full(Step::Resting).or_else(half) } else { None });
            if found.is_some() {
                return found;
            }
        }
        if families.len() == 2 && self.two_pools {
            let all = groups.concat();
            let v4 = one(&all, Family::V4, None)?;
            return Some(vec![v4, one(&all, Family::V6, Some(v4))?]);
        }
        None
    }

    /// What the service has been given; nothing when it is refused, and then nothing has changed.
    fn allocate(&mut self, service: usize, wish: &Wish) -> Vec<IpAddr> {
        let before = (self.services.clone(), self.kept_for.clone(), self.resting.clone());
        let displaced = self.displaced.len();
        let has = self.try_allocate(service, wish);
        if has.is_empty() {
            (self.services, self.kept_for, self.resting) = before;
            self.displaced.truncate(displaced);
        }
        has
    }

    fn try_allocate(&mut self, service: usize, wish: &Wish) -> Vec<IpAddr> {
        let before = self.services.get(&service).cloned();
        let changed = before.as_ref().map(|held| {
            (
                held.wish.ports != wish.ports || held.wish.sharing != wish.sharing,
                held.wish.sharing == wish.sharing,
            )
        });
        let mut has = Vec::new();
        self.given += 1;
        let since = before.as_ref().map(|held| held.since.clone()).unwrap_or_default();
        for address in before.map(|held| held.addresses).unwrap_or_default() {
            let kept = self.may_keep(service, wish, address, &[]);
            let (changed, same_sharing) = changed.unwrap();
            let stays = !changed
                || self.may_join(service, wish, address, same_sharing)
                || kept.is_some() && self.displace(service, wish, address, same_sharing);
            if let Some((pool, held)) = kept.clone().filter(|_| stays) {
                self.note(service, Family::of(address), held.then_some(pool));
                has.push(address);
            } else {
                let for_pool = kept.is_none() && self.is_pool_away(service, wish, address);
                self.note(service, Family::of(address), None);
                self.lose(service, address, for_pool);
            }
        }
        self.set(service, wish, &has, &since);
        let complete =
            |has: &[IpAddr]| wish.request.families().iter().all(|f| has.iter().any(|a| Family::of(*a) == f));
        if !complete(&has) {
            if let [alone] = has[..]
                && wish.request.policy() == FamilyPolicy::RequireDual
                && !self.kept_for.contains_key(&(service, Family::of(alone)))
                && !self.can_be_two(service, wish, alone)
            {
                self.rest(service, alone);
                has.clear();
                self.set(service, wish, &has, &since);
            }
            let nothing_before = has.is_empty();
            if wish.request.wanted_addresses().is_empty() {
                has.extend(self.recalled(service, wish, &has));
                if has.is_empty() {
                    has = self.fresh(service, wish).unwrap_or_default();
                }
                if has.len() == 1 && !complete(&has) {
                    has.extend(self.second(service, wish, has[0]));
                }
            } else {
                has.extend(self.wanted(service, wish, &has).unwrap_or_default());
            }
            if nothing_before {
                has.sort_unstable();
            }
        }
        let again = |address: &IpAddr| has.iter().any(|new| Family::of(*new) == Family::of(*address));
        self.resting.retain(|address, (had, end)| {
            let found = *had == service && *end > REMEMBERED && again(address);
            !found && !has.contains(address)
        });
        self.set(service, wish, &has, &since);
        has
    }

    /// The service holds these, some of them since earlier.
    fn set(&mut self, service: usize, wish: &Wish, has: &[IpAddr], since: &BTreeMap<IpAddr, u64>) {
        let since = |address: &IpAddr| (*address, since.get(address).copied().unwrap_or(self.given));
        let held =
            Held { wish: wish.clone(), addresses: has.to_vec(), since: has.iter().map(since).collect() };
        self.services.remove(&service);
        if !has.is_empty() {
            self.services.insert(service, held);
        }
    }

    fn revise(&mut self, service: usize, held: &Held) {
        let mut has = Vec::new();
        for &address in &held.addresses {
            let kept = self.may_keep(service, &held.wish, address, &[]);
            if let Some((pool, is_held)) = kept.clone() {
                self.note(service, Family::of(address), is_held.then_some(pool));
                has.push(address);
            } else {
                let for_pool = kept.is_none() && self.is_pool_away(service, &held.wish, address);
                self.note(service, Family::of(address), None);
                self.lose(service, address, for_pool);
            }
        }
        self.set(service, &held.wish, &has, &held.since);
    }

    /// Whether the service can get its other address beside the one that it has.
    fn can_be_two(&self, service: usize, wish: &Wish, has: IpAddr) -> bool {
        if wish.request.wanted_addresses().is_empty() {
            !self.recalled(service, wish, &[has]).is_empty() || self.second(service, wish, has).is_some()
        } else {
            self.wanted(service, wish, &[has]).is_some()
        }
    }

    /// The service leaves the address, which rests when nobody else is there.
    fn rest(&mut self, service: usize, address: IpAddr) {
        if self.quarantine > 0 && self.holders(address, service).next().is_none() {
            self.resting.insert(address, (service, self.now + self.quarantine));
        }
    }

    /// Whether an address is lost because no pool has it, or the one that has it does not admit the service.
    fn is_pool_away(&self, service: usize, wish: &Wish, address: IpAddr) -> bool {
        let wanted = wish.request.wanted_addresses();
        let pool = self.pool_with(address);
        wish.request.families().contains(Family::of(address))
            && (wanted.is_empty() || wanted.contains(&address))
            && pool.is_none_or(|pool| !pool.avoids(address) && !Self::admits(pool, service))
            && self.held_for(service, address, &[]).is_none()
    }

    /// The service leaves an address that it may not keep; one that it lost because of the pool is remembered for it.
    fn lose(&mut self, service: usize, address: IpAddr, for_pool: bool) {
        self.rest(service, address);
        if for_pool && self.holders(address, service).next().is_none() {
            self.losses += 1;
            self.resting.insert(address, (service, REMEMBERED + self.losses));
        }
    }

    fn recalled(&self, service: usize, wish: &Wish, has: &[IpAddr]) -> Vec<IpAddr> {
        let lacks = |address: &IpAddr| has.iter().all(|other| Family::of(*other) != Family::of(*address));
        let known = self.resting.iter().filter(|(_, (had, end))| *had == service && *end > REMEMBERED);
        let mut picks: Vec<IpAddr> = known
            .map(|(address, _)| *address)
            .filter(lacks)
            .filter(|address| matches!(self.may_keep(service, wish, *address, &[]), Some((_, false))))
            .filter(|address| !self.is_barred(*address) && self.may_join(service, wish, *address, false))
            .filter(|address| self.has_room(service, *address, None))
            .collect();
        if let [first, second] = picks[..]
            && !self.has_room(service, second, Some(first))
        {
            picks.pop();
        }
        if let [one] = picks[..]
            && has.is_empty()
            && wish.request.policy() == FamilyPolicy::RequireDual
        {
            match self.second(service, wish, one) {
                Some(second) => picks.push(second),
                None => picks.clear(),
            }
        }
        picks
    }

    fn wait(&mut self, seconds: u64) {
        self.now += seconds;
        let now = self.now;
        self.resting.retain(|_, (_, end)| *end > now);
    }

    fn note(&mut self, service: usize, family: Family, pool: Option<PoolName>) {
        match pool {
            Some(pool) => drop(self.kept_for.insert((service, family), (pool, true))),
            None => drop(self.kept_for.remove(&(service, family))),
        }
    }

    fn release(&mut self, service: usize) {
        self.resting.retain(|_, (had, end)| *had != service || *end <= REMEMBERED);
        for address in self.services.get(&service).map(|held| held.addresses.clone()).unwrap_or_default() {
            self.rest(service, address);
        }
        self.services.remove(&service);
        self.kept_for.retain(|(holder, _), _| *holder != service);
    }

    fn set_pools(&mut self, config: Config) {
        for (service, held) in &self.services {
            for &address in &held.addresses {
                let pool = self.pool_with(address).map(|pool| pool.name.clone());
                let leaving = |name: &PoolName| {
                    config.rejected_pools().contains_key(name) && !config.pools().contains_key(name)
                };
                let key = (*service, Family::of(address));
                let sure = self.kept_for.get(&key).is_some_and(|(_, sure)| *sure);
                if let Some(pool) = pool.filter(leaving).filter(|_| !sure) {
                    self.kept_for.insert(key, (pool, false));
                }
            }
        }
        self.config = config;
    }

    fn pools_of(&self, service: usize, addresses: &[IpAddr]) -> Vec<PoolName> {
        let mut pools = Vec::new();
        for &address in addresses {
            let kept = self.kept_for.get(&(service, Family::of(address))).map(|(pool, _)| pool.clone());
            let pool = kept.or_else(|| self.pool_with(address).map(|pool| pool.name.clone()));
            pools.extend(pool.filter(|pool| !pools.contains(pool)));
        }
        pools
    }
}

fn port() -> impl Strategy<Value = Port> {
    (80_u16..82, prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)])
        .prop_map(|(number, protocol)| Port::new(protocol, number))
}

fn range() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0_usize..14, 0_usize..5).prop_map(|(first, size)| {
            let v4: Vec<IpAddr> = universe().take(14).collect();
            format!("{}-{}", v4[first], v4[(first + size).min(13)])
        }),
        3 => (0_usize..8, 0_usize..4).prop_map(|(first, size)| {
            let v6: Vec<IpAddr> = universe().skip(14).collect();
            format!("{}-{}", v6[first], v6[(first + size).min(7)])
        }),
        1 => Just("nonsense".to_owned()),
    ]
}

prop_compose! {
    fn pool()(
        name in "[pqr]", addresses in vec(range(), 1..3), exclude in vec(range(), 0..2), auto in prop::bool::weighted(0.8), avoid: bool, created in 0_i64..3,
        allocation in option::weighted(0.5, (-1_i32..3, option::of("n[01]"), option::weighted(0.4, 1_i64..4),
            option::weighted(0.4, prop_oneof!["Cluster", "Namespace"]))),
    ) -> PoolInput {
        PoolInput {
            meta: Meta::new(name, Created(created)),
            addresses,
            auto_assign: auto,
            avoid_buggy_ips: avoid,
            exclude_addresses: exclude,
            service_allocation: allocation.map(|(priority, namespace, max, sharing)| ServiceAllocationInput {
                priority, namespaces: namespace.into_iter().collect(), max_per_namespace: max, sharing,
                ..ServiceAllocationInput::default()
            }),
            ..PoolInput::default()
        }
    }
}

prop_compose! {
    fn wish()(
        dual: bool, v6_first: bool, policy in 0..3, wanted in option::weighted(0.2, (0_usize..14, 0_usize..8)),
        pool in option::weighted(0.2, "[pqr]"), ports in btree_set(port(), 0..3), key in option::weighted(0.6, "[ab]"),
        local in option::weighted(0.4, ("n[01]", "[xy]")),
    ) -> Wish {
        let preferred = if v6_first { Family::V6 } else { Family::V4 };
        let families = if dual { RequestedFamilies::both(preferred) } else { RequestedFamilies::one(preferred) };
        let policy = match policy {
            0 => FamilyPolicy::Single,
            1 => FamilyPolicy::PreferDual,
            _ if dual => FamilyPolicy::RequireDual,
            _ => FamilyPolicy::PreferDual,
        };
        let families = if policy == FamilyPolicy::Single { RequestedFamilies::one(preferred) } else { families };
        let wanted: Vec<IpAddr> = wanted.map(|(v4, v6)| {
            let all: Vec<IpAddr> = universe().collect();
            families.iter().map(|family| if family == Family::V4 { all[v4] } else { all[14 + v6] }).collect()
        }).unwrap_or_default();
        let request = Request::new(families, policy, wanted, pool.map(PoolName::from)).unwrap();
        let sharing = key.map(|key| Arc::new(Sharing {
            key: SharingKey::from(key),
            backend: local.map_or(Backend::Anywhere, |(namespace, app)| Backend::Local {
                namespace: NamespaceName::from(namespace),
                selector: [("app", app)].into_iter().collect(),
            }),
        }));
        Wish { request, ports, sharing }
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => vec(pool(), 0..4).prop_map(Op::Pools),
        2 => (0_usize..3, btree_set(0_usize..22, 0..4)).prop_map(|(owner, own)| Op::Reserve(owner, own)),
        8 => (0_usize..7, wish()).prop_map(|(service, wish)| Op::Allocate(service, wish)),
        3 => (0_usize..7).prop_map(Op::Again),
        2 => (0_usize..7).prop_map(Op::Revise),
        2 => (0_usize..7).prop_map(Op::Release),
        1 => (1_u64..4).prop_map(Op::Wait),
        1 => Just(Op::Restart),
    ]
}

struct Pair {
    now: Instant,
    options: Options,
    allocator: Allocator,
    model: Model,
}

impl Pair {
    fn new(two_pools: bool, first_free: bool, within_namespace: bool, quarantine: u64) -> Self {
        let options = Options {
            dual_stack_two_pools: two_pools,
            quarantine: Duration::from_secs(quarantine),
            sharing_scope: if within_namespace { SharingScope::Namespace } else { SharingScope::Cluster },
            sharing_order: if first_free { SharingOrder::FirstFree } else { SharingOrder::SharedFirst },
            ..Options::default()
        };
        let model = Model { two_pools, first_free, quarantine, within_namespace, ..Model::default() };
        Self { now: Instant::now(), options, allocator: Allocator::new(options), model }
    }

    fn with_claim<R>(service: usize, wish: &Wish, act: impl FnOnce(&Claim<'_>) -> R) -> R {
        let (key, labels) = (key(service), Labels::new());
        act(&Claim {
            service: &key,
            labels: &labels,
            namespace_labels: &labels,
            request: &wish.request,
            ports: &wish.ports,
            sharing: wish.sharing.clone(),
        })
    }

    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Pools(pools) => {
                let config = Config::build(&Input { pools, ..Input::default() }, &Config::default()).config;
                self.allocator.set_pools(&config);
                self.model.set_pools(config);
            }
            Op::Reserve(owner, own) => {
                let all: Vec<IpAddr> = universe().collect();
                self.model.reserved.insert(owner, own.into_iter().map(|index| all[index]).collect());
                Self::reserve_again(&mut self.allocator, &self.model);
            }
            Op::Allocate(service, wish) => self.allocate(service, &wish)?,
            Op::Again(service) => {
                if let Some(held) = self.model.services.get(&service).cloned() {
                    self.allocate(service, &held.wish)?;
                }
            }
            Op::Revise(service) => self.revise(service),
            Op::Release(service) => {
                self.allocator.release(self.now, &key(service));
                self.model.release(service);
            }
            Op::Wait(seconds) => {
                self.now += Duration::from_secs(seconds);
                self.allocator.handle_timeout(self.now);
                self.model.wait(seconds);
            }
            Op::Restart => self.restart(),
        }
        self.check()
    }

    fn reserve_again(allocator: &mut Allocator, model: &Model) {
        for (owner, own) in &model.reserved {
            let owner = match owner {
                0 => AddressOwner::ApiServer,
                _ => AddressOwner::Node(NodeName::new(format!("n{owner}"))),
            };
            allocator.reserve(&owner, own);
        }
    }

    fn allocate(&mut self, service: usize, wish: &Wish) -> Result<(), TestCaseError> {
        let now = self.now;
        let result = Self::with_claim(service, wish, |claim| self.allocator.allocate(now, claim));
        let expected = self.model.allocate(service, wish);
        let displaced = self.allocator.take_displaced().into_iter();
        let displaced: BTreeSet<_> =
            displaced.map(|(service, reason)| (service, reason.address().unwrap())).collect();
        let given_way = std::mem::take(&mut self.model.displaced).into_iter();
        prop_assert_eq!(displaced, given_way.map(|(service, address)| (key(service), address)).collect());
        if let Ok(allocation) = &result {
            let missing = wish.request.families().iter().count() > allocation.addresses.len();
            prop_assert_eq!(allocation.missing.is_some(), missing, "{:?}", allocation);
        }
        prop_assert_eq!(result.map(|allocation| allocation.addresses).unwrap_or_default(), expected.clone());
        let again = Self::with_claim(service, wish, |claim| self.allocator.allocate(now, claim));
        prop_assert_eq!(again.map(|allocation| allocation.addresses).unwrap_or_default(), expected);
        Ok(())
    }

    /// Takes from a service what it may no longer have.
    fn revise(&mut self, service: usize) {
        let Some(held) = self.model.services.get(&service).cloned() else { return };
        let now = self.now;
        Self::with_claim(service, &held.wish, |claim| self.allocator.revise(now, claim, &[]));
        self.model.revise(service, &held);
    }

    /// A new allocator gets everything back from what was written down.
    fn restart(&mut self) {
        self.allocator = Allocator::new(self.options);
        self.allocator.set_pools(&self.model.config);
        Self::reserve_again(&mut self.allocator, &self.model);
        let before = std::mem::take(&mut self.model.services);
        let recorded: BTreeMap<usize, Vec<PoolName>> = before
            .iter()
            .map(|(&service, held)| (service, self.model.pools_of(service, &held.addresses)))
            .collect();
        self.model.kept_for.clear();
        self.model.resting.clear();
        for (service, held) in before {
            let recorded = &recorded[&service];
            Self::with_claim(service, &held.wish, |claim| {
                self.allocator.restore(claim, &held.addresses, recorded)
            });
            let mut has = Vec::new();
            for &address in &held.addresses {
                let kept = self.model.may_keep(service, &held.wish, address, recorded);
                if let Some((pool, is_held)) =
                    kept.filter(|_| self.model.may_join(service, &held.wish, address, true))
                {
                    self.model.note(service, Family::of(address), is_held.then_some(pool));
                    has.push(address);
                }
            }
            self.model.given += 1;
            self.model.set(service, &held.wish, &has, &BTreeMap::new());
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for service in 0..7 {
            let held = self.model.services.get(&service).map(|held| held.addresses.clone());
            let allocation = self.allocator.allocation(&key(service));
            prop_assert_eq!(allocation.as_ref().map(|a| a.addresses.clone()), held.clone());
            prop_assert_eq!(allocation.map(|a| a.pools), held.map(|a| self.model.pools_of(service, &a)));
        }
        for (name, pool) in self.model.config.pools() {
            let usage = self.allocator.pool_usage(name).unwrap();
            let count = |family, test: &dyn Fn(IpAddr) -> bool| {
                universe()
                    .filter(|a| Family::of(*a) == family && pool.entry_of(*a).is_some() && test(*a))
                    .count() as u128
            };
            let held = |address| self.model.holders(address, usize::MAX).next().is_some();
            prop_assert_eq!(usage.assigned_v4, count(Family::V4, &held));
            prop_assert_eq!(usage.assigned_v6, count(Family::V6, &held));
            let free = |address| pool.contains(address) && !held(address) && !self.model.is_barred(address);
            prop_assert_eq!(usage.available_v4, count(Family::V4, &free));
            prop_assert_eq!(usage.available_v6, count(Family::V6, &free));
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_allocator_decides_as_the_naive_model(
        two_pools: bool, first_free: bool, within_namespace: bool, quarantine in prop_oneof![2 => Just(0), 1 => 1_u64..4],
        pools in vec(pool(), 1..4), ops in vec(op(), 0..40),
    ) {
        let mut pair = Pair::new(two_pools, first_free, within_namespace, quarantine);
        pair.apply(Op::Pools(pools))?;
        for op in ops {
            pair.apply(op)?;
        }
        // Nothing leaks: with everything released, everything is free.
        for service in 0..7 {
            pair.apply(Op::Release(service))?;
        }
        prop_assert!(pair.allocator.is_empty());
    }

    #[test]
    fn the_same_state_gives_the_same_answer_whatever_its_history(
        first_free: bool, within_namespace: bool, pools in vec(pool(), 1..4), ops in vec(op(), 0..30), service in 0_usize..7, wish in wish(),
    ) {
        let mut pair = Pair::new(false, first_free, within_namespace, 0);
        pair.apply(Op::Pools(pools))?;
        for op in ops {
            pair.apply(op)?;
        }
        // What was lost is remembered, which is history, and so is who came first where several namespaces share.
        let namespaces = |address| {
            let holders = pair.model.others(address, usize::MAX);
            holders.map(|(service, _)| key(service).namespace().to_owned()).collect::<BTreeSet<_>>().len()
        };
        if !pair.model.resting.is_empty() || universe().any(|address| namespaces(address) > 1) {
            return Ok(());
        }
        // The same holdings, put in place in the opposite order.
        let mut other = Allocator::new(pair.options);
        Pair::reserve_again(&mut other, &pair.model);
        other.set_pools(&pair.model.config);
        for (&service, held) in pair.model.services.iter().rev() {
            let recorded = pair.model.pools_of(service, &held.addresses);
            Pair::with_claim(service, &held.wish, |claim| other.restore(claim, &held.addresses, &recorded));
        }
        let same = pair.model.services.keys().all(|&s| other.allocation(&key(s)) == pair.allocator.allocation(&key(s)));
        if !same {
            return Ok(());
        }
        let now = pair.now;
        let one = Pair::with_claim(service, &wish, |claim| pair.allocator.allocate(now, claim));
        let two = Pair::with_claim(service, &wish, |claim| other.allocate(now, claim));
        prop_assert_eq!(one, two);
    }

    #[test]
    fn no_operation_of_one_namespace_changes_an_address_that_another_held_before_it(
        first_free: bool, pools in vec(pool(), 1..4), setting in vec(op(), 0..20), ops in vec(op(), 0..30),
    ) {
        let mut pair = Pair::new(false, first_free, false, 0);
        pair.apply(Op::Pools(pools))?;
        for op in setting {
            pair.apply(op)?;
        }
        for op in ops {
            let (Op::Allocate(actor, _) | Op::Again(actor) | Op::Revise(actor) | Op::Release(actor)) = op else {
                continue;
            };
            let before = pair.model.services.clone();
            pair.apply(op)?;
            for (&service, held) in before.iter().filter(|(s, _)| key(**s).namespace() != key(actor).namespace()) {
                for address in &held.addresses {
                    let earlier = before.get(&actor).and_then(|actor| actor.since.get(address));
                    let came_later = earlier.is_some_and(|earlier| *earlier < held.since[address]);
                    let has = pair.allocator.allocation(&key(service)).is_some_and(|a| a.addresses.contains(address));
                    prop_assert!(has || came_later, "{service} lost {address} by {actor}");
                }
            }
        }
    }
}
