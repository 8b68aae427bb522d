//! One node: a membership, a speaker and a responder, put together as the daemon does it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use metallb_arp::responder::{self, InterfaceIndex, Responder, Scope};
use metallb_arp::wire::MacAddr;
use metallb_core::announce::Change;
use metallb_core::facts::Interface;
use metallb_core::keys::InterfaceName;
use metallb_core::membership::{self, Epoch, InterfaceFacts, Membership, Timing, View};
use metallb_core::speaker::{Claim, Departure, Output, QUIET, Report, Speaker};

use crate::faults::Fault;
use crate::random::Random;
use crate::truth::{Truth, name, options};

pub(crate) const INTERFACE: InterfaceIndex = InterfaceIndex(2);
const INTERFACE_NAME: &str = "eth0";

pub(crate) fn mac(index: usize) -> MacAddr {
    let [high, low] = u16::try_from(index).unwrap().to_be_bytes();
    MacAddr::new([2, 0, 0, 0, high, low])
}

/// Something that a node did and that somebody watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Announced(IpAddr),
    Withdrew(IpAddr),
    Defended(IpAddr),
    /// Against a machine with this hardware address, without being told to.
    DefendedAgainst(IpAddr, MacAddr),
    Reported(Report),
    /// Its cautious start is over.
    TookPart,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Announced(address) => write!(f, "announces {address}"),
            Self::Withdrew(address) => write!(f, "withdraws {address}"),
            Self::Defended(address) => write!(f, "defends {address}"),
            Self::DefendedAgainst(address, mac) => write!(f, "defends {address} against {mac}"),
            Self::Reported(Report::Members { members, .. }) => {
                write!(f, "counts {:?}", members.iter().map(crate::truth::index_of).collect::<Vec<_>>())
            }
            Self::Reported(report) => write!(f, "says: {report}"),
            Self::TookPart => write!(f, "takes part"),
        }
    }
}

/// A running process.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Process {
    pub(crate) membership: Membership,
    pub(crate) responder: Responder,
    pub(crate) speaker: Speaker,
    /// What the membership's task shows; newer replaces older.
    heard: View,
    heard_changed: bool,
    /// What has arrived of the API server, and was not looked at yet.
    delivered: Option<Arc<Truth>>,
    /// What the speaker knows of it.
    known: Option<Arc<Truth>>,
    events: VecDeque<responder::Event>,
    /// When the owner of the speaker looks next.
    pub(crate) owner_at: Option<Instant>,
    /// How long the owner may take to look, in microseconds.
    pub(crate) lag: u64,
    /// What it answers for.
    pub(crate) answers: BTreeSet<IpAddr>,
    /// When it last heard a speaker that it knows claim an address.
    pub(crate) claims: BTreeMap<(IpAddr, MacAddr), Instant>,
    /// The hardware addresses of speakers that it knows or knew, and since when.
    pub(crate) partners: BTreeMap<MacAddr, Instant>,
    pub(crate) leaving: bool,
    pub(crate) ended: bool,
    /// Its cautious start is over.
    pub(crate) decided: bool,
    fault: Option<Fault>,
}

impl Process {
    pub(crate) fn start(
        index: usize,
        now: Instant,
        (epoch, timing): (u64, Timing),
        random: &mut Random,
        fault: Option<Fault>,
    ) -> Self {
        let config = membership::Config::new(name(index), Epoch::new(epoch), random.next());
        let membership = Membership::new(now, config.with_timing(timing).with_confirmation()).unwrap();
        let mut responder = Responder::new(responder::Options::new(random.next()));
        let interface = responder::Interface {
            index: INTERFACE,
            name: INTERFACE_NAME.into(),
            mac: mac(index),
            link_local: None,
            subnets: BTreeSet::new(),
        };
        responder.upsert_interface(now, interface);
        let mut speaker = Speaker::new(name(index), options());
        let subnets = [IpNetwork::new([192, 0, 2, 0].into(), 24).unwrap()].into();
        let carries = Interface { ipv4_only: true, subnets };
        let facts = InterfaceFacts { mac: Some(mac(index).octets()), interface: carries };
        speaker.set_interfaces(BTreeMap::from([(InterfaceName::new(INTERFACE_NAME), facts)]));
        Self {
            heard: View::new(&membership),
            membership,
            responder,
            speaker,
            heard_changed: true,
            delivered: None,
            known: None,
            events: VecDeque::new(),
            owner_at: Some(now),
            lag: LAG,
            answers: BTreeSet::new(),
            claims: BTreeMap::new(),
            partners: BTreeMap::new(),
            leaving: false,
            ended: false,
            decided: false,
            fault,
        }
    }

