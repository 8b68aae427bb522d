//! What hosts know, and who should own what by that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::node::LAG;
use crate::segment::Segment;
use crate::truth::Truth;

/// Who should own each address by its own knowledge.
pub(super) type Believers = BTreeMap<IpAddr, BTreeSet<usize>>;

/// Side, group, version of the facts.
type ClassKey = (u64, u64, u64);

/// Hosts that know the same, with what they know of the API server's objects.
type Class = (Arc<Truth>, BTreeSet<usize>);

/// What hosts go by: what the API server says, where they hear it; `and_before` what they know until they hear it as well.
pub(super) fn classes(
    segment: &Segment,
    counted: &BTreeSet<usize>,
    and_before: bool,
) -> BTreeMap<ClassKey, Class> {
    let mut classes: BTreeMap<ClassKey, Class> = BTreeMap::new();
    for index in counted {
        let host = &segment.hosts[*index];
        let known = host.process.as_ref().and_then(|process| process.facts()).cloned();
        let told = (!host.cut_off).then(|| Arc::clone(&segment.truth));
        for facts in known.filter(|_| host.cut_off || and_before).into_iter().chain(told) {
            let key = (host.side, host.group, facts.version);
            classes.entry(key).or_insert_with(|| (facts, BTreeSet::new())).1.insert(*index);
        }
    }
    classes
}

/// Who owns what in the eyes of one host, were `counted` alive.
pub(super) fn owners_by(segment: &Segment, one: usize, counted: &BTreeSet<usize>) -> BTreeMap<IpAddr, usize> {
    let host = &segment.hosts[one];
    let known = host.process.as_ref().and_then(|process| process.facts());
    let facts = if host.cut_off { known } else { Some(&segment.truth) };
    facts.map(|facts| facts.owners(counted)).unwrap_or_default()
}

/// Who should own what by its own knowledge, were only `counted` alive.
pub(super) fn believers(segment: &Segment, counted: &BTreeSet<usize>, and_before: bool) -> Believers {
    let mut members: BTreeMap<(u64, u64), BTreeSet<usize>> = BTreeMap::new();
    for index in counted {
        let host = &segment.hosts[*index];
        members.entry((host.side, host.group)).or_default().insert(*index);
    }
    let mut believers: Believers = BTreeMap::new();
    for ((side, group, _), (facts, nodes)) in classes(segment, counted, and_before) {
        for (address, owner) in facts.owners(&members[&(side, group)]) {
            if nodes.contains(&owner) {
                believers.entry(address).or_default().insert(owner);
            }
        }
    }
    believers
}

/// Nothing keeps speakers from knowing the same within a moment.
pub(super) fn is_whole(segment: &Segment) -> bool {
    let running = segment.running();
    let together: BTreeSet<(u64, u64)> =
        running.iter().map(|index| (segment.hosts[*index].side, segment.hosts[*index].group)).collect();
    let sound = |host: &crate::segment::Host| {
        !host.frozen && !host.cut_off && host.process.as_ref().is_none_or(|process| process.lag <= LAG)
    };
    // The client is on the first side.
    let with_client = together.iter().all(|(side, _)| *side == 0);
    together.len() <= 1 && with_client && segment.hosts.iter().all(sound)
}
