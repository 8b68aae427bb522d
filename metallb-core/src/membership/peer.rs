//! What is known of one other member.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::keys::NodeName;

use super::config::{Epoch, Timing};
use super::metadata::Metadata;
use super::roster::Bits;
use super::token::{Candidates, Challenge, Token};
use super::transfer::{Incoming, Outgoing};

/// Another member, as discovered: where to send, and whether it is known to be up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Where its heartbeats go.
    pub address: SocketAddr,
    /// From where its heartbeats may come.
    pub sources: BTreeSet<IpAddr>,
    /// Whether the discovery says that it is ready. A member that starts waits for those that are (for two detection
    /// times at most), and for the others only a quarter of the detection time: they may be starting with it.
    pub ready: bool,
}

impl Peer {
    /// A member at `address`, and at no other.
    #[must_use]
    pub fn new(address: SocketAddr, ready: bool) -> Self {
        Self { address, sources: BTreeSet::from([address.ip()]), ready }
    }

    /// The same member with further addresses from which its heartbeats may come.
    #[must_use]
    pub fn with_sources(mut self, sources: impl IntoIterator<Item = IpAddr>) -> Self {
        self.sources.extend(sources);
        self
    }

    /// Whether heartbeats can be sent there: to one node, not to a group or to everybody.
    pub(super) const fn is_reachable(&self) -> bool {
        let ip = self.address.ip();
        let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        !(ip.is_multicast() || ip.is_unspecified() || broadcast)
    }
}

/// Whether and why another member counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Never heard, by nobody that is heard here.
    Unknown,
    /// Heard, but it has just started and takes no part yet.
    Starting,
    /// Heard: a member.
    Heard,
    /// Not heard here, but by a member that is heard here: a member.
    Vouched,
    /// Silent for too long.
    Down,
    /// It said that it leaves.
    Left,
}

impl Status {
    /// Whether a node of this status takes part in elections.
    #[must_use]
    pub const fn is_member(self) -> bool {
        matches!(self, Self::Heard | Self::Vouched)
    }

    /// A stable word for metrics and status output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Starting => "starting",
            Self::Heard => "heard",
            Self::Vouched => "vouched",
            Self::Down => "down",
            Self::Left => "left",
        }
    }
}

/// A snapshot of what is known of one other member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerView {
    /// Its node.
    pub name: NodeName,
    /// Where its heartbeats go.
    pub address: SocketAddr,
    /// Whether and why it counts.
    pub status: Status,
    /// When its last datagram arrived.
    pub last_heard: Option<Instant>,
    /// The epoch of its last datagram.
    pub epoch: Option<Epoch>,
    /// Whether it holds our newest metadata.
    pub acknowledged: bool,
}

/// What is known of one other member.
#[derive(Debug)]
pub(super) struct PeerState {
    pub(super) peer: Peer,
    pub(super) status: Status,
    /// The last run heard of.
    pub(super) run: Option<Run>,
    /// Until when the word of others counts.
    pub(super) vouched_until: Option<Instant>,
    /// Until when the word of others does not count, because it said that it leaves.
    pub(super) left_until: Option<Instant>,
    /// It was starting when we settled: it counts as soon as it is heard, because we started together.
    pub(super) started_together: bool,
    pub(super) metadata: Option<Arc<Metadata>>,
    /// What it holds of our metadata.
    pub(super) acknowledged: u64,
    pub(super) outgoing: Option<Outgoing>,
    /// What it has to tell back before it is believed.
    pub(super) challenge: Challenge,
    /// Runs that want to be believed.
    pub(super) candidates: Candidates,
    /// Not before this is an introduction answered at once.
    pub(super) next_answer: Option<Instant>,
}

