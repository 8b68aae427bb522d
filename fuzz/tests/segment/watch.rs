//! What must hold whatever happens on the segment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metallb_core::membership::Epoch;
use metallb_core::speaker::{HANDOVER, Report};

use crate::node::{Deed, LAG, mac};
use crate::segment::Segment;
use crate::truth::Truth;

/// Who should own each address by its own knowledge.
type Believers = BTreeMap<IpAddr, BTreeSet<usize>>;

/// Side, group, version of the facts.
type ClassKey = (u64, u64, u64);

/// Hosts that know the same, with what they know of the API server's objects.
type Class = (Arc<Truth>, BTreeSet<usize>);

/// Which rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// After the time for a hand-over at most one node answers, of those that can agree.
    OneAnswers,
    /// A while after the last event it is the node that should, and no other.
    TheOwnerAnswers,
    /// Nobody defends an address against its owner, nor takes a speaker it knows for a stranger.
    NoDefenceAgainstTheOwner,
    /// An address moves only when something happened that moves it.
    MovesAreJustified,
    /// The client's cache points to the owner, a while after the last event.
    TheCacheIsRight,
    /// Nobody stops answering before somebody else does when a speaker leaves or joins.
    NoGap,
    /// Nobody is told of conflicts where there are none.
    NoFalseWord,
}

#[derive(Clone)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    text: String,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}

/// Looks at the segment, and notes what is not as it must be.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) next_sample: Duration,
    last_event: Duration,
    /// Who owns what: of all that run, if they were one cluster with the newest facts.
    owners: BTreeMap<IpAddr, usize>,
    /// The same for the hosts of each side.
    side_owners: BTreeMap<u64, BTreeMap<IpAddr, usize>>,
    /// Who should own what by its own knowledge, of those that take part.
    believers: Believers,
    /// Until when hosts reached those that take part.
    links: BTreeMap<(usize, usize), Duration>,
    /// Which do so now.
    linked: BTreeSet<(usize, usize)>,
    /// Every host that takes part, with those of them that it reaches.
    components: BTreeSet<(usize, BTreeSet<usize>)>,
    /// The same of a moment ago, with the time until which it was so.
    before: BTreeMap<(usize, BTreeSet<usize>), Duration>,
    /// How many sets of hosts that know the same there are on each side.
    classes: BTreeMap<u64, usize>,
    announced_at: BTreeMap<(usize, IpAddr), Duration>,
    /// Who answers, or answered last, for an address beside others that it did not hear.
    unheard: BTreeMap<IpAddr, BTreeMap<usize, Epoch>>,
    moves: BTreeMap<IpAddr, usize>,
    justified: BTreeMap<IpAddr, usize>,
    /// Something kept hosts apart at some time.
    parted: bool,
    whole: bool,
    /// Until when these addresses are answered for by somebody at every moment.
    no_gap: Option<(Duration, BTreeSet<IpAddr>)>,
    pub(crate) violations: Vec<Violation>,
    /// How often all rules were looked at.
    pub(crate) checks: u64,
    pub(crate) total_moves: usize,
    /// Whether deeds are printed as they are done.
    pub(crate) print: bool,
}

impl Watch {
    /// Something is about to happen: what was promised of the last event ends with it.
    pub(crate) fn expect_event(&mut self) {
        self.no_gap = None;
    }

    /// Something has happened; `seamless` when nobody may notice.
    pub(crate) fn note_event(&mut self, segment: &Segment, seamless: bool) {
        let was_calm = self.whole && self.calm(segment) >= CALM;
        let before = std::mem::take(&mut self.owners);
        self.last_event = segment.now;
        self.whole = is_whole(segment);
        self.parted |= !self.whole || segment.loss > 0;
        self.owners = segment.truth.owners(&segment.running());
        let mut sides: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
        for index in segment.running() {
            sides.entry(segment.hosts[index].side).or_default().insert(index);
        }
        let owners = |(side, nodes)| (side, segment.truth.owners(&nodes));
        self.side_owners = sides.into_iter().map(owners).collect();
        self.no_gap = (seamless && was_calm && self.whole).then(|| {
            let owned = before.into_keys().filter(|address| self.owners.contains_key(address));
            (segment.now + CALM, owned.collect())
        });
        for service in 1..=SERVICES {
            let address = crate::truth::service_address(service);
            self.note_unheard(segment, address, &segment.answering(address));
        }
        self.classes = BTreeMap::new();
        for (side, ..) in classes(segment, &segment.running(), false).into_keys() {
            *self.classes.entry(side).or_default() += 1;
        }
        self.justify(segment);
    }

