//! The state machine.

mod judge;
mod prove;
mod receive;
mod reunion;
mod send;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::keys::NodeName;

use super::config::{Config, ConfigError, Epoch, Timing};
use super::metadata::{Metadata, MetadataError, version_of};
use super::peer::{Peer, PeerState, PeerView, Status};
pub use super::rejected::{DropReason, Rejected, Stats};
use super::roster::{Bits, Roster, Rosters};
use super::token::Token;
use super::wire::MAX_NAME_LEN;
pub use prove::Arrival;

/// One member's view of who lives. See the [module](super) for how to drive it.
#[derive(Debug)]
pub struct Membership {
    this: NodeName,
    epoch: Epoch,
    timing: Timing,
    interval: Duration,
    now: Instant,
    jitter: Jitter,
    peers: BTreeMap<NodeName, PeerState>,
    rosters: Rosters,
    members: BTreeSet<NodeName>,
    /// Members that are not heard directly; others' words matter for them only.
    unheard: BTreeSet<NodeName>,
    metadata: Arc<Metadata>,
    metadata_octets: Arc<[u8]>,
    metadata_version: u64,
    sequence: u64,
    sending: Sending,
    settling: Settling,
    leaving: Option<u32>,
    /// No peer's status changes by the passing of time before this.
    next_check: Option<Instant>,
    /// When all others will have dropped this node, going by what they say.
    dropped_at: Option<Instant>,
    pending: Pending,
    stats: Stats,
}

/// Which datagrams are due.
#[derive(Debug)]
struct Sending {
    /// All peers, in the order in which they are sent to.
    order: Vec<NodeName>,
    cursor: usize,
    next: Instant,
    outbox: VecDeque<Queued>,
    /// Whom we hear, as told in the datagrams of this batch.
    bits: Option<Bits>,
}

/// A datagram to be written.
#[derive(Clone, Debug)]
struct Queued {
    name: NodeName,
    /// The run it is for; `None` for the one that is believed.
    to: Option<Token>,
}

/// The cautious start.
#[derive(Debug)]
struct Settling {
    settled: bool,
    /// The others are told to count this node.
    takes_part: bool,
    /// They are told when the user says so.
    confirms: bool,
    /// What is counted from the first list of peers; before there is one, the start does not end.
    by_peers: Option<SettlingByPeers>,
}

#[derive(Clone, Copy, Debug)]
struct SettlingByPeers {
    /// Until when peers that are not ready are waited for: they may be starting, too.
    soon: Instant,
    /// Latest end.
    last: Instant,
}

#[derive(Debug, Default)]
struct Pending {
    metadata: BTreeSet<NodeName>,
    members: bool,
    reunited: bool,
    settled: bool,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// [`Membership::members`] has changed. Several changes between two polls are one event.
    MembersChanged,
    /// [`Membership::metadata`] of this member has changed; there is none any more of one that is no longer a peer.
    MetadataChanged(NodeName),
    /// This node and others have lived without each other for a while (a partition, a process that was stopped)
    /// and are together again. There may have been two owners of an address, and others may remember the wrong
    /// one: announce again what this node announces.
    Reunited,
    /// The start is over: from now on this node may claim what the election gives it. Comes once, after the
    /// events of everything heard until then.
    Settled,
}

/// Where a datagram goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transmit {
    /// The address of its receiver.
    pub address: SocketAddr,
    /// The receiver, for which it is sealed.
    pub receiver: NodeName,
}

impl Membership {
    /// A member that knows nobody yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NameLength`] when the node name does not fit a datagram.
    pub fn new(now: Instant, config: Config) -> Result<Self, ConfigError> {
        let Config { this, epoch, timing, seed, confirms } = config;
        let length = this.as_str().len();
        if length == 0 || length > MAX_NAME_LEN {
            return Err(ConfigError::NameLength { length });
        }
        Ok(Self {
            epoch,
            timing,
            interval: timing.interval(1),
            now,
            jitter: Jitter(seed),
            peers: BTreeMap::new(),
            rosters: Rosters::new(Roster::new(std::iter::once(this.clone()))),
            members: BTreeSet::from([this.clone()]),
            unheard: BTreeSet::new(),
            metadata: Arc::default(),
            metadata_octets: Arc::default(),
            metadata_version: 0,
            sequence: 0,
            sending: Sending { order: Vec::new(), cursor: 0, next: now, outbox: VecDeque::new(), bits: None },
            settling: Settling { settled: false, takes_part: false, confirms, by_peers: None },
            leaving: None,
            next_check: None,
            dropped_at: None,
            pending: Pending::default(),
            stats: Stats::default(),
            this,
        })
    }