/// What one run of a member has told, since it was believed.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) epoch: Epoch,
    /// What it wants to be told back, in its last datagram.
    pub(super) challenge: u32,
    pub(super) standing: Standing,
    /// Its start was seen: it has not lived on somewhere else.
    pub(super) started_here: bool,
    pub(super) sequence: u64,
    pub(super) last_heard: Instant,
    /// Its last datagram is from before a moment in which this node stood still.
    pub(super) recalled: bool,
    pub(super) interval: Duration,
    pub(super) settled: bool,
    /// Version of its metadata held completely.
    pub(super) metadata_version: u64,
    pub(super) incoming: Option<Incoming>,
    pub(super) bits: Option<Bits>,
    /// What it says about not hearing us, until it hears us.
    pub(super) deafness: Option<Deafness>,
}

/// What a run says about not hearing us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deafness {
    /// Its first word of it.
    first: Instant,
    /// Since when it goes on saying so: what it said before a longer silence it may have taken back meanwhile.
    since: Instant,
    /// Its last word of it.
    last: Instant,
}

/// Whether what a run says counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It does.
    Believed,
    /// It has been silent for too long, and has to prove itself anew.
    Retired,
    /// It has said that it leaves; that it does not, it would have to prove anew.
    Left,
}

impl PeerState {
    pub(super) fn new(peer: Peer, now: Instant, detection: Duration) -> Self {
        Self {
            peer,
            status: Status::Unknown,
            run: None,
            vouched_until: None,
            left_until: None,
            started_together: false,
            metadata: None,
            acknowledged: 0,
            outgoing: None,
            challenge: Challenge::new(now, detection),
            candidates: Candidates::default(),
            next_answer: None,
        }
    }

    /// What our datagrams name: the run that is, or was last, believed.
    pub(super) fn token(&self) -> Token {
        self.run.as_ref().map_or(Token::NONE, Run::token)
    }

    /// Stops believing the run at hand: it, or another one, has to prove itself anew.
    pub(super) fn retire(&mut self, now: Instant, detection: Duration) {
        let Some(run) = self.run.as_mut().filter(|run| run.is_believed()) else { return };
        run.standing = Standing::Retired;
        self.challenge.renew(now, detection);
    }

    /// When its silence will have lasted too long.
    pub(super) fn silent_at(&self, timing: Timing, own_interval: Duration) -> Option<Instant> {
        let run = self.run.as_ref().filter(|run| !run.has_left())?;
        let patience = run.patience(own_interval).saturating_mul(timing.misses());
        run.last_heard.checked_add(patience)
    }

    pub(super) fn is_heard(&self, now: Instant, timing: Timing, own_interval: Duration) -> bool {
        self.silent_at(timing, own_interval).is_some_and(|at| now < at)
    }

    /// Whether others may be told that it is heard: it was, a short while ago, and it takes part.
    pub(super) fn is_recent(&self, now: Instant, timing: Timing, own_interval: Duration) -> bool {
        self.status == Status::Heard
            && self.run.as_ref().filter(|run| run.settled && !run.recalled).is_some_and(|run| {
                let recent = run.patience(own_interval).saturating_mul(timing.recent());
                now.saturating_duration_since(run.last_heard) < recent
            })
    }

    /// Whether the run at hand has told its metadata.
    pub(super) fn has_told(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.metadata_version > 0)
    }

    /// The status that follows from what is known at `now`.
    pub(super) fn judge(&self, now: Instant, timing: Timing, own_interval: Duration) -> Status {
        if self.is_heard(now, timing, own_interval) {
            let takes_part = self.run.as_ref().is_some_and(|run| run.settled) || self.started_together;
            return if takes_part { Status::Heard } else { Status::Starting };
        }
        if self.left_until.is_some_and(|until| now < until) {
            return Status::Left;
        }
        if self.vouched_until.is_some_and(|until| now < until) {
            return Status::Vouched;
        }
        match &self.run {
            None => Status::Unknown,
            Some(run) if run.has_left() => Status::Left,
            Some(_) => Status::Down,
        }
    }

    /// When the status may change by the passing of time alone.
    pub(super) fn next_change(&self, timing: Timing, own_interval: Duration) -> Option<Instant> {
        match self.status {
            Status::Starting | Status::Heard => self.silent_at(timing, own_interval),
            Status::Vouched => self.vouched_until,
            Status::Left => self.left_until,
            Status::Unknown | Status::Down => None,
        }
    }

    pub(super) fn view(&self, name: &NodeName, metadata_version: u64) -> PeerView {
        PeerView {
            name: name.clone(),
            address: self.peer.address,
            status: self.status,
            last_heard: self.run.as_ref().map(|run| run.last_heard),
            epoch: self.run.as_ref().map(|run| run.epoch),
            acknowledged: self.acknowledged == metadata_version,
        }
    }
}

