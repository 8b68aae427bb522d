//! Address pools: reading, and who wins where two overlap.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::check::Check;
use super::error::Problem;
use super::input::{PoolInput, ServiceAllocationInput};
use super::model::{Pool, RejectedPool, ServiceAllocation, SharingScope};
use super::resolve::{Candidate, Outcome};
use crate::addr::{AddressRange, AddressSet};
use crate::keys::{Family, PoolName};

/// The pool as far as it could be read.
pub(super) fn read(input: &PoolInput, check: &mut Check) -> Pool {
    let mut entries: Vec<(usize, AddressRange)> = Vec::with_capacity(input.addresses.len());
    if input.addresses.is_empty() {
        let remedy = "list at least one CIDR, range or address";
        check.error("spec.addresses", Problem::Missing { remedy });
    }
    for (index, text) in input.addresses.iter().enumerate() {
        match AddressRange::parse(text) {
            Ok(range) => {
                note_host_bits(&field(index), text, range, check);
                entries.push((index, range));
            }
            Err(error) => check.error(field(index), Problem::Address(error)),
        }
    }
    check_own_overlaps(&entries, input, check);
    let excluded = read_excluded(&entries, input, check);
    Pool {
        name: input.meta.name.as_str().into(),
        created: input.meta.created,
        labels: input.labels.clone(),
        entries: entries.into_iter().map(|(_, range)| range).collect(),
        auto_assign: input.auto_assign,
        avoid_buggy_ips: input.avoid_buggy_ips,
        excluded,
        service_allocation: input
            .service_allocation
            .as_ref()
            .map(|allocation| allocate_to(allocation, check)),
    }
}

/// What is never given out. An entry that takes nothing away is perhaps a slip.
fn read_excluded(entries: &[(usize, AddressRange)], input: &PoolInput, check: &mut Check) -> AddressSet {
    let mut excluded = AddressSet::new();
    for (index, text) in input.exclude_addresses.iter().enumerate() {
        let field = format!("spec.excludeAddresses[{index}]");
        match AddressRange::parse(text) {
            Ok(range) => {
                note_host_bits(&field, text, range, check);
                if !entries.iter().any(|(_, entry)| entry.overlaps(&range)) {
                    check.warn(field, Problem::ExcludesNothing { text: text.as_str().into() });
                }
                excluded.insert(range);
            }
            Err(error) => check.error(field, Problem::Address(error)),
        }
    }
    excluded
}

/// Host bits are masked; somebody who set some may have meant another range.
fn note_host_bits(field: &str, text: &str, range: AddressRange, check: &mut Check) {
    let address = text.split_once('/').and_then(|(address, _)| address.parse::<IpAddr>().ok());
    if address.is_some_and(|address| address != range.first()) {
        check.warn(field, Problem::HostBits { text: text.into(), range });
    }
}

fn check_own_overlaps(entries: &[(usize, AddressRange)], input: &PoolInput, check: &mut Check) {
    let mut ranges = Ranges::default();
    for (index, range) in entries {
        if let Some((_, other)) = ranges.overlapping(range).next() {
            let other_text = input.addresses.get(*other).map(String::as_str).unwrap_or_default().into();
            check.error(field(*index), Problem::OverlapInside { other: *other, other_text });
        } else {
            ranges.insert(range, *index);
        }
    }
}

fn allocate_to(input: &ServiceAllocationInput, check: &mut Check) -> ServiceAllocation {
    let at = |name: &str| format!("spec.serviceAllocation.{name}");
    ServiceAllocation {
        priority: (input.priority != 0).then_some(input.priority),
        namespaces: check.names(&at("namespaces"), &input.namespaces),
        namespace_selectors: check.selectors(&at("namespaceSelectors"), &input.namespace_selectors),
        service_selectors: check.selectors(&at("serviceSelectors"), &input.service_selectors),
        max_per_namespace: input.max_per_namespace.and_then(|max| {
            let fits = u32::try_from(max).ok().filter(|max| *max > 0);
            if fits.is_none() {
                let (min, largest) = (1, i64::from(u32::MAX));
                check.error(at("maxPerNamespace"), Problem::OutOfRange { value: max, min, max: largest });
            }
            fits
        }),
        sharing: input.sharing.as_deref().and_then(|text| match text {
            "Cluster" => Some(SharingScope::Cluster),
            "Namespace" => Some(SharingScope::Namespace),
            _ => {
                let expected = "Cluster or Namespace";
                check.error(at("sharing"), Problem::NotA { text: text.into(), expected });
                None
            }
        }),
    }
}

