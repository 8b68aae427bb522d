//! Advertisements: reading, and what two of them must not do together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::aliases::Aliases;
use super::check::{Check, Limits};
use super::community::Community;
use super::error::{Combination, Problem};
use super::input::{BgpAdvertisementInput, L2AdvertisementInput};
use super::model::{BgpAdvertisement, L2Advertisement, Pool, PoolMatch};
use crate::keys::{AdvertisementName, Family, InterfaceName, PoolName};
use crate::quote::{beginning, is_interface_name};
use crate::select::{Selector, SelectorInput};

/// The Layer 2 advertisement; the check says whether it is valid.
pub(super) fn read_l2(input: &L2AdvertisementInput, check: &mut Check) -> L2Advertisement {
    let mut preferences = Vec::with_capacity(input.preferred_nodes.len());
    for (index, term) in input.preferred_nodes.iter().enumerate() {
        let field = format!("spec.preferredNodeSelectors[{index}]");
        let limits = Limits { min: 1_u32, max: 100, default: 1 };
        let weight = check.number(&format!("{field}.weight"), Some(term.weight), limits);
        if let Some(selector) = check.selector_even_repeating(format!("{field}.preference"), &term.preference)
        {
            preferences.push((weight, selector));
        }
    }
    // MetalLB takes an interface twice, and it means nothing else than once.
    let interfaces: BTreeSet<InterfaceName> = check.names_even_twice("spec.interfaces", &input.interfaces);
    for (index, name) in input.interfaces.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        if !is_interface_name(name) {
            let problem = Problem::NoInterface { name: beginning(name).into() };
            check.warn(format!("spec.interfaces[{index}]"), problem);
        }
    }
    L2Advertisement {
        name: input.meta.name.as_str().into(),
        created: input.meta.created,
        pools: pool_match(&input.pools, &input.pool_selectors, check),
        node_selectors: check.selectors("spec.nodeSelectors", &input.node_selectors),
        service_selectors: check.selectors("spec.serviceSelectors", &input.service_selectors),
        interfaces,
        preferences,
    }
}

/// The BGP advertisement; the check says whether it is valid.
pub(super) fn read_bgp(
    input: &BgpAdvertisementInput,
    aliases: &Aliases<'_>,
    check: &mut Check,
) -> BgpAdvertisement {
    let mut texts = BTreeSet::new();
    let mut communities = BTreeSet::new();
    for (index, text) in input.communities.iter().enumerate() {
        let field = || format!("spec.communities[{index}]");
        if !texts.insert(text) {
            check.error(field(), Problem::Duplicate { text: text.as_str().into() });
        }
        match aliases.resolve(text) {
            Some(community) => drop(communities.insert(community)),
            None => check.error(field(), unresolved(text)),
        }
    }
    let advertisement = BgpAdvertisement {
        name: input.meta.name.as_str().into(),
        created: input.meta.created,
        pools: pool_match(&input.pools, &input.pool_selectors, check),
        excluded_pools: BTreeSet::new(),
        node_selectors: check.selectors("spec.nodeSelectors", &input.node_selectors),
        service_selectors: check.selectors("spec.serviceSelectors", &input.service_selectors),
        peers: check.names("spec.peers", &input.peers),
        aggregation_length: check.number(
            field_of(Family::V4),
            input.aggregation_length,
            Limits { min: 1_u8, max: 32, default: 32 },
        ),
        aggregation_length_v6: check.number(
            field_of(Family::V6),
            input.aggregation_length_v6,
            Limits { min: 1_u8, max: 128, default: 128 },
        ),
        local_pref: input.local_pref,
        communities,
    };
    for family in Family::BOTH {
        if !advertisement.service_selectors.is_empty() && advertisement.prefix_length(family) < family.bits()
        {
            check.error(field_of(family), Problem::Combination(Combination::AggregationWithServiceSelectors));
        }
    }
    advertisement
}

/// A name may still be defined; what is meant as a value will never be one.
fn unresolved(text: &str) -> Problem {
    match Community::parse_value(text) {
        Err(problem) if text.contains(':') => problem,
        _ => Problem::UnknownCommunity { text: text.into() },
    }
}

fn pool_match(names: &[String], selectors: &[SelectorInput], check: &mut Check) -> PoolMatch {
    PoolMatch {
        names: check.names("spec.ipAddressPools", names),
        selectors: check.selectors("spec.ipAddressPoolSelectors", selectors),
    }
}

/// What one advertisement must not do with one pool.
#[derive(Debug)]
pub(super) struct PairProblem {
    pub(super) pool: PoolName,
    pub(super) field: &'static str,
    pub(super) problem: Problem,
    /// The pair is excluded; otherwise it may turn out to be a conflict on some node, which is decided there.
    pub(super) certain: bool,
}

