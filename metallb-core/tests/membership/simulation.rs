//! A network of members in virtual time: datagrams are lost, delayed and cut by a seeded generator.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use metallb_core::keys::NodeName;
use metallb_core::membership::{Arrival, Config, Epoch, Event, Membership, Peer, Timing};

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True with the given chance of a million.
    fn chance(&mut self, millionths: u64) -> bool {
        self.next() % 1_000_000 < millionths
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// How the network treats datagrams.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    /// Lost datagrams in a million.
    pub(crate) loss: u64,
    /// Delay of each datagram, from and to, in microseconds.
    pub(crate) delay: (u64, u64),
}

pub(crate) const LAN: Net = Net { loss: 0, delay: (100, 400) };

/// What a member did, with the time since the start of the simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Members(BTreeSet<usize>),
    Settled,
    Metadata(usize),
    Reunited,
}

/// Arrival, order of sending, sender, receiver, octets.
type InFlight = (Duration, u64, usize, usize, Vec<u8>);

/// A datagram that somebody on the path has written down.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) octets: Vec<u8>,
}

struct Member {
    machine: Membership,
    /// Its clock, as far from the simulation's as it likes.
    clock: Instant,
    running: bool,
}

pub(crate) struct Simulation {
    net: Net,
    timing: Timing,
    random: Random,
    members: Vec<Option<Member>>,
    now: Duration,
    queue: BinaryHeap<Reverse<InFlight>>,
    wake: BTreeSet<(Duration, usize)>,
    wake_of: Vec<Option<Duration>>,
    /// Memory of datagrams that have arrived.
    spare: Vec<Vec<u8>>,
    order: u64,
    /// Pairs between which nothing passes.
    cut: BTreeSet<(usize, usize)>,
    pub(crate) log: Vec<(Duration, usize, Seen)>,
    pub(crate) datagrams: u64,
    /// What was sent, also what did not arrive, while somebody writes it down.
    pub(crate) recorded: Option<Vec<Recorded>>,
    epochs: u64,
    base: Instant,
}

pub(crate) fn name(index: usize) -> NodeName {
    NodeName::new(format!("node-{index:04}"))
}

pub(crate) fn address(index: usize) -> SocketAddr {
    let port = u16::try_from(index).unwrap();
    let [high, low] = port.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], port))
}

/// What the clocks of all members say.
pub(crate) const CLOCK: Duration = Duration::from_secs(1_800_000_000);