    /// Replaces the list of all other members (this node in it is left out, and who cannot be sent to, because its
    /// address is one of a group). Who is no longer in it is gone at once.
    pub fn set_peers(&mut self, now: Instant, peers: BTreeMap<NodeName, Peer>) {
        self.advance(now);
        let mut peers = peers;
        peers.retain(|name, peer| *name != self.this && peer.is_reachable());
        let detection = self.timing.detection(peers.len().saturating_add(1));
        let (now, known, pending) = (self.now, &mut self.peers, &mut self.pending);
        known.retain(|name, state| {
            let stays = peers.contains_key(name);
            if !stays && state.metadata.is_some() {
                pending.metadata.insert(name.clone());
            }
            stays
        });
        for (name, peer) in peers {
            if let Some(state) = known.get_mut(&name) {
                state.peer = peer;
            } else {
                self.sending.outbox.push_back(Queued { name: name.clone(), to: None });
                known.insert(name, PeerState::new(peer, now, detection));
            }
        }
        self.roster_changed();
        let from_now = |time| later(self.now, time);
        self.settling.by_peers.get_or_insert_with(|| SettlingByPeers {
            soon: from_now(detection / TOGETHER),
            last: from_now(detection.saturating_mul(2).min(SETTLE_AT_MOST)),
        });
        self.judge_all();
        self.settle();
    }

    /// Replaces what the others are told about this node. Equal metadata changes nothing.
    ///
    /// # Errors
    ///
    /// [`MetadataError`] when it does not fit; what was told before stays.
    pub fn set_metadata(&mut self, now: Instant, metadata: Metadata) -> Result<(), MetadataError> {
        self.advance(now);
        if self.metadata_version > 0 && *self.metadata == metadata {
            return Ok(());
        }
        self.metadata_octets = metadata.encode()?.into();
        self.metadata_version = version_of(&self.metadata_octets);
        self.metadata = Arc::new(metadata);
        self.pending.metadata.insert(self.this.clone());
        Ok(())
    }

    /// Takes a datagram (opened, if it was sealed). `arrival` says where it came from and what time it is.
    ///
    /// # Errors
    ///
    /// [`Rejected`] says why a datagram was dropped; it is counted and not believed.
    pub fn handle_datagram(&mut self, now: Instant, arrival: Arrival, octets: &[u8]) -> Result<(), Rejected> {
        self.advance(now);
        let result = self.receive(arrival, octets);
        self.stats.count(&result);
        result
    }

    /// Does what time asks for: heartbeats, silence, the end of the start. Calls before
    /// [`Membership::next_timeout`] do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        if self.next_check.is_some_and(|at| at <= self.now) {
            self.judge_all();
        }
        if self.dropped_at.is_some_and(|at| at <= self.now) {
            self.judge_self();
        }
        self.settle();
        if self.sending.next <= self.now {
            self.send_batch();
        }
    }

    /// This node announces what it owns, now that its start is over: the others may count it. Only needed with
    /// [`Config::confirms`].
    pub fn take_part(&mut self, now: Instant) {
        self.advance(now);
        if self.settling.settled
            && self.leaving.is_none()
            && !std::mem::replace(&mut self.settling.takes_part, true)
        {
            self.sending.next = self.now;
        }
    }

    /// Tells everybody that this node goes. Keep calling [`Membership::poll_transmit`] and
    /// [`Membership::handle_timeout`] while [`Membership::next_timeout`] asks for it: the message is
    /// repeated twice, in case the first is lost. This node is no member from now on, for itself either.
    pub fn leave(&mut self, now: Instant) {
        self.advance(now);
        if self.leaving.is_some() {
            return;
        }
        self.leaving = Some(LEAVE_ROUNDS);
        if self.members.remove(&self.this) {
            self.pending.members = true;
        }
        self.sending.outbox.clear();
        self.send_batch();
    }

    /// Writes the next datagram into `out` (replacing its content) and says where it goes.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        while let Some(queued) = self.sending.outbox.pop_front() {
            out.clear();
            if let Some(address) = self.write(&queued, out) {
                self.stats.sent += 1;
                return Some(Transmit { address, receiver: queued.name });
            }
        }
        None
    }

    /// The next thing that has changed.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(name) = self.pending.metadata.pop_first() {
            return Some(Event::MetadataChanged(name));
        }
        if std::mem::take(&mut self.pending.members) {
            return Some(Event::MembersChanged);
        }
        if std::mem::take(&mut self.pending.reunited) {
            return Some(Event::Reunited);
        }
        std::mem::take(&mut self.pending.settled).then_some(Event::Settled)
    }

    /// When to call [`Membership::handle_timeout`] next; `None` after the last farewell.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let sending = (self.leaving != Some(0)).then_some(self.sending.next);
        let starting = !self.settling.settled && self.leaving.is_none();
        let settling = self.settling.next_deadline(self.now).filter(|_| starting);
        let check = self.next_check.filter(|_| self.leaving.is_none());
        let dropped = self.dropped_at.filter(|_| self.members.contains(&self.this));
        [sending, settling, check, dropped].into_iter().flatten().min()
    }

    /// Who lives. This node is one of them until it leaves, except while it hears all other members and all of
    /// them say that they do not hear it: they have dropped it, and it must not own what they own.
    #[must_use]
    pub const fn members(&self) -> &BTreeSet<NodeName> {
        &self.members
    }

    /// What a member last told about itself, also when it is down; for this node what was set. `None` when
    /// it has told nothing yet.
    #[must_use]
    pub fn metadata(&self, member: &NodeName) -> Option<&Metadata> {
        if *member == self.this {
            return (self.metadata_version > 0).then_some(&*self.metadata);
        }
        self.peers.get(member)?.metadata.as_deref()
    }

    /// Whether the start is over.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.settling.settled
    }

    /// The epoch of this run.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How long a member may be silent before it counts as down.
    #[must_use]
    pub fn detection(&self) -> Duration {
        self.interval.saturating_mul(self.timing.misses())
    }

    /// Everything known of the other members, by name.
    pub fn peers(&self) -> impl Iterator<Item = PeerView> + '_ {
        self.peers.iter().map(|(name, state)| state.view(name, self.metadata_version))
    }

    /// What was counted since the start.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }
}

