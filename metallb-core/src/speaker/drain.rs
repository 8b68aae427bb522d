//! How a speaker leaves: others are told first and take over while this one still answers.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::announce::Change;

use super::machine::Speaker;
use super::output::Output;
use super::report::Report;

/// How long answers go on for the successors to take over.
pub const HANDOVER_LIMIT: Duration = Duration::from_secs(1);
/// How long the word about the node is waited for; it is taken to stay when none comes.
pub const DEPARTURE_LIMIT: Duration = Duration::from_secs(1);

/// What becomes of the node when its speaker leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are three")]
pub enum Departure {
    /// It stays, and goes on forwarding: this is a restart.
    NodeStays,
    /// It is cordoned or shuts down.
    NodeLeaves,
    /// Nobody knows. It is taken to stay: what is withdrawn for nothing is lost for certain.
    Unknown,
}

/// How BGP sessions are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Close {
    /// Peers that do graceful restart keep the routes for the next run.
    KeepRoutes,
    /// Peers are told that the routes are gone.
    Withdraw,
}

/// A speaker on its way out.
#[derive(Debug)]
pub(super) struct Drain {
    /// Addresses that nobody has taken over yet.
    left: BTreeSet<IpAddr>,
    /// Until when they are waited for.
    handover: Instant,
    /// Answering is over.
    silent: bool,
    /// Until when the word about the node is waited for, if it matters.
    asking: Option<Instant>,
    departure: Departure,
    closed: bool,
}

impl Speaker {
    /// Leaves. From now on no fact counts. Others are told at once ([`Output::Leave`]); addresses that will have another
    /// owner are answered for until that one claims them, for [`HANDOVER_LIMIT`] at most. [`Output::Close`] is the end.
    pub fn stop(&mut self, now: Instant) {
        let now = self.advance(now);
        if self.drain.is_some() {
            return;
        }
        if self.has_membership() {
            self.outputs.push_back(Output::Leave);
        }
        let keeps = self.config.peers().values().any(|peer| peer.graceful_restart);
        if keeps {
            self.outputs.push_back(Output::AskDeparture);
        }
        let later = |time| now.checked_add(time).unwrap_or(now);
        self.drain = Some(Drain {
            left: self.addresses_with_successor(),
            handover: later(HANDOVER_LIMIT),
            silent: false,
            asking: keeps.then(|| later(DEPARTURE_LIMIT)),
            departure: if keeps { Departure::Unknown } else { Departure::NodeLeaves },
            closed: false,
        });
        self.step_drain(now);
    }

    /// The answer to [`Output::AskDeparture`].
    pub fn set_departure(&mut self, now: Instant, departure: Departure) {
        let now = self.advance(now);
        if let Some(drain) = self.drain.as_mut().filter(|drain| drain.asking.is_some()) {
            drain.departure = departure;
            drain.asking = None;
            self.step_drain(now);
        }
    }

    /// Another speaker claims an address: it has taken it over. Its word is final: nothing is answered any more.
    pub(super) fn hand_over(&mut self, now: Instant, address: IpAddr) {
        let Some(drain) = self.drain.as_mut().filter(|drain| !drain.silent) else { return };
        if drain.left.remove(&address) {
            self.outputs.push_back(Output::Change(Change::L2 { address, state: None }));
            self.step_drain(now);
        }
    }

    /// Takes the next steps of the drain when it is time.
    pub(super) fn step_drain(&mut self, now: Instant) {
        let Some(drain) = &mut self.drain else { return };
        if !drain.silent && (drain.left.is_empty() || drain.handover <= now) {
            if !drain.left.is_empty() {
                let addresses = drain.left.len();
                self.outputs.push_back(Output::Report(Report::NoSuccessor { addresses }));
            }
            self.outputs.push_back(Output::Silence);
            drain.silent = true;
        }
        drain.asking.take_if(|until| *until <= now);
        if drain.silent && drain.asking.is_none() && !drain.closed {
            drain.closed = true;
            let close = match drain.departure {
                Departure::NodeStays | Departure::Unknown => Close::KeepRoutes,
                Departure::NodeLeaves => Close::Withdraw,
            };
            self.outputs.push_back(Output::Close(close));
        }
    }

    /// The addresses of this node for which the others will elect another owner.
    fn addresses_with_successor(&mut self) -> BTreeSet<IpAddr> {
        let own = self.engine.claims();
        let mut others = self.view.members.clone();
        others.remove(&self.this);
        self.engine.set_members(others);
        // What follows for this node is decided by the drain.
        drop(self.engine.evaluate());
        own.into_iter().filter(|address| self.engine.layer2_owner(*address).is_some()).collect()
    }
}

impl Drain {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let handover = (!self.silent).then_some(self.handover);
        handover.into_iter().chain(self.asking.filter(|_| self.silent)).min()
    }
}
