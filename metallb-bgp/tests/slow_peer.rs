//! A peer whose socket takes little at a time, while the table goes on changing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests; the clock is read once as the base of virtual time"
)]

#[path = "support/established.rs"]
mod established;

use std::collections::BTreeMap;
use std::time::Instant;

use ipnetwork::IpNetwork;
use metallb_bgp::session::{ConnectionId, Session};
use metallb_bgp::table::{AdvTable, Announcement, RouteAttributes};
use metallb_bgp::types::{AsnWidth, Community, Families, PeerKind};
use metallb_bgp::wire::Message;
use metallb_bgp::wire::header::Framer;
use metallb_bgp::wire::update::{Action, UpdateContext, UpdateView};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use established::{LOCAL, mk_established, prefix};

fn route(community: u32) -> Vec<Announcement> {
    let attributes = RouteAttributes::new().with_communities([Community(community)]);
    vec![Announcement { peers: ["slow".into()].into(), attributes }]
}

/// What the peer has learned.
#[derive(Default)]
struct Told {
    framer: Framer,
    held: BTreeMap<IpNetwork, u32>,
    /// How often each prefix was announced or withdrawn.
    times: BTreeMap<IpNetwork, usize>,
    /// How many routes were announced with each community.
    announced: BTreeMap<u32, usize>,
    withdrawn: usize,
    /// Withdrawals of what it did not hold.
    superfluous: usize,
    /// What it held at each End-of-RIB.
    ends: Vec<usize>,
}

impl Told {
    fn hear(&mut self, mut octets: &[u8]) {
        let mut framer = std::mem::take(&mut self.framer);
        while let Some(frame) = framer.next_frame(&mut octets).unwrap() {
            if let Message::Update(view) = Message::parse(frame).unwrap() {
                self.update(&view);
            }
        }
        self.framer = framer;
    }

    fn update(&mut self, view: &UpdateView<'_>) {
        let context = UpdateContext::new(PeerKind::External, LOCAL, AsnWidth::Four, Families::BOTH);
        let update = view.classify(&context);
        assert_eq!(update.action(), Action::Accept);
        if update.end_of_rib().is_some() {
            self.ends.push(self.held.len());
        }
        for prefix in update.withdrawn() {
            *self.times.entry(prefix).or_default() += 1;
            self.withdrawn += 1;
            self.superfluous += usize::from(self.held.remove(&prefix).is_none());
        }
        for reach in update.reach() {
            let community = update.attributes(reach.next_hop).communities[0].0;
            for prefix in reach.prefixes {
                *self.times.entry(prefix).or_default() += 1;
                *self.announced.entry(community).or_default() += 1;
                self.held.insert(prefix, community);
            }
        }
    }
}

/// A session, the table, and a socket that takes what the test says.
struct Slow {
    session: Session,
    id: ConnectionId,
    now: Instant,
    table: AdvTable,
    out: Vec<u8>,
    written: usize,
    /// How often the session has looked into the table and found something.
    looks: usize,
    told: Told,
}

impl Slow {
    fn new(mut table: AdvTable) -> Self {
        let now = Instant::now();
        let (session, id) = mk_established("slow".into(), now, &mut table);
        let told = Told::default();
        Self { session, id, now, table, out: Vec::new(), written: 0, looks: 0, told }
    }

    /// The socket takes `room` octets, or what there is; returns whether there was anything.
    fn take(&mut self, room: usize) -> bool {
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
            self.looks += 1;
            if !self.session.poll_transmit(self.now, self.id, &mut self.table, &mut self.out) {
                return false;
            }
        }
        let end = self.out.len().min(self.written + room);
        self.told.hear(&self.out[self.written..end]);
        self.session.handle_written(self.now, self.id, end - self.written);
        self.written = end;
        true
    }

    fn drain(&mut self) {
        while self.take(usize::MAX / 2) {}
    }
}

