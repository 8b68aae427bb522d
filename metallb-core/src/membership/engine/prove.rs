//! Whom to believe: only who shows that it hears this run, and only for as long as it goes on.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::keys::NodeName;

use super::super::peer::{PeerState, Run};
use super::super::rejected::Rejected;
use super::super::token::Token;
use super::super::wire::{Datagram, Header};
use super::{Membership, Queued, later};

/// How a datagram arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The address it came from.
    pub from: IpAddr,
    /// This node's clock: the time since the Unix epoch.
    pub clock: Duration,
}

impl Arrival {
    /// A datagram from `from`, at `clock` since the Unix epoch.
    #[must_use]
    pub const fn new(from: IpAddr, clock: Duration) -> Self {
        Self { from, clock }
    }
}

impl Membership {
    /// The sender of a datagram with this header, when the datagram is worth opening: [`Membership::handle_datagram`]
    /// would drop it otherwise.
    ///
    /// # Errors
    ///
    /// [`Rejected`] says why it would be dropped.
    pub fn admit(&self, arrival: Arrival, header: &Header<'_>) -> Result<NodeName, Rejected> {
        if header.name == self.this.as_str() {
            return Err(Rejected::OwnName);
        }
        let Some((name, state)) = self.peers.get_key_value(header.name) else {
            return Err(Rejected::UnknownMember { name: NodeName::new(header.name) });
        };
        let from = arrival.from.to_canonical();
        if !state.peer.sources.contains(&from) {
            return Err(Rejected::Source { member: name.clone(), from });
        }
        if header.epoch.is_ahead_of(arrival.clock) {
            return Err(Rejected::EpochAhead { member: name.clone(), epoch: header.epoch });
        }
        Ok(name.clone())
    }

    /// Whether what a datagram says counts. One that does not is at most an introduction: its sender is told what to
    /// say to be believed.
    pub(super) fn prove(&mut self, name: &NodeName, datagram: &Datagram<'_>) -> Result<bool, Rejected> {
        let result = self.judge_proof(name, datagram);
        if !matches!(result, Ok(true)) {
            self.note_contest(name);
            self.note_introduction(name, datagram);
        }
        result
    }

    fn judge_proof(&mut self, name: &NodeName, datagram: &Datagram<'_>) -> Result<bool, Rejected> {
        let Some(state) = self.peers.get_mut(name.as_str()) else { return Ok(false) };
        if datagram.to == Token::NONE {
            return Ok(false);
        }
        let unproven = || Rejected::Unproven { member: name.clone() };
        if datagram.to.epoch != self.epoch {
            return Err(unproven());
        }
        if let Some(run) = state.run.as_ref().filter(|run| run.epoch == datagram.epoch && run.is_believed()) {
            if datagram.sequence > run.sequence {
                return Ok(true);
            }
            return Err(Rejected::StaleSequence { member: name.clone(), sequence: datagram.sequence });
        }
        if !state.challenge.accepts(datagram.to.challenge, self.now) {
            return Err(unproven());
        }
        let (now, timing, interval) = (self.now, self.timing, self.interval);
        if state.run.as_ref().is_some_and(|run| !run.gives_way(datagram.epoch, now, timing, interval)) {
            return Err(Rejected::StaleEpoch { member: name.clone(), epoch: datagram.epoch });
        }
        state.begin(datagram, now, interval.saturating_mul(timing.misses()));
        // What an earlier run said of us is forgotten.
        self.judge_self();
        self.greet(name, datagram.asks());
        Ok(true)
    }

    /// Somebody says something that is not believed, while the run that is believed has been silent for a detection
    /// time: perhaps somebody posed as that member. Whoever proves itself from now on is listened to.
    fn note_contest(&mut self, name: &NodeName) {
        let (now, detection) = (self.now, self.detection());
        let Some(state) = self.peers.get_mut(name.as_str()) else { return };
        if state.run.as_ref().is_some_and(|run| run.silence(now) >= detection) {
            state.retire(now, detection);
        }
    }

    /// Tells a run that is not believed what to say, unless the run at hand is alive and later.
    fn note_introduction(&mut self, name: &NodeName, datagram: &Datagram<'_>) {
        let token = datagram.asks();
        let (now, timing, interval, detection) = (self.now, self.timing, self.interval, self.detection());
        let Some(state) = self.peers.get_mut(name.as_str()) else { return };
        let alive = |run: &Run| {
            run.is_believed() && run.silence(now) < interval.saturating_mul(timing.recent().min(2))
        };
        if state.run.as_ref().is_some_and(|run| alive(run) && token.epoch <= run.epoch)
            || state.token() == token
        {
            return;
        }
        if state.candidates.note(token, !datagram.settled, now, detection) {
            self.greet(name, token);
        }
    }

    /// Answers at once, but not more often than a few times in an interval.
    fn greet(&mut self, name: &NodeName, token: Token) {
        let (now, pause) = (self.now, self.interval / ANSWERS_PER_INTERVAL);
        let Some(state) = self.peers.get_mut(name.as_str()) else { return };
        if self.leaving.is_some() || state.next_answer.is_some_and(|at| now < at) {
            return;
        }
        state.next_answer = Some(later(now, pause));
        self.sending.outbox.push_back(Queued { name: name.clone(), to: Some(token) });
    }
}

impl PeerState {
    /// Believes a run that has proved itself; nothing of an earlier one stays but its metadata.
    fn begin(&mut self, datagram: &Datagram<'_>, now: Instant, detection: Duration) {
        self.acknowledged = 0;
        self.outgoing = None;
        self.left_until = None;
        // Others have said of one that is heard here for the first time that it takes part.
        self.started_together = self.run.is_none() && self.vouched_until.is_some_and(|until| now < until);
        self.vouched_until = None;
        let mut run = Run::new(datagram, now);
        let goes_on = self.run.as_ref().is_some_and(|known| known.epoch == run.epoch);
        run.started_here =
            (self.candidates.proved(run.token(), now, detection) || run.started_here) && !goes_on;
        self.run = Some(run);
        self.challenge.stand(now);
    }
}

/// How many introductions of one peer are answered at once within an interval.
const ANSWERS_PER_INTERVAL: u32 = 4;
