//! What is to be written, in which order and when: a state machine without IO and clocks.
//!
//! What waits is a decision, neither the body of a request nor a task, so a long queue is small. Writes to one object
//! follow each other, and of those that wait only the newest counts.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Identity, Slot, Write,
    pace::{Content, Pace},
};
use crate::retry::{Seed, Task};

/// What is written first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// What users wait for: addresses, and who answers for them.
    Wanted,
    /// What tells them why.
    Events,
    /// What describes the rest.
    Statuses,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Backlog {
    seed: Seed,
    entries: HashMap<Arc<Slot>, Entry>,
    lanes: BTreeMap<Lane, VecDeque<Arc<Slot>>>,
    /// What is looked at again, and when. Numbers tell those apart that come at the same time.
    timers: BTreeMap<(Instant, u64), Arc<Slot>>,
    numbers: u64,
    busy: usize,
    /// How many of them are events.
    busy_events: usize,
}

/// One object.
#[derive(Debug, Default)]
struct Entry {
    /// The newest write that has not been begun.
    waiting: Option<Box<Write>>,
    /// It was decided before the one that was written last was done.
    is_waiting_older: bool,
    stage: Stage,
    pace: Pace,
    /// What was written last.
    made: Option<Made>,
    /// There while the latest attempt failed.
    failing: Option<Failing>,
    /// A write was given up, and whoever decides has not heard of it yet.
    is_outdated: bool,
}

#[derive(Debug)]
struct Made {
    identity: Identity,
    content: Content,
}

/// Attempts in a row that were no success.
#[derive(Debug, Default)]
pub(super) struct Failing {
    /// Their pauses and warnings; `None` while there were only conflicts.
    pub(super) task: Option<Box<Task>>,
    /// How many were conflicts.
    pub(super) conflicts: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Just made.
    #[default]
    New,
    /// It stands in its lane.
    Queued,
    /// It is being written, with this content.
    Busy(Content),
    /// It is looked at again.
    Timed(Instant, u64),
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Next {
    /// Write this; tell [`Backlog::ended`] how that went.
    Write(Begun),
    /// Have this decided on anew.
    Outdated(Arc<Slot>),
}

/// A write that is begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) slot: Arc<Slot>,
    pub(super) write: Box<Write>,
    pub(super) failing: Option<Failing>,
}

/// How a write ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It is done; the version that was made, if that is known.
    Done(Option<Identity>),
    /// It is given up, and nobody needs to know.
    Dropped,
    /// It is given up: have it decided on anew, after this pause.
    Moot(Duration),
    /// Try this after a pause, or what is newer.
    Again(Box<Write>, Failing, Duration),
}

impl Backlog {
    /// Nothing is to be written. `seed` spreads pauses.
    pub(super) fn new(seed: Seed) -> Self {
        let (entries, lanes, timers) = (HashMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { seed, entries, lanes, timers, numbers: 0, busy: 0, busy_events: 0 }
    }

    /// Something to write, in place of what waits for the same object.
    pub(super) fn submit(&mut self, now: Instant, write: Write) {
        let slot = Arc::new(write.slot());
        let mut entry = self.take_entry(&slot);
        let before = entry.waiting.replace(Box::new(write));
        let object = |write: &Write| write.content().object;
        if before.is_some_and(|before| entry.waiting.as_deref().map(object) != Some(object(&before))) {
            // What failed was for an object that is gone.
            entry.failing = None;
        }
        (entry.is_waiting_older, entry.is_outdated) = (false, false);
        let stays = match entry.stage {
            Stage::Queued | Stage::Busy(_) => true,
            // The server is not to be asked before.
            Stage::Timed(..) => entry.failing.is_some(),
            Stage::New => false,
        };
        if !stays {
            self.schedule(&slot, &mut entry, now, None);
        }
        self.put_entry(slot, entry);
    }

    /// Drops what waits for an object.
    pub(super) fn cancel(&mut self, now: Instant, slot: Slot) {
        let slot = Arc::new(slot);
        if !self.entries.contains_key(&slot) {
            return;
        }
        let mut entry = self.take_entry(&slot);
        entry.waiting = None;
        entry.is_outdated = false;
        if let Stage::Timed(..) = entry.stage {
            self.untime(&mut entry);
            entry.stage = Stage::New;
            self.rest(&slot, &mut entry, now);
        }
        // One that is queued finds nothing to do when its turn comes.
        self.put_entry(slot, entry);
    }

    /// What is to be done now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Next> {
        while let Some(slot) = self.due(now) {
            let mut entry = self.take_entry(&slot);
            entry.stage = Stage::New;
            let is_outdated = std::mem::take(&mut entry.is_outdated);
            if entry.waiting.is_some() {
                self.queue(&slot, &mut entry);
            } else {
                self.rest(&slot, &mut entry, now);
            }
            self.put_entry(Arc::clone(&slot), entry);
            if is_outdated {
                return Some(Next::Outdated(slot));
            }
        }
        while let Some(slot) = self.lanes.values_mut().find_map(VecDeque::pop_front) {
            let mut entry = self.take_entry(&slot);
            entry.stage = Stage::New;
            let begun = entry.begin();
            match &begun {
                Some(write) => entry.stage = Stage::Busy(write.content()),
                None => self.rest(&slot, &mut entry, now),
            }
            let failing = begun.as_ref().and_then(|_| entry.failing.take());
            self.put_entry(Arc::clone(&slot), entry);
            if let Some(write) = begun {
                return Some(Next::Write(Begun { slot, write, failing }));
            }
        }
        None
    }

