//! The segment and everything on it, in virtual time.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metallb_core::keys::NodeName;
use metallb_core::membership::{Arrival, Epoch, Peer, Timing};

use crate::client::Client;
use crate::faults::Fault;
use crate::node::{INTERFACE, Process};
use crate::random::Random;
use crate::truth::{Truth, name};
use crate::watch::Watch;

/// A computer, and what keeps it from others.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) process: Option<Process>,
    /// Its clock, as far from the simulation's as it likes.
    offset: Duration,
    /// Hosts on different sides do not reach each other at all.
    pub(crate) side: u64,
    /// Hosts of different groups do not hear each other's heartbeats.
    pub(crate) group: u64,
    /// It does not reach the API server.
    pub(crate) cut_off: bool,
    /// Its process does nothing, neither answer nor send.
    pub(crate) frozen: bool,
    wake: Option<Duration>,
}

/// Something on its way.
enum Item {
    Datagram { from: usize, octets: Vec<u8> },
    Frame { octets: Arc<Vec<u8>> },
    Facts(Arc<Truth>),
}

struct Flight {
    at: Duration,
    order: u64,
    /// A host, or the client.
    to: Option<usize>,
    item: Item,
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Flight {}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest is the greatest.
impl Ord for Flight {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

pub(crate) struct Segment {
    pub(crate) now: Duration,
    pub(crate) random: Random,
    pub(crate) hosts: Vec<Host>,
    pub(crate) client: Client,
    /// Everything that the API server knows.
    pub(crate) truth: Arc<Truth>,
    /// Lost frames and datagrams in a million.
    pub(crate) loss: u64,
    pub(crate) watch: Watch,
    pub(crate) timing: Timing,
    fault: Option<Fault>,
    flights: BinaryHeap<Flight>,
    wakes: BTreeSet<(Duration, usize)>,
    order: u64,
    epochs: u64,
    next_question: Duration,
    base: Instant,
}

impl Segment {
    pub(crate) fn new(truth: Truth, seed: u64, fault: Option<Fault>) -> Self {
        let mut random = Random(seed);
        let host = |_| Host { offset: Duration::from_secs(random.below(1_000_000)), ..Host::default() };
        let hosts = (0..truth.size).map(host).collect();
        Self {
            now: Duration::ZERO,
            random,
            hosts,
            client: Client::default(),
            truth: Arc::new(truth),
            loss: 0,
            watch: Watch::default(),
            timing: Timing::LAN,
            fault,
            flights: BinaryHeap::new(),
            wakes: BTreeSet::new(),
            order: 0,
            epochs: 1,
            next_question: Duration::ZERO,
            base: base(),
        }
    }

    pub(crate) fn clock(&self, host: usize) -> Instant {
        self.base + self.hosts[host].offset + self.now
    }

    /// The hosts with a process that takes part.
    pub(crate) fn running(&self) -> BTreeSet<usize> {
        let runs = |host: &&usize| {
            let host = &self.hosts[**host];
            !host.frozen && host.process.as_ref().is_some_and(|process| !process.leaving)
        };
        let all: Vec<usize> = (0..self.hosts.len()).collect();
        all.iter().filter(runs).copied().collect()
    }

    /// Whether heartbeats pass between two hosts.
    pub(crate) fn reach(&self, one: usize, other: usize) -> bool {
        let (one, other) = (&self.hosts[one], &self.hosts[other]);
        one.side == other.side && one.group == other.group
    }

    /// Whether the others are to count this host: its cautious start is over.
    pub(crate) fn is_established(&self, index: usize) -> bool {
        self.hosts[index]
            .process
            .as_ref()
            .is_some_and(|process| process.decided && process.membership.is_settled())
    }

    /// The run of a host's process that is to go on.
    pub(crate) fn run(&self, index: usize) -> Option<Epoch> {
        let process = self.hosts[index].process.as_ref().filter(|process| !process.leaving)?;
        Some(process.membership.epoch())
    }

