//! What must hold whatever happens on the segment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metallb_core::speaker::{HANDOVER, Report};

use crate::node::{Deed, LAG, mac};
use crate::segment::Segment;
use crate::truth::Truth;

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
    /// Who should own what by its own knowledge.
    believers: BTreeMap<IpAddr, BTreeSet<usize>>,
    /// How many sets of hosts that know the same there are on each side.
    classes: BTreeMap<u64, usize>,
    announced_at: BTreeMap<(usize, IpAddr), Duration>,
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
}

impl Watch {
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
        let believers = self.count_believers(segment);
        for (address, nodes) in &believers {
            let known = self.believers.get(address);
            let new = nodes.iter().filter(|node| !known.is_some_and(|known| known.contains(*node)));
            *self.justified.entry(*address).or_default() += new.count();
        }
        self.believers = believers;
    }

    fn count_believers(&mut self, segment: &Segment) -> BTreeMap<IpAddr, BTreeSet<usize>> {
        let running = segment.running();
        let mut classes: BTreeMap<(u64, u64, u64), Class> = BTreeMap::new();
        let mut members: BTreeMap<(u64, u64), BTreeSet<usize>> = BTreeMap::new();
        for index in running {
            let host = &segment.hosts[index];
            let known = host.process.as_ref().and_then(|process| process.facts()).cloned();
            let facts = if host.cut_off { known } else { Some(Arc::clone(&segment.truth)) };
            members.entry((host.side, host.group)).or_default().insert(index);
            if let Some(facts) = facts {
                let class = (host.side, host.group, facts.version);
                classes.entry(class).or_insert_with(|| (facts, BTreeSet::new())).1.insert(index);
            }
        }
        self.classes = BTreeMap::new();
        let mut believers: BTreeMap<IpAddr, BTreeSet<usize>> = BTreeMap::new();
        for ((side, group, _), (facts, nodes)) in classes {
            *self.classes.entry(side).or_default() += 1;
            for (address, owner) in facts.owners(&members[&(side, group)]) {
                if nodes.contains(&owner) {
                    believers.entry(address).or_default().insert(owner);
                }
            }
        }
        believers
    }

    /// A node has done something.
    pub(crate) fn note(&mut self, segment: &Segment, node: usize, deed: &Deed) {
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
            Deed::Reported(report @ (Report::AddressConflict { .. } | Report::SpeakersApart { .. })) => {
                let calm = self.whole && self.calm(segment) >= CALM;
                if !self.parted || calm {
                    let text = format!("{node} says: {report}");
                    self.violate(segment, Rule::NoFalseWord, &text);
                }
            }
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
        if *found != mac(*owner) {
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
        let slow = host.process.as_ref().is_some_and(|process| process.lag > LAG);
        let just_now = |at: Duration| segment.now.saturating_sub(at) <= MOMENT;
        let recent = self.announced_at.get(&(owner, address)).copied().is_some_and(just_now);
        let knows = !host.cut_off && !segment.hosts[owner].cut_off && !slow && !just_now(self.last_event);
        if owner != node && knows && !recent && segment.answering(address).contains(&owner) {
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
        if self.violations.len() < 10 {
            let text = format!("{:?} ({:?} after the last event): {text}", segment.now, self.calm(segment));
            self.violations.push(Violation { rule, text });
        }
    }
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
/// How often everything is looked at.
const SAMPLE: Duration = Duration::from_millis(5);