    /// Takes out what the machines have for the owner, and has it look.
    pub(crate) fn collect(&mut self, now: Instant, random: &mut Random) {
        if self.heard.update(&mut self.membership) {
            self.heard_changed = true;
        }
        while let Some(event) = self.responder.poll_event() {
            self.events.push_back(event);
        }
        while self.responder.poll_effect().is_some() {}
        if self.heard_changed || !self.events.is_empty() || self.delivered.is_some() {
            let look = now + random.micros(LAG / 20, self.lag);
            self.owner_at.get_or_insert(look);
        }
    }

    /// When something is to be done.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let timeouts = [self.membership.next_timeout(), self.responder.next_timeout(), self.owner_due()];
        timeouts.into_iter().flatten().min()
    }

    /// When the owner does something: a slow one notices its own timeouts late as well.
    fn owner_due(&self) -> Option<Instant> {
        let busy = self.owner_at.filter(|_| self.lag > LAG);
        let timeout = self.speaker.next_timeout().map(|at| busy.map_or(at, |busy| busy.max(at)));
        timeout.into_iter().chain(self.owner_at).min()
    }

    /// Does what time asks for.
    pub(crate) fn wake(&mut self, now: Instant) -> Vec<Deed> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.membership.next_timeout()) {
            self.membership.handle_timeout(now);
        }
        if is_due(self.responder.next_timeout()) {
            self.responder.handle_timeout(now);
        }
        if is_due(self.owner_due()) { self.look(now, is_due(self.owner_at)) } else { Vec::new() }
    }

    /// What the owner does in one turn.
    fn look(&mut self, now: Instant, everything: bool) -> Vec<Deed> {
        let mut deeds = Vec::new();
        if everything {
            self.owner_at = None;
            self.take(now, &mut deeds);
        }
        self.speaker.handle_timeout(now);
        while let Some(output) = self.speaker.poll_output() {
            self.perform(now, output, &mut deeds);
        }
        deeds
    }

    fn take(&mut self, now: Instant, deeds: &mut Vec<Deed>) {
        while let Some(event) = self.events.pop_front() {
            match event {
                responder::Event::Claimed { address, mac, .. } => {
                    self.claims.insert((address, mac), now);
                    if self.fault == Some(Fault::DefendAtOnce) {
                        self.responder.defend(now, address);
                        deeds.push(Deed::Defended(address));
                    }
                    let interface = InterfaceName::new(INTERFACE_NAME);
                    self.speaker.handle_claim(now, &Claim { address, interface, mac: mac.octets() });
                }
                responder::Event::Conflict { address, mac, .. } => {
                    deeds.push(Deed::DefendedAgainst(address, mac));
                    let interface = InterfaceName::new(INTERFACE_NAME);
                    self.speaker.handle_conflict(now, &Claim { address, interface, mac: mac.octets() });
                }
                other => panic!("{other:?}"),
            }
        }
        if let Some(delivered) = self.delivered.take() {
            delivered.apply(self.known.as_deref(), &mut self.speaker);
            self.speaker.complete_facts();
            self.known = Some(delivered);
        }
        if std::mem::take(&mut self.heard_changed) {
            let mut view = self.heard.clone();
            view.settled |= self.fault == Some(Fault::ClaimAtOnce);
            self.speaker.set_view(now, view);
        }
        self.speaker.evaluate(now);
    }

    fn perform(&mut self, now: Instant, output: Output, deeds: &mut Vec<Deed>) {
        match output {
            Output::Change(Change::L2 { address, state: Some(_) }) => {
                self.responder.announce(now, address, Scope::All).unwrap();
                if self.answers.insert(address) {
                    deeds.push(Deed::Announced(address));
                }
            }
            Output::Change(Change::L2 { address, state: None }) => self.withdraw(now, address, deeds),
            Output::Partners(macs) => {
                let macs: BTreeSet<MacAddr> = macs.into_iter().map(MacAddr::new).collect();
                for mac in &macs {
                    self.partners.entry(*mac).or_insert(now);
                }
                if self.fault != Some(Fault::ForgetPartners) {
                    self.responder.set_partners(macs);
                }
            }
            Output::Defend(address) => {
                self.responder.defend(now, address);
                deeds.push(Deed::Defended(address));
            }
            Output::AnnounceAgain(address) => self.responder.announce_again(now, address),
            Output::Reannounce if self.fault != Some(Fault::KeepQuietAfterReunion) => {
                self.responder.reannounce(now, INTERFACE);
            }
            Output::Metadata(metadata) => self.membership.set_metadata(now, metadata).unwrap(),
            Output::Report(report) => deeds.push(Deed::Reported(report)),
            Output::Leave => {
                self.leaving = true;
                self.membership.leave(now);
                if self.fault == Some(Fault::LeaveAtOnce) {
                    for address in self.answers.clone() {
                        self.withdraw(now, address, deeds);
                    }
                }
            }
            Output::AskDeparture => self.speaker.set_departure(now, Departure::NodeStays),
            Output::Silence => {
                for address in self.answers.clone() {
                    self.withdraw(now, address, deeds);
                }
            }
            Output::Close(_) => self.ended = true,
            Output::Decided => {
                self.decided = true;
                deeds.push(Deed::TookPart);
                self.membership.take_part(now);
            }
            Output::Change(_) | Output::Started | Output::Gone(_) | Output::Reannounce => {}
        }
    }

    fn withdraw(&mut self, now: Instant, address: IpAddr, deeds: &mut Vec<Deed>) {
        self.responder.withdraw(now, address);
        if self.answers.remove(&address) {
            deeds.push(Deed::Withdrew(address));
        }
    }

    /// Something arrives from the API server; what is older than what is known does not count.
    pub(crate) fn deliver(&mut self, truth: Arc<Truth>) {
        let is_older = |known: &Arc<Truth>| truth.version < known.version;
        if !self.delivered.as_ref().or(self.known.as_ref()).is_some_and(is_older) {
            self.delivered = Some(truth);
        }
    }

    /// What it knows of the API server's objects, or will when it looks.
    pub(crate) fn facts(&self) -> Option<&Arc<Truth>> {
        self.delivered.as_ref().or(self.known.as_ref())
    }

    /// Whether it knew a speaker by its hardware address when it had to decide about a claim of it.
    pub(crate) fn knew(&self, now: Instant, mac: MacAddr) -> bool {
        let before =
            |since: &Instant| now.saturating_duration_since(*since) > Duration::from_micros(2 * self.lag);
        self.partners.get(&mac).is_some_and(before)
    }

    /// Whether it has heard a speaker that it knows claim an address, a short while ago.
    pub(crate) fn heard_claim(&self, now: Instant, address: IpAddr, mac: MacAddr) -> bool {
        self.claims.get(&(address, mac)).is_some_and(|at| now.saturating_duration_since(*at) < QUIET)
    }

    /// Leaves, as after SIGTERM.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.speaker.stop(now);
        self.owner_at = Some(now);
    }

    /// Whether the process may end: the last farewell is said.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.membership.next_timeout().is_none()
    }
}

/// How long an owner with nothing else to do takes to look, in microseconds.
pub(crate) const LAG: u64 = 2_000;