impl Membership {
    /// Moves the clock. Time never goes backwards. When the caller comes much later than it was asked to,
    /// datagrams may be waiting unread: the silence then proves nothing and is taken back, but for one
    /// interval. Nobody is told that those are heard, nor is believed what they said, until they are heard again.
    fn advance(&mut self, now: Instant) {
        let now = now.max(self.now);
        let gap = now.saturating_duration_since(self.now);
        self.now = now;
        if gap <= self.interval.saturating_mul(2) || self.peers.is_empty() {
            return;
        }
        self.stats.stalls += 1;
        self.pending.reunited |= self.settling.settled && gap >= self.detection();
        let back = gap.saturating_sub(self.interval);
        for state in self.peers.values_mut() {
            if let Some(run) = &mut state.run {
                run.recall(back);
            }
            for at in [&mut state.vouched_until, &mut state.left_until].into_iter().flatten() {
                *at = later(*at, back);
            }
        }
        self.next_check = Some(now);
    }

    /// After a change of the list of peers: everything that is derived from it.
    fn roster_changed(&mut self) {
        let mut names: BTreeSet<NodeName> = self.peers.keys().cloned().collect();
        names.insert(self.this.clone());
        let before = self.members.len();
        self.members.retain(|name| names.contains(name));
        self.pending.members |= self.members.len() != before;
        self.unheard = self.peers.iter().filter(|(_, state)| !is_direct(state.status)).map(first).collect();
        self.interval = self.timing.interval(names.len());
        self.rosters.replace(Roster::new(names.into_iter()));
        self.renew_order();
    }
}

fn first((name, _): (&NodeName, &PeerState)) -> NodeName {
    name.clone()
}

const fn is_direct(status: Status) -> bool {
    matches!(status, Status::Starting | Status::Heard)
}

/// `at` moved by `by`; as it is when the clock cannot express that.
fn later(at: Instant, by: Duration) -> Instant {
    at.checked_add(by).unwrap_or(at)
}

/// Keeps members from sending in step: SplitMix64, good enough for spreading a timer.
#[derive(Clone, Copy, Debug)]
struct Jitter(u64);

impl Jitter {
    /// `duration` times a factor between 0.9 and 1.1.
    fn apply(&mut self, duration: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let percent = u32::try_from(mixed % 21).unwrap_or(10).saturating_add(90);
        duration.saturating_mul(percent) / 100
    }
}

/// Part of the detection time in which members that start together are expected to hear each other.
const TOGETHER: u32 = 4;
/// Longest cautious start, from the first list of peers on.
const SETTLE_AT_MOST: Duration = Duration::from_secs(3);
/// How often a farewell is sent.
const LEAVE_ROUNDS: u32 = 3;