    /// Counts the nodes that should own something now and should not before: of those that take part, for who is starting
    /// owns nothing yet.
    fn justify(&mut self, segment: &Segment) {
        let established =
            segment.running().into_iter().filter(|index| segment.is_established(*index)).collect();
        let remembered = self.remember(segment, &established);
        for (address, nodes) in believers(segment, &established, true) {
            let known = self.believers.get(&address);
            let new = |node: &&usize| !known.is_some_and(|known| known.contains(*node));
            // It gives way to one that others have lost a moment ago, until that is noticed.
            let pauses = |node: &&usize| {
                let owner = |owners: &BTreeMap<IpAddr, usize>| owners.get(&address) == Some(*node);
                !remembered.get(*node).is_some_and(owner)
            };
            let justified = nodes.iter().filter(|node| new(node) || pauses(node)).count();
            *self.justified.entry(address).or_default() += justified;
        }
        let believers = believers(segment, &established, false);
        self.justify_late(segment, &established, &believers);
        if self.print {
            println!("{:>12?}     owners by what they know: {believers:?}", segment.now);
        }
        self.believers = believers;
    }

    /// Who owns what in the eyes of each host while it counts, by its own or others' word, who was reached a moment ago.
    fn remember(
        &mut self,
        segment: &Segment,
        established: &BTreeSet<usize>,
    ) -> BTreeMap<usize, BTreeMap<IpAddr, usize>> {
        // Who reached each other until this moment.
        let linked = std::mem::take(&mut self.linked);
        self.links.extend(linked.into_iter().map(|pair| (pair, segment.now)));
        let running = segment.running();
        let reached = |one: usize| running.iter().copied().filter(move |other| segment.reach(one, *other));
        let links = &self.links;
        let now = segment.now;
        let recently = |of: usize| {
            let is_recent = move |(pair, until): &(&(usize, usize), &Duration)| {
                pair.0 == of && now.saturating_sub(**until) <= FORGET
            };
            links.iter().filter(is_recent).map(|(pair, _)| pair.1)
        };
        let mut views = BTreeMap::new();
        for one in established {
            let linked = reached(*one).filter(|other| established.contains(other));
            let counted = linked.chain(reached(*one).flat_map(recently)).collect();
            views.insert(*one, owners_by(segment, *one, &counted));
        }
        let pairs = |one: &usize| {
            let one = *one;
            reached(one).filter(|other| established.contains(other)).map(move |other| (one, other))
        };
        self.linked = running.iter().flat_map(pairs).collect();
        views
    }

    /// What hosts own in their own eyes that have not met yet whom they reach now.
    fn justify_late(&mut self, segment: &Segment, established: &BTreeSet<usize>, believers: &Believers) {
        let now = segment.now;
        self.before.retain(|_, until| now.saturating_sub(*until) <= MOMENT);
        let current = |one: &usize| {
            (*one, established.iter().copied().filter(|other| segment.reach(*one, *other)).collect())
        };
        let current: BTreeSet<(usize, BTreeSet<usize>)> = established.iter().map(current).collect();
        for (one, counted) in
            self.before.keys().filter(|key| established.contains(&key.0) && !current.contains(key))
        {
            for (address, owner) in owners_by(segment, *one, counted) {
                let known =
                    |believers: &Believers| believers.get(&address).is_some_and(|nodes| nodes.contains(one));
                if owner == *one && !known(believers) && !known(&self.believers) {
                    *self.justified.entry(address).or_default() += 1;
                }
            }
        }
        self.before.extend(std::mem::take(&mut self.components).into_iter().map(|key| (key, now)));
        self.components = current;
    }