// req: A8, A9, A10
#[test]
fn a_peer_that_stalls_in_its_first_dump_is_told_the_last_state_and_no_other() {
    const COUNT: u32 = 100_000;
    let mut table = AdvTable::new();
    for n in 0..COUNT {
        table.set(prefix(n), &route(1));
    }
    table.complete();
    let mut slow = Slow::new(table);
    slow.take(4096);
    // Meanwhile everything is replaced twice, and every second prefix goes.
    for (community, step) in [(2, 1), (3, 1)] {
        for n in (0..COUNT).step_by(step) {
            slow.table.set(prefix(n), &route(community));
        }
    }
    for n in (0..COUNT).step_by(2) {
        slow.table.set(prefix(n), &[]);
    }
    while slow.take(4096) {}
    let wanted: BTreeMap<_, _> = (0..COUNT).filter(|n| n % 2 == 1).map(|n| (prefix(n), 3)).collect();
    assert_eq!(slow.told.held, wanted);
    let early = slow.told.announced[&1];
    assert!(early < 20_000, "{early} routes were on their way before the peer stalled");
    assert_eq!(
        slow.told.announced,
        BTreeMap::from([(1, early), (3, wanted.len())]),
        "never the state between"
    );
    assert_eq!((slow.told.withdrawn, slow.told.superfluous), (early.div_ceil(2), 0));
    assert_eq!(slow.told.ends, [wanted.len()], "one End-of-RIB, when it has everything");
}

/// Something that happens while a peer is slow.
#[derive(Clone, Debug)]
enum Op {
    /// Prefixes from the first on get a route with this community, or none.
    Set(u32, u32, Option<u32>),
    Take(usize),
    Complete,
}

fn op() -> impl Strategy<Value = Op> {
    let community = prop::option::weighted(0.7, 0..5_u32);
    prop_oneof![
        6 => (0..COUNT, 1..200_u32, community).prop_map(|(first, count, c)| Op::Set(first, count, c)),
        8 => (1..40_000_usize).prop_map(Op::Take),
        1 => Just(Op::Complete),
    ]
}

/// Prefixes of the property; each has attributes of its own at first, so that the dump takes several looks.
const COUNT: u32 = 1500;

fn ends_up_with_the_table(ops: Vec<Op>) -> Result<(), TestCaseError> {
    let mut table = AdvTable::new();
    let mut model = BTreeMap::new();
    for n in 0..COUNT {
        table.set(prefix(n), &route(1000 + n));
        model.insert(prefix(n), 1000 + n);
    }
    let mut slow = Slow::new(table);
    for op in ops {
        match op {
            Op::Set(first, count, community) => {
                for n in first..(first + count).min(COUNT) {
                    let routes = community.map(route).unwrap_or_default();
                    slow.table.set(prefix(n), &routes);
                    match community {
                        Some(community) => model.insert(prefix(n), community),
                        None => model.remove(&prefix(n)),
                    };
                }
            }
            Op::Take(room) => {
                slow.take(room);
            }
            Op::Complete => slow.table.complete(),
        }
    }
    slow.table.complete();
    slow.drain();
    prop_assert_eq!(&slow.told.held, &model);
    prop_assert_eq!(slow.told.superfluous, 0);
    prop_assert_eq!(slow.told.ends.len(), 1);
    let most = slow.told.times.values().max().copied().unwrap_or(0);
    prop_assert!(most <= slow.looks, "a prefix was told {} times in {} looks", most, slow.looks);
    let snapshot = slow.session.snapshot(&slow.table);
    prop_assert_eq!(snapshot.advertised_v4, model.len() as u64);
    Ok(())
}

// req: A8, A9, A10
#[test]
fn a_slow_peer_ends_up_with_the_table_and_is_told_each_prefix_once_per_look() {
    // Not by `proptest!`, which would run as many cases as the environment says.
    let config = ProptestConfig { cases: cases(), ..ProptestConfig::default() };
    let ops = prop::collection::vec(op(), 1..80);
    TestRunner::new(config).run(&ops, ends_up_with_the_table).unwrap();
}

/// A case here costs as much as many elsewhere, for its large table: a fiftieth of what is asked for.
fn cases() -> u32 {
    let asked = std::env::var_os("PROPTEST_CASES").and_then(|cases| cases.to_str()?.parse().ok());
    asked.unwrap_or(0_u32).div_ceil(50).max(32)
}