/// Checks one BGP advertisement against every pool that it is for. `older` are those in force that are older.
pub(super) fn check_pairs(
    advertisement: &BgpAdvertisement,
    older: &[Arc<BgpAdvertisement>],
    pools: &BTreeMap<PoolName, Arc<Pool>>,
) -> Vec<PairProblem> {
    let mut found = Vec::new();
    for pool in pools.values().filter(|pool| advertisement.pools.matches(pool)) {
        for family in Family::BOTH {
            if let Some(problem) = aggregation_problem(advertisement, pool, family) {
                found.push(PairProblem {
                    pool: pool.name.clone(),
                    field: field_of(family),
                    problem,
                    certain: true,
                });
            }
            found.extend(local_pref_problem(advertisement, older, pool, family));
        }
    }
    found
}

/// An aggregate must not cover more than the entry that it rolls up: the largest network of the entry must be at least
/// as large as the aggregate.
fn aggregation_problem(advertisement: &BgpAdvertisement, pool: &Pool, family: Family) -> Option<Problem> {
    let length = advertisement.prefix_length(family);
    pool.entries.iter().filter(|entry| entry.family() == family).find_map(|entry| {
        let least = entry.cover().map(|network| network.prefix()).min()?;
        (least > length).then(|| Problem::AggregationTooShort {
            length,
            entry: entry.to_string().into(),
            pool: pool.name.clone(),
            least,
        })
    })
}

fn local_pref_problem(
    advertisement: &BgpAdvertisement,
    older: &[Arc<BgpAdvertisement>],
    pool: &Pool,
    family: Family,
) -> Option<PairProblem> {
    if !advertisement.service_selectors.is_empty() || !pool.has_family(family) {
        return None;
    }
    let conflict = |other: &&Arc<BgpAdvertisement>| {
        other.effective_local_pref() != advertisement.effective_local_pref()
            && other.service_selectors.is_empty()
            && other.applies_to(pool)
            && other.prefix_length(family) == advertisement.prefix_length(family)
            && peers_meet(other, advertisement)
    };
    let mut possible = None;
    for other in older.iter().filter(conflict) {
        let meeting = meeting(&other.node_selectors, &advertisement.node_selectors);
        let problem =
            || Problem::LocalPrefConflict { older: other.name.clone(), pool: pool.name.clone(), family };
        let pair = |certain| PairProblem {
            pool: pool.name.clone(),
            field: "spec.localPref",
            problem: problem(),
            certain,
        };
        match meeting {
            Meeting::Certain => return Some(pair(true)),
            Meeting::Possible => possible = possible.or_else(|| Some(pair(false))),
            Meeting::Never => {}
        }
    }
    possible
}

fn peers_meet(a: &BgpAdvertisement, b: &BgpAdvertisement) -> bool {
    a.peers.is_empty() || b.peers.is_empty() || !a.peers.is_disjoint(&b.peers)
}

/// Whether two lists of node selectors select a common node, judged without knowing the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// Every node that the second selects is selected by the first, or the other way round.
    Certain,
    /// It depends on the labels of the nodes.
    Possible,
    /// No labels can match both.
    Never,
}

/// See [`Meeting`]. An empty list selects every node.
pub(super) fn meeting(a: &[Selector], b: &[Selector]) -> Meeting {
    let all = |list: &[Selector]| list.is_empty() || list.iter().any(Selector::matches_everything);
    let within =
        |inner: &[Selector], outer: &[Selector]| inner.iter().all(|selector| outer.contains(selector));
    if all(a) || all(b) || within(a, b) || within(b, a) {
        return Meeting::Certain;
    }
    let disjoint = a.iter().all(|a| b.iter().all(|b| a.is_disjoint_from(b)));
    if disjoint { Meeting::Never } else { Meeting::Possible }
}

/// Names of pools or peers in a list that do not exist, with their index in the input. Empty ones are told as such.
pub(super) fn unknown<'a>(
    names: &'a [String],
    exists: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = (usize, &'a str)> + 'a {
    names
        .iter()
        .enumerate()
        .map(|(index, name)| (index, name.as_str()))
        .filter(move |(_, name)| !name.is_empty() && !exists(name))
}

/// An advertisement by name, to look up its input.
pub(super) fn by_name<'a, I>(inputs: &'a [I], name: &AdvertisementName, of: fn(&I) -> &str) -> Option<&'a I> {
    inputs.iter().find(|input| of(input) == name.as_str())
}

const fn field_of(family: Family) -> &'static str {
    match family {
        Family::V4 => "spec.aggregationLength",
        Family::V6 => "spec.aggregationLengthV6",
    }
}