    /// How a write went that was begun. Returns whether somebody else is found to undo such writes again and again.
    pub(super) fn ended(&mut self, now: Instant, slot: &Arc<Slot>, how: Ended) -> bool {
        let mut entry = self.take_entry(slot);
        let Stage::Busy(content) = std::mem::take(&mut entry.stage) else {
            self.put_entry(Arc::clone(slot), entry);
            return false;
        };
        let (mut at, mut is_contested) = (None, false);
        // What waits for an object that was made anew waits for nothing that became of the one before.
        let is_anew =
            entry.waiting.as_deref().is_some_and(|waiting| waiting.content().object != content.object);
        match how {
            Ended::Done(made) => {
                entry.made = made.map(|identity| Made { identity, content });
                entry.is_waiting_older = true;
                is_contested = slot.is_paced() && entry.pace.written(now, content);
            }
            Ended::Dropped => {}
            Ended::Moot(pause) => {
                entry.is_outdated = entry.waiting.is_none();
                at = now.checked_add(pause).filter(|_| !is_anew);
            }
            Ended::Again(..) if is_anew => {}
            Ended::Again(write, failing, pause) => {
                entry.waiting.get_or_insert(write);
                entry.is_waiting_older = false;
                entry.failing = Some(failing);
                at = now.checked_add(pause);
            }
        }
        if entry.waiting.is_some() || entry.is_outdated {
            self.schedule(slot, &mut entry, now, at);
        } else {
            self.rest(slot, &mut entry, now);
        }
        self.put_entry(Arc::clone(slot), entry);
        is_contested
    }

    /// When there is something to do that is not due yet.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    /// How many objects there is something to do for.
    pub(super) const fn busy(&self) -> usize {
        self.busy
    }

    /// Whether an event is still to be written.
    pub(super) const fn has_events(&self) -> bool {
        self.busy_events > 0
    }

    /// Nothing is to be written any more.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.seed);
    }

    /// The object of the first timer that is due, which is taken away.
    fn due(&mut self, now: Instant) -> Option<Arc<Slot>> {
        let first = self.timers.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Has a write wait in its lane, or for its time.
    fn schedule(&mut self, slot: &Arc<Slot>, entry: &mut Entry, now: Instant, at: Option<Instant>) {
        let paced = entry.waiting.as_ref().filter(|_| slot.is_paced());
        let earliest = paced.and_then(|write| entry.pace.earliest(write.content(), self.seed));
        match at.max(earliest).filter(|at| *at > now) {
            Some(at) => self.time(slot, entry, at),
            None => self.queue(slot, entry),
        }
    }

    fn queue(&mut self, slot: &Arc<Slot>, entry: &mut Entry) {
        self.untime(entry);
        entry.stage = Stage::Queued;
        self.lanes.entry(slot.lane()).or_default().push_back(Arc::clone(slot));
    }

    /// Nothing is to be done; the object is remembered for as long as its pace matters.
    fn rest(&mut self, slot: &Arc<Slot>, entry: &mut Entry, now: Instant) {
        entry.failing = None;
        if let Some(at) = entry.pace.forgotten().filter(|at| *at > now) {
            self.time(slot, entry, at);
        }
    }

    fn time(&mut self, slot: &Arc<Slot>, entry: &mut Entry, at: Instant) {
        self.untime(entry);
        self.numbers = self.numbers.wrapping_add(1);
        self.timers.insert((at, self.numbers), Arc::clone(slot));
        entry.stage = Stage::Timed(at, self.numbers);
    }

    fn untime(&mut self, entry: &mut Entry) {
        if let Stage::Timed(at, number) = entry.stage {
            self.timers.remove(&(at, number));
        }
    }

    fn take_entry(&mut self, slot: &Arc<Slot>) -> Entry {
        let entry = self.entries.remove(slot).unwrap_or_default();
        let busy = usize::from(entry.is_busy());
        self.busy = self.busy.saturating_sub(busy);
        if slot.lane() == Lane::Events {
            self.busy_events = self.busy_events.saturating_sub(busy);
        }
        entry
    }

    fn put_entry(&mut self, slot: Arc<Slot>, entry: Entry) {
        let busy = usize::from(entry.is_busy());
        self.busy = self.busy.saturating_add(busy);
        if slot.lane() == Lane::Events {
            self.busy_events = self.busy_events.saturating_add(busy);
        }
        if entry.stage != Stage::New {
            self.entries.insert(slot, entry);
        }
    }
}

impl Entry {
    const fn is_busy(&self) -> bool {
        self.waiting.is_some() || self.is_outdated || matches!(self.stage, Stage::Busy(_))
    }

    /// The write that is due, unless its content was written already when it was decided. One that was decided before our
    /// own latest write was seen builds on that.
    fn begin(&mut self) -> Option<Box<Write>> {
        let mut write = self.waiting.take()?;
        let Some(made) = &self.made else { return Some(write) };
        if !write.is_older_than(&made.identity, self.is_waiting_older) {
            return Some(write);
        }
        if write.content() == made.content {
            return None;
        }
        write.rebase(&made.identity);
        Some(write)
    }
}

#[cfg(test)]
#[path = "backlog_tests.rs"]
mod tests;