/// The pools in force, and those that exist but are not in force as written.
#[derive(Debug, Default)]
pub(super) struct Pools {
    pub(super) accepted: BTreeMap<PoolName, Arc<Pool>>,
    pub(super) rejected: BTreeMap<PoolName, RejectedPool>,
    ranges: Ranges<PoolName>,
}

impl Pools {
    /// Decides about one pool; call in the order of age.
    pub(super) fn settle(&mut self, candidate: Candidate<'_, PoolInput, Pool>) -> Outcome {
        let mut check = candidate.check;
        if let Some(input) = candidate.input {
            self.report_overlaps(input, &mut check);
        }
        let name = PoolName::from(&*candidate.object.name);
        let current = candidate.current.filter(|_| check.problems.is_empty());
        if let Some(current) = current {
            self.accept(
                candidate
                    .previous
                    .filter(|previous| **previous == current)
                    .unwrap_or_else(|| Arc::new(current)),
            );
            return Outcome::accepted(candidate.object, check);
        }
        let entries = candidate.input.map(readable_entries).unwrap_or_default();
        let unread = candidate.input.is_none_or(|input| entries.len() < input.addresses.len());
        self.rejected.insert(name.clone(), RejectedPool { name, entries, unread });
        let kept = candidate.previous.filter(|previous| self.is_free_for(previous));
        let outcome = Outcome::rejected(candidate.object, check, kept.is_some());
        if let Some(previous) = kept {
            self.accept(previous);
        }
        outcome
    }

    fn accept(&mut self, pool: Arc<Pool>) {
        for entry in &pool.entries {
            self.ranges.insert(entry, pool.name.clone());
        }
        self.accepted.insert(pool.name.clone(), pool);
    }

    fn is_free_for(&self, pool: &Pool) -> bool {
        pool.entries.iter().all(|entry| self.ranges.overlapping(entry).next().is_none())
    }

    fn report_overlaps(&self, input: &PoolInput, check: &mut Check) {
        for (index, text) in input.addresses.iter().enumerate() {
            let Ok(range) = AddressRange::parse(text) else { continue };
            let mut reported: Vec<&PoolName> = Vec::new();
            for (other, pool) in self.ranges.overlapping(&range) {
                if !reported.contains(&pool) {
                    reported.push(pool);
                    let other_text = other.to_string().into();
                    check.error(field(index), Problem::OverlapWithPool { pool: pool.clone(), other_text });
                }
            }
        }
    }
}

/// Disjoint ranges, each with an owner.
#[derive(Debug)]
struct Ranges<T> {
    by_start: BTreeMap<(Family, u128), (AddressRange, T)>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self { by_start: BTreeMap::new() }
    }
}

impl<T> Ranges<T> {
    fn insert(&mut self, range: &AddressRange, owner: T) {
        self.by_start.insert((range.family(), range.bounds().0), (*range, owner));
    }

    /// Those that share an address with the range, highest first.
    fn overlapping<'a>(&'a self, range: &'a AddressRange) -> impl Iterator<Item = (AddressRange, &'a T)> {
        let family = range.family();
        self.by_start
            .range((family, 0)..=(family, range.bounds().1))
            .rev()
            .map(|(_, (other, owner))| (*other, owner))
            .take_while(|(other, _)| other.overlaps(range))
    }
}

fn readable_entries(input: &PoolInput) -> Vec<AddressRange> {
    input.addresses.iter().filter_map(|text| AddressRange::parse(text).ok()).collect()
}

fn field(index: usize) -> String {
    format!("spec.addresses[{index}]")
}