    /// The hosts that answer for an address.
    pub(crate) fn answering(&self, address: IpAddr) -> BTreeSet<usize> {
        let hosts = self.hosts.iter().enumerate().filter(|(_, host)| !host.frozen);
        let answers =
            |host: &Host| host.process.as_ref().is_some_and(|process| process.answers.contains(&address));
        hosts.filter(|(_, host)| answers(host)).map(|(index, _)| index).collect()
    }

    /// Starts a speaker; the others are known to it, and whether they run.
    pub(crate) fn start(&mut self, index: usize) {
        let epoch = self.epochs;
        self.epochs += 1;
        let now = self.clock(index);
        let mut process = Process::start(index, now, (epoch, self.timing), &mut self.random, self.fault);
        let running = self.running();
        let others = (0..self.hosts.len()).filter(|other| *other != index);
        let peers: BTreeMap<NodeName, Peer> =
            others.map(|other| (name(other), Peer::new(address(other), running.contains(&other)))).collect();
        process.membership.set_peers(now, peers);
        self.hosts[index].frozen = false;
        self.hosts[index].process = Some(process);
        if !self.hosts[index].cut_off {
            self.send_facts(index);
        }
        self.after(index);
    }

    pub(crate) fn kill(&mut self, index: usize) {
        self.hosts[index].process = None;
        self.after(index);
    }

    pub(crate) fn stop(&mut self, index: usize) {
        let now = self.clock(index);
        self.hosts[index].process.as_mut().unwrap().stop(now);
        self.wake(index);
    }

    pub(crate) fn set_frozen(&mut self, index: usize, frozen: bool) {
        self.hosts[index].frozen = frozen;
        if !frozen && !self.hosts[index].cut_off {
            // What waited in its connection.
            self.send_facts(index);
        }
        self.after(index);
    }

    /// Everybody who reaches the API server learns what it says now.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Truth)) {
        let truth = Arc::make_mut(&mut self.truth);
        truth.version += 1;
        change(truth);
        for index in 0..self.hosts.len() {
            if !self.hosts[index].cut_off {
                self.send_facts(index);
            }
        }
    }

    pub(crate) fn set_cut_off(&mut self, index: usize, cut_off: bool) {
        self.hosts[index].cut_off = cut_off;
        if !cut_off {
            self.send_facts(index);
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let flight = self.flights.peek().map(|flight| flight.at);
            let wake = self.wakes.first().map(|(at, _)| *at);
            let sample = self.watch.next_sample;
            let Some(next) = [flight, wake, Some(sample)].into_iter().flatten().min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            if sample <= self.now {
                self.sample();
            } else if flight == Some(next) {
                let flight = self.flights.pop().unwrap();
                self.arrive(flight);
            } else {
                let (_, index) = self.wakes.pop_first().unwrap();
                self.hosts[index].wake = None;
                self.wake(index);
            }
        }
        self.now = end;
    }

    /// The client forgets the addresses that nobody on its side answers for: it has asked in vain. No speaker can know what
    /// it remembers of one that is gone.
    pub(crate) fn forget_unanswered(&mut self) {
        let mut cache = std::mem::take(&mut self.client.cache);
        cache.retain(|address, _| self.answering(*address).iter().any(|host| self.hosts[*host].side == 0));
        self.client.cache = cache;
    }

    fn sample(&mut self) {
        let mut watch = std::mem::take(&mut self.watch);
        watch.sample(self);
        self.watch = watch;
        if self.next_question <= self.now {
            self.next_question = self.now + self.random.micros(500_000, 3_000_000);
            let addresses: Vec<IpAddr> = self.truth.addresses().collect();
            if !addresses.is_empty() {
                let address = addresses[self.random.index(addresses.len())];
                self.broadcast(None, Client::ask(address));
            }
        }
    }