    /// A node has done something.
    pub(crate) fn note(&mut self, segment: &Segment, node: usize, deed: &Deed) {
        if self.print {
            println!("{:>12?}     node {node}: {deed}", segment.now);
        }
        match deed {
            Deed::Announced(address) => {
                *self.moves.entry(*address).or_default() += 1;
                self.total_moves += 1;
                self.announced_at.insert((node, *address), segment.now);
            }
            Deed::Withdrew(address) => self.check_gap(segment, *address),
            Deed::Defended(address) => self.check_defence(segment, node, *address),
            Deed::DefendedAgainst(address, by) => {
                let process = segment.hosts[node].process.as_ref();
                let now = segment.clock(node);
                if process.is_some_and(|process| process.knew(now, *by)) {
                    let text = format!("{node} takes {by} for a stranger that claims {address}");
                    self.violate(segment, Rule::NoDefenceAgainstTheOwner, &text);
                }
            }
            Deed::Reported(
                report @ (Report::AddressConflict { .. }
                | Report::ManyConflicts { .. }
                | Report::SpeakersApart { .. }),
            ) => {
                let calm = self.whole && self.calm(segment) >= CALM;
                if !self.parted || calm {
                    let text = format!("{node} says: {report}");
                    self.violate(segment, Rule::NoFalseWord, &text);
                }
            }
            Deed::TookPart => self.justify(segment),
            Deed::Reported(_) => {}
        }
    }

    /// Looks at everything; to be called every few milliseconds.
    pub(crate) fn sample(&mut self, segment: &Segment) {
        self.next_sample = segment.now + SAMPLE;
        self.checks += 1;
        let calm = self.calm(segment);
        let gaps: Vec<IpAddr> = self.no_gap.iter().flat_map(|(_, addresses)| addresses).copied().collect();
        for address in gaps {
            self.check_gap(segment, address);
        }
        for service in 1..=SERVICES {
            let address = crate::truth::service_address(service);
            let answering = segment.answering(address);
            self.note_unheard(segment, address, &answering);
            if calm > HANDOVER {
                self.check_number(segment, address, &answering);
            }
            if self.whole && calm >= CALM {
                let owner: BTreeSet<usize> = self.owners.get(&address).copied().into_iter().collect();
                if answering != owner {
                    let text = format!("{address} is of {owner:?}, and answered for by {answering:?}");
                    self.violate(segment, Rule::TheOwnerAnswers, &text);
                }
            }
            if self.whole && calm >= CALM + REPEAT {
                self.check_cache(segment, address);
            }
        }
    }

    /// Remembers who answers for an address beside others that it does not hear. If it ends, nobody knows what the client
    /// learnt of it last; if it lives on, it and the others tell each other, once they can.
    fn note_unheard(&mut self, segment: &Segment, address: IpAddr, answering: &BTreeSet<usize>) {
        let unheard = self.unheard.entry(address).or_default();
        let is_apart = |host: &usize| answering.iter().any(|other| !segment.reach(*host, *other));
        unheard.retain(|host, run| {
            let has_ended = segment.run(*host) != Some(*run) && !answering.contains(host);
            is_apart(host) || has_ended
        });
        let apart = answering.iter().filter(|host| is_apart(host));
        unheard.extend(apart.filter_map(|host| Some((*host, segment.run(*host)?))));
    }

    fn check_number(&mut self, segment: &Segment, address: IpAddr, answering: &BTreeSet<usize>) {
        let mut sides: BTreeMap<u64, usize> = BTreeMap::new();
        for node in answering {
            *sides.entry(segment.hosts[*node].side).or_default() += 1;
        }
        for (side, number) in sides {
            let most = self.classes.get(&side).copied().unwrap_or_default();
            if number > most {
                let text =
                    format!("{address} is answered for by {answering:?}, at most by {most} on side {side}");
                self.violate(segment, Rule::OneAnswers, &text);
            }
        }
    }

