//! What must hold whatever happens on the segment.

mod beliefs;
mod checks;
mod moves;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use metallb_core::membership::Epoch;
use metallb_core::speaker::{HANDOVER, Report};

use crate::node::Deed;
use crate::segment::Segment;

use beliefs::{Believers, classes, is_whole};

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