impl Run {
    pub(super) const fn token(&self) -> Token {
        Token { epoch: self.epoch, challenge: self.challenge }
    }

    pub(super) fn is_believed(&self) -> bool {
        self.standing == Standing::Believed
    }

    pub(super) fn has_left(&self) -> bool {
        self.standing == Standing::Left
    }

    /// How long it has been silent.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_heard)
    }

    /// Whether a run of `epoch` that proves itself replaces this one. A later run does at once. An earlier one, after a
    /// clock was set back or somebody lied, does when this one misses some intervals; the same one, and any after a
    /// farewell, when a whole detection time has passed.
    pub(super) fn gives_way(
        &self,
        epoch: Epoch,
        now: Instant,
        timing: Timing,
        own_interval: Duration,
    ) -> bool {
        let misses = if self.has_left() || epoch == self.epoch { timing.misses() } else { timing.recent() };
        epoch > self.epoch || self.silence(now) >= own_interval.saturating_mul(misses)
    }

    /// It says that it does not hear us.
    pub(super) fn note_deafness(&mut self, now: Instant, timing: Timing, own_interval: Duration) {
        let pause = self.patience(own_interval).saturating_mul(PAUSE);
        let lasts = self.drops_us_at(timing, own_interval).is_some();
        let deafness = self.deafness.get_or_insert(Deafness { first: now, since: now, last: now });
        if !lasts && now.saturating_duration_since(deafness.last) > pause {
            deafness.since = now;
        }
        deafness.last = now;
    }

    /// It says that it hears us; whether it may have dropped us before.
    pub(super) fn end_deafness(&mut self, now: Instant, timing: Timing, own_interval: Duration) -> bool {
        // Where words were lost it is taken to have said the same all the time.
        let Some(Deafness { first, .. }) = self.deafness.take() else { return false };
        self.drops_at(first, timing, own_interval).is_some_and(|at| at <= now)
    }

    /// When it has dropped us, going by what it goes on saying. Who said it once and fell silent may be gone itself: it did
    /// not hear us yet when we met.
    pub(super) fn drops_us_at(&self, timing: Timing, own_interval: Duration) -> Option<Instant> {
        let Deafness { since, last, .. } = self.deafness?;
        let at = self.drops_at(since, timing, own_interval)?;
        let patience = self.patience(own_interval).saturating_mul(2);
        (since < last && at.saturating_duration_since(last) <= patience).then_some(at)
    }

    /// When who says since then that it does not hear us drops us: it says so some intervals before.
    fn drops_at(&self, since: Instant, timing: Timing, own_interval: Duration) -> Option<Instant> {
        let rest = timing.misses().saturating_sub(timing.recent());
        since.checked_add(self.patience(own_interval).saturating_mul(rest))
    }

    /// Takes back a silence that proves nothing: this node stood still.
    pub(super) fn recall(&mut self, by: Duration) {
        self.recalled = true;
        let Self { last_heard, deafness, .. } = self;
        let deaf = deafness.iter_mut().flat_map(|deafness| {
            let Deafness { first, since, last } = deafness;
            [first, since, last]
        });
        for at in std::iter::once(last_heard).chain(deaf) {
            *at = at.checked_add(by).unwrap_or(*at);
        }
    }

    /// The longer of both members' intervals: a slower sender is given the time it needs, but no more than twice ours;
    /// more would be believed for long after its last datagram.
    pub(super) fn patience(&self, own_interval: Duration) -> Duration {
        self.interval.min(own_interval.saturating_mul(2)).max(own_interval)
    }
}

/// After more silent intervals than this, what somebody says of hearing us counts from now on.
const PAUSE: u32 = 3;