    fn check_cache(&mut self, segment: &Segment, address: IpAddr) {
        let (Some(owner), Some(found)) = (self.owners.get(&address), segment.client.cache.get(&address))
        else {
            return;
        };
        let unheard =
            self.unheard.get(&address).is_some_and(|hosts| hosts.keys().any(|host| mac(*host) == *found));
        if *found != mac(*owner) && !unheard {
            let text = format!("the client looks for {address} at {found}, it is at {}", mac(*owner));
            self.violate(segment, Rule::TheCacheIsRight, &text);
        }
    }

    fn check_gap(&mut self, segment: &Segment, address: IpAddr) {
        let Some((until, addresses)) = &self.no_gap else { return };
        if segment.now > *until {
            self.no_gap = None;
        } else if addresses.contains(&address) && segment.answering(address).is_empty() {
            self.violate(segment, Rule::NoGap, &format!("nobody answers for {address}"));
        }
    }

    /// A node that knows the same as others does not take caches from the owner.
    fn check_defence(&mut self, segment: &Segment, node: usize, address: IpAddr) {
        let host = &segment.hosts[node];
        let owners = self.side_owners.get(&host.side);
        let Some(owner) = owners.and_then(|owners| owners.get(&address)).copied() else { return };
        let Some(process) = &host.process else { return };
        let just_now = |at: Duration| segment.now.saturating_sub(at) <= MOMENT;
        let recent = self.announced_at.get(&(owner, address)).copied().is_some_and(just_now);
        let cut_off = host.cut_off || segment.hosts[owner].cut_off;
        let knows = !cut_off && process.lag <= LAG && !just_now(self.last_event);
        let hears =
            segment.reach(node, owner) || process.heard_claim(segment.clock(node), address, mac(owner));
        if owner != node && knows && hears && !recent && segment.answering(address).contains(&owner) {
            let text = format!("{node} defends {address} against {owner}, the owner");
            self.violate(segment, Rule::NoDefenceAgainstTheOwner, &text);
        }
    }

    /// At the end of a history.
    pub(crate) fn check_moves(&mut self, segment: &Segment) {
        for (address, moves) in self.moves.clone() {
            let justified = self.justified.get(&address).copied().unwrap_or_default();
            if moves > justified {
                let text = format!("{address} moved {moves} times, events justify {justified}");
                self.violate(segment, Rule::MovesAreJustified, &text);
            }
        }
    }

    /// How long nothing has happened.
    fn calm(&self, segment: &Segment) -> Duration {
        segment.now.saturating_sub(self.last_event)
    }

    fn violate(&mut self, segment: &Segment, rule: Rule, text: &str) {
        let known = self.violations.iter().filter(|violation| violation.rule == rule);
        if known.count() < 5 {
            let text = format!("{:?} ({:?} after the last event): {text}", segment.now, self.calm(segment));
            self.violations.push(Violation { rule, text });
        }
    }
}

/// What hosts go by: what the API server says, where they hear it; `and_before` what they know until they hear it as well.
fn classes(segment: &Segment, counted: &BTreeSet<usize>, and_before: bool) -> BTreeMap<ClassKey, Class> {
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
fn owners_by(segment: &Segment, one: usize, counted: &BTreeSet<usize>) -> BTreeMap<IpAddr, usize> {
    let host = &segment.hosts[one];
    let known = host.process.as_ref().and_then(|process| process.facts());
    let facts = if host.cut_off { known } else { Some(&segment.truth) };
    facts.map(|facts| facts.owners(counted)).unwrap_or_default()
}

/// Who should own what by its own knowledge, were only `counted` alive.
fn believers(segment: &Segment, counted: &BTreeSet<usize>, and_before: bool) -> Believers {
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
fn is_whole(segment: &Segment) -> bool {
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

/// Most services of a history.
pub(crate) const SERVICES: u8 = 6;
/// How long everything takes at most: a cautious start, a silence and a drain.
pub(crate) const CALM: Duration = Duration::from_secs(3);
/// What an announcement that got lost is repeated after.
const REPEAT: Duration = Duration::from_millis(1_200);
/// How long facts and frames are under way.
const MOMENT: Duration = Duration::from_millis(100);
/// How long who is not heard any more is counted at most: a silence, and the word of others.
const FORGET: Duration = Duration::from_millis(700);
/// How often everything is looked at.
const SAMPLE: Duration = Duration::from_millis(5);