    fn arrive(&mut self, flight: Flight) {
        let Some(to) = flight.to else {
            if let Item::Frame { octets } = flight.item {
                self.client.receive(&octets);
            }
            return;
        };
        let now = self.clock(to);
        let clock = CLOCK + self.now;
        let host = &mut self.hosts[to];
        let Some(process) = host.process.as_mut().filter(|_| !host.frozen) else { return };
        match flight.item {
            Item::Datagram { from, octets } => {
                let arrival = Arrival::new(address(from).ip(), clock);
                // What is refused is counted by the machine; whom that may be does not matter here.
                drop(process.membership.handle_datagram(now, arrival, &octets));
            }
            Item::Frame { octets } => {
                let _: metallb_arp::responder::Outcome =
                    process.responder.handle_frame(now, INTERFACE, &octets);
            }
            Item::Facts(truth) if !host.cut_off => process.deliver(truth),
            Item::Facts(_) => {}
        }
        self.after(to);
    }

    fn wake(&mut self, index: usize) {
        let now = self.clock(index);
        let host = &mut self.hosts[index];
        let Some(process) = host.process.as_mut().filter(|_| !host.frozen) else { return };
        let deeds = process.wake(now);
        let over = process.is_over();
        let mut watch = std::mem::take(&mut self.watch);
        for deed in deeds {
            watch.note(self, index, &deed);
        }
        self.watch = watch;
        self.after(index);
        if over {
            self.kill(index);
        }
    }

    /// Sends what a host has to send, and notes when it does something next.
    fn after(&mut self, index: usize) {
        let now = self.clock(index);
        let frozen = self.hosts[index].frozen;
        let mut datagrams = Vec::new();
        let mut frames = Vec::new();
        let mut wake = None;
        if let Some(process) = self.hosts[index].process.as_mut().filter(|_| !frozen) {
            let mut octets = Vec::new();
            while let Some(to) = process.membership.poll_transmit(&mut octets) {
                datagrams.push((usize::from(to.address.port()), std::mem::take(&mut octets)));
            }
            while process.responder.poll_transmit(&mut octets).is_some() {
                frames.push(std::mem::take(&mut octets));
            }
            process.collect(now, &mut self.random);
            wake = process.next_timeout().map(|at| self.now + at.saturating_duration_since(now));
        }
        for (to, octets) in datagrams {
            self.send(index, to, octets);
        }
        for octets in frames {
            self.broadcast(Some(index), octets);
        }
        let before = std::mem::replace(&mut self.hosts[index].wake, wake);
        if before != wake {
            self.wakes.extend(wake.map(|at| (at, index)));
            if let Some(before) = before {
                self.wakes.remove(&(before, index));
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, octets: Vec<u8>) {
        if self.reach(from, to) && !self.random.chance(self.loss) {
            let delay = self.random.micros(100, 400);
            self.fly(delay, Some(to), Item::Datagram { from, octets });
        }
    }

    /// Sends a frame to everybody on the segment; who it is not for drops it.
    fn broadcast(&mut self, from: Option<usize>, octets: Vec<u8>) {
        let octets = Arc::new(octets);
        // The client is on the first side.
        let side = |host: Option<usize>| host.map_or(0, |host| self.hosts[host].side);
        let others: Vec<Option<usize>> = (0..self.hosts.len())
            .map(Some)
            .chain([None])
            .filter(|to| *to != from && side(*to) == side(from))
            .collect();
        for to in others {
            if !self.random.chance(self.loss) {
                let delay = self.random.micros(20, 300);
                self.fly(delay, to, Item::Frame { octets: Arc::clone(&octets) });
            }
        }
    }

    fn send_facts(&mut self, to: usize) {
        let delay = self.random.micros(1_000, 50_000);
        let truth = Arc::clone(&self.truth);
        self.fly(delay, Some(to), Item::Facts(truth));
    }

    fn fly(&mut self, delay: Duration, to: Option<usize>, item: Item) {
        self.order += 1;
        self.flights.push(Flight { at: self.now + delay, order: self.order, to, item });
    }
}

/// Where a host's heartbeats come from and go to; the port says which host it is.
fn address(index: usize) -> SocketAddr {
    let port = u16::try_from(index).unwrap();
    let [high, low] = port.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], port))
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
pub(crate) fn base() -> Instant {
    Instant::now()
}

/// What the clocks of all hosts say at the start.
const CLOCK: Duration = Duration::from_secs(1_800_000_000);