impl Simulation {
    pub(crate) fn new(size: usize, net: Net, seed: u64) -> Self {
        Self {
            net,
            timing: Timing::LAN,
            random: Random(seed),
            members: (0..size).map(|_| None).collect(),
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            wake: BTreeSet::new(),
            wake_of: vec![None; size],
            spare: Vec::new(),
            order: 0,
            cut: BTreeSet::new(),
            log: Vec::new(),
            datagrams: 0,
            recorded: None,
            epochs: 1,
            base: base(),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// Starts a member that knows all others; those that run are ready.
    pub(crate) fn start(&mut self, index: usize) {
        let epoch = self.epochs;
        self.epochs += 1;
        self.start_with_epoch(index, epoch);
    }

    /// The same for one that takes part only when it says so.
    pub(crate) fn start_confirming(&mut self, index: usize) {
        let clock = self.base + Duration::from_secs(self.random.below(1_000_000));
        let config =
            Config::new(name(index), Epoch::new(self.epochs), self.random.next()).with_confirmation();
        self.epochs += 1;
        let machine = Membership::new(clock + self.now, config).unwrap();
        self.members[index] = Some(Member { machine, clock, running: true });
        self.after(index);
        self.discover(index);
    }

    pub(crate) fn start_with_epoch(&mut self, index: usize, epoch: u64) {
        self.create(index, epoch);
        self.discover(index);
    }

    /// Starts a member that knows nobody yet.
    pub(crate) fn create(&mut self, index: usize, epoch: u64) {
        // Clocks differ: only their differences may matter.
        let clock = self.base + Duration::from_secs(self.random.below(1_000_000));
        let config = Config::new(name(index), Epoch::new(epoch), self.random.next()).with_timing(self.timing);
        let machine = Membership::new(clock + self.now, config).unwrap();
        self.members[index] = Some(Member { machine, clock, running: true });
        self.after(index);
    }

    /// Tells a member of all others.
    pub(crate) fn discover(&mut self, index: usize) {
        let peers: BTreeMap<NodeName, Peer> = (0..self.members.len())
            .map(|other| (name(other), Peer::new(address(other), self.is_running(other))))
            .collect();
        self.with(index, |machine, now| machine.set_peers(now, peers));
    }

    pub(crate) fn kill(&mut self, index: usize) {
        self.members[index].as_mut().unwrap().running = false;
        if let Some(at) = self.wake_of[index].take() {
            self.wake.remove(&(at, index));
        }
    }

    pub(crate) fn leave(&mut self, index: usize) {
        self.with(index, Membership::leave);
    }

    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.cut.insert((a, b));
        self.cut.insert((b, a));
    }

    pub(crate) fn cut_one_way(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    pub(crate) fn with<T>(&mut self, index: usize, act: impl FnOnce(&mut Membership, Instant) -> T) -> T {
        let member = self.members[index].as_mut().unwrap();
        let result = act(&mut member.machine, member.clock + self.now);
        self.after(index);
        result
    }

    pub(crate) fn machine(&self, index: usize) -> &Membership {
        &self.members[index].as_ref().unwrap().machine
    }

    pub(crate) fn is_running(&self, index: usize) -> bool {
        self.members[index].as_ref().is_some_and(|member| member.running)
    }

    /// What a member counts as alive.
    pub(crate) fn view(&self, index: usize) -> BTreeSet<usize> {
        indices(self.machine(index).members())
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let datagram = self.queue.peek().map(|Reverse((at, ..))| *at);
            let wake = self.wake.first().map(|(at, _)| *at);
            let Some(next) = [datagram, wake].into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = next;
            if datagram == Some(next) {
                let Reverse((_, _, from, to, octets)) = self.queue.pop().unwrap();
                self.deliver(from, to, &octets);
                self.spare.push(octets);
            } else {
                let (_, index) = self.wake.pop_first().unwrap();
                self.wake_of[index] = None;
                self.with(index, Membership::handle_timeout);
            }
        }
        self.now = end;
    }

    /// Lets a datagram arrive now that seems to come from a member's address; whether it is not dropped.
    pub(crate) fn deliver(&mut self, from: usize, to: usize, octets: &[u8]) -> bool {
        let arrival = Arrival::new(address(from).ip(), CLOCK + self.now);
        self.is_running(to)
            && self.with(to, |machine, now| machine.handle_datagram(now, arrival, octets).is_ok())
    }

    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            assert!(
                self.now < end,
                "not done after {limit:?}: {:?}",
                (0..self.members.len()).map(|i| self.view(i)).collect::<Vec<_>>()
            );
            self.run_for(Duration::from_millis(5));
        }
    }

    /// Everyone runs and everyone sees everyone.
    pub(crate) fn start_all(&mut self) {
        for index in 0..self.members.len() {
            let epoch = self.epochs;
            self.epochs += 1;
            self.create(index, epoch);
        }
        for index in 0..self.members.len() {
            self.discover(index);
        }
        let all: BTreeSet<usize> = (0..self.members.len()).collect();
        self.run_until(Duration::from_secs(10), |sim| {
            all.iter().all(|index| sim.view(*index) == all && sim.machine(*index).is_settled())
        });
        self.log.clear();
    }

    /// Changes of members in the log since a time.
    pub(crate) fn changes(&self) -> Vec<(Duration, usize, BTreeSet<usize>)> {
        let members = self.log.iter().filter_map(|(at, index, seen)| match seen {
            Seen::Members(members) => Some((*at, *index, members.clone())),
            _ => None,
        });
        members.collect()
    }

    fn after(&mut self, index: usize) {
        let member = self.members[index].as_mut().unwrap();
        let mut octets = self.spare.pop().unwrap_or_default();
        while let Some(to) = member.machine.poll_transmit(&mut octets) {
            let to = usize::from(to.address.port());
            self.datagrams += 1;
            if let Some(recorded) = &mut self.recorded {
                recorded.push(Recorded { from: index, to, octets: octets.clone() });
            }
            if self.cut.contains(&(index, to)) || self.random.chance(self.net.loss) {
                continue;
            }
            let (least, most) = self.net.delay;
            let delay = Duration::from_micros(least + self.random.below(most - least + 1));
            self.order += 1;
            let sent = std::mem::replace(&mut octets, self.spare.pop().unwrap_or_default());
            self.queue.push(Reverse((self.now + delay, self.order, index, to, sent)));
        }
        self.spare.push(octets);
        while let Some(event) = member.machine.poll_event() {
            let seen = match event {
                Event::MembersChanged => Seen::Members(indices(member.machine.members())),
                Event::Settled => Seen::Settled,
                Event::Reunited => Seen::Reunited,
                Event::MetadataChanged(name) => Seen::Metadata(index_of(&name)),
                _ => continue,
            };
            self.log.push((self.now, index, seen));
        }
        let wake = member.machine.next_timeout().filter(|_| member.running);
        let wake = wake.map(|at| (at - member.clock).max(self.now));
        if self.wake_of[index] != wake {
            if let Some(at) = self.wake_of[index] {
                self.wake.remove(&(at, index));
            }
            self.wake_of[index] = wake;
            self.wake.extend(wake.map(|at| (at, index)));
        }
    }
}

fn indices(names: &BTreeSet<NodeName>) -> BTreeSet<usize> {
    names.iter().map(index_of).collect()
}

fn index_of(name: &NodeName) -> usize {
    name.as_str().strip_prefix("node-").unwrap().parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
fn base() -> Instant {
    Instant::now()
}

impl Simulation {
    /// Tells a member that these others exist and are ready; starts it when it does not run.
    pub(crate) fn members_ready(&mut self, index: usize, others: &[usize]) {
        if self.members[index].is_none() {
            self.create(index, 1);
        }
        let peers = others.iter().map(|other| (name(*other), Peer::new(address(*other), true))).collect();
        self.with(index, |machine, now| machine.set_peers(now, peers));
    }

    /// Tells a member of all others, none of which is ready yet.
    pub(crate) fn members_starting(&mut self, index: usize) {
        let others = (0..self.members.len()).filter(|other| *other != index);
        let peers = others.map(|other| (name(other), Peer::new(address(other), false))).collect();
        self.with(index, |machine, now| machine.set_peers(now, peers));
    }

    /// Stops a process without ending it.
    pub(crate) fn freeze(&mut self, index: usize) -> Duration {
        self.kill(index);
        self.now
    }

    /// Lets it go on.
    pub(crate) fn thaw(&mut self, index: usize, since: Duration) {
        assert!(since <= self.now);
        self.members[index].as_mut().unwrap().running = true;
        self.with(index, Membership::handle_timeout);
    }
}
