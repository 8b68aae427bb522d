use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::types::Community;

/// What one peer has been told.
#[derive(Debug, Default)]
struct Told {
    held: BTreeMap<IpNetwork, RouteAttributes>,
    marks: Vec<Mark>,
    announced: usize,
    withdrawn: usize,
    /// Routes with this community cannot be sent.
    refused: Option<Community>,
    /// … except for this prefix.
    spared: Option<IpNetwork>,
    /// Withdrawals of what the peer does not hold.
    superfluous: usize,
}

fn list(prefixes: Prefixes<'_>) -> Vec<IpNetwork> {
    match prefixes {
        Prefixes::V4(list) => list.iter().copied().map(IpNetwork::V4).collect(),
        Prefixes::V6(list) => list.iter().copied().map(IpNetwork::V6).collect(),
    }
}

impl Told {
    fn refuses(&self, prefix: &IpNetwork, attributes: &RouteAttributes) -> bool {
        let refused = self.refused.is_some_and(|refused| attributes.communities().contains(&refused));
        refused && self.spared != Some(*prefix)
    }
}

impl Sink for Told {
    fn announce(&mut self, attributes: &RouteAttributes, prefixes: Prefixes<'_>, _more: bool) -> Announced {
        let mut announced = Announced { done: prefixes.len(), unsendable: Vec::new() };
        for (place, prefix) in list(prefixes).into_iter().enumerate() {
            if self.refuses(&prefix, attributes) {
                announced.unsendable.push(place);
            } else {
                self.announced += 1;
                self.held.insert(prefix, attributes.clone());
            }
        }
        announced
    }

    fn withdraw(&mut self, prefixes: Prefixes<'_>) {
        for prefix in list(prefixes) {
            self.withdrawn += 1;
            self.superfluous += usize::from(self.held.remove(&prefix).is_none());
        }
    }

    fn mark(&mut self, mark: Mark) {
        self.marks.push(mark);
    }
}

fn prefix(n: u32) -> IpNetwork {
    format!("198.51.100.{n}/32").parse().unwrap()
}

fn attributes(n: u32) -> RouteAttributes {
    RouteAttributes::new().with_communities([Community(n)])
}

fn to(peers: &[&str], n: u32) -> Announcement {
    Announcement { peers: peers.iter().map(|peer| PeerKey::from(*peer)).collect(), attributes: attributes(n) }
}

fn attach(table: &mut AdvTable, peer: &str) -> PeerSlot {
    table.attach(&peer.into(), Families::BOTH, false).unwrap()
}

fn drain(table: &mut AdvTable, slot: PeerSlot, told: &mut Told) {
    while Family::ALL.into_iter().any(|family| table.pull(slot, family, told)) {}
}

// req: A9
#[test]
fn the_first_dump_is_everything_once_then_end_of_rib() {
    let mut table = AdvTable::new();
    for n in 0..10 {
        table.set(prefix(n), &[to(&["a"], n % 2)]);
    }
    let slot = attach(&mut table, "a");
    let mut told = Told::default();
    drain(&mut table, slot, &mut told);
    assert_eq!((told.held.len(), told.announced, told.withdrawn), (10, 10, 0));
    assert_eq!(told.marks, [], "not before the table is complete");
    table.complete();
    drain(&mut table, slot, &mut told);
    assert_eq!(told.marks, [Mark::EndOfRib, Mark::EndOfRib], "one per family");
}

// req: !A9
#[test]
fn an_empty_family_ends_too() {
    let mut table = AdvTable::new();
    table.complete();
    let slot = attach(&mut table, "a");
    let mut told = Told::default();
    drain(&mut table, slot, &mut told);
    assert_eq!(told.marks.len(), 2);
}

// req: A8
#[test]
fn changed_attributes_replace_without_a_withdrawal() {
    let mut table = AdvTable::new();
    table.set(prefix(1), &[to(&["a"], 1)]);
    let slot = attach(&mut table, "a");
    let mut told = Told::default();
    drain(&mut table, slot, &mut told);
    table.set(prefix(1), &[to(&["a"], 2)]);
    drain(&mut table, slot, &mut told);
    assert_eq!((told.announced, told.withdrawn), (2, 0));
    assert_eq!(told.held[&prefix(1)], attributes(2));
}

// req: !A10
#[test]
fn a_change_for_one_peer_is_not_told_to_another() {
    let mut table = AdvTable::new();
    table.set(prefix(1), &[to(&["a", "b"], 1)]);
    let slots = ["a", "b"].map(|peer| attach(&mut table, peer));
    let mut told = [Told::default(), Told::default()];
    for (slot, told) in slots.iter().zip(&mut told) {
        drain(&mut table, *slot, told);
    }
    table.set(prefix(1), &[to(&["a"], 1), to(&["b"], 2)]);
    for (slot, told) in slots.iter().zip(&mut told) {
        drain(&mut table, *slot, told);
    }
    assert_eq!((told[0].announced, told[1].announced), (1, 2));
}

#[test]
fn what_a_slow_peer_missed_is_told_once() {
    let mut table = AdvTable::new();
    let slot = attach(&mut table, "a");
    let mut told = Told::default();
    drain(&mut table, slot, &mut told);
    for n in 0..100 {
        table.set(prefix(1), &[to(&["a"], n)]);
    }
    table.set(prefix(2), &[to(&["a"], 1)]);
    table.set(prefix(2), &[]);
    assert_eq!(table.behind(slot), 2);
    drain(&mut table, slot, &mut told);
    assert_eq!((told.announced, told.withdrawn), (1, 0), "what came and went is not mentioned");
}

// req: A6
#[test]
fn a_route_that_cannot_be_sent_is_withdrawn_if_the_peer_holds_an_older_one() {
    let mut table = AdvTable::new();
    table.set(prefix(1), &[to(&["a"], 1)]);
    table.set(prefix(2), &[to(&["a"], 2)]);
    let slot = attach(&mut table, "a");
    let mut told = Told { refused: Some(Community(2)), ..Told::default() };
    drain(&mut table, slot, &mut told);
    assert_eq!(told.held.len(), 1);
    table.set(prefix(1), &[to(&["a"], 2)]);
    drain(&mut table, slot, &mut told);
    assert!(told.held.is_empty());
    let counts = table.advertised(slot);
    assert_eq!((counts.v4, counts.unsendable), (0, 2));
    table.set(prefix(1), &[]);
    drain(&mut table, slot, &mut told);
    assert_eq!(told.superfluous, 0);
}

// req: C5
#[test]
fn an_enhanced_refresh_waits_for_end_of_rib_and_is_marked() {
    let mut table = AdvTable::new();
    table.set(prefix(1), &[to(&["a"], 1)]);
    let slot = table.attach(&"a".into(), Families::only(Family::Ipv4Unicast), true).unwrap();
    let mut told = Told::default();
    table.refresh(slot, Family::Ipv4Unicast);
    drain(&mut table, slot, &mut told);
    assert_eq!(told.marks, [], "no BoRR before End-of-RIB");
    table.complete();
    drain(&mut table, slot, &mut told);
    assert_eq!(told.marks, [Mark::EndOfRib, Mark::BeginRefresh, Mark::EndRefresh]);
    assert_eq!(told.announced, 2);
    assert_eq!(table.advertised(slot).v4, 1);
}

// req: G5
#[test]
fn everything_a_peer_holds_can_be_withdrawn_at_once() {
    let mut table = AdvTable::new();
    for n in 0..5 {
        table.set(prefix(n), &[to(&["a"], n)]);
    }
    let slot = attach(&mut table, "a");
    let mut told = Told::default();
    drain(&mut table, slot, &mut told);
    table.set(prefix(0), &[]);
    table.set(prefix(1), &[to(&["a"], 9)]);
    table.set(prefix(7), &[to(&["a"], 9)]);
    for family in Family::ALL {
        table.withdraw_all(slot, family, &mut told);
    }
    assert!(told.held.is_empty(), "{:?}", told.held);
    assert_eq!(told.superfluous, 0);
}

#[test]
fn values_nobody_uses_any_more_are_let_go() {
    let mut table = AdvTable::new();
    for n in 0..20 {
        table.set(prefix(n), &[to(&["a"], n), to(&["b"], n + 1)]);
    }
    let slot = attach(&mut table, "a");
    let mut told = Told::default();
    drain(&mut table, slot, &mut told);
    for n in 0..20 {
        table.set(prefix(n), &[]);
    }
    drain(&mut table, slot, &mut told);
    table.detach(slot);
    assert!(table.is_empty());
    assert_eq!((table.attributes.len(), table.sets.len(), table.v4.routes.len()), (0, 0, 0));
    assert_eq!((table.v4.log.len(), table.v4.pending.len()), (0, 0));
    assert_eq!(table.peers.slot(&"a".into()), None);
}

#[test]
fn host_bits_are_cleared() {
    let mut table = AdvTable::new();
    table.set("192.0.2.77/24".parse().unwrap(), &[to(&["a"], 1)]);
    assert!(!table.set("192.0.2.0/24".parse().unwrap(), &[to(&["a"], 1)]), "the same prefix");
    assert_eq!(table.len(), 1);
    assert_eq!(table.route(&"a".into(), "192.0.2.0/24".parse().unwrap()), Some(&attributes(1)));
}

// req: C5
#[test]
fn a_refresh_has_what_changed_for_other_peers_meanwhile() {
    let mut table = AdvTable { pieces: Pieces { walk: 1, log: 10 }, ..AdvTable::new() };
    for n in 1..4 {
        table.set(prefix(n), &[to(&["a"], n)]);
    }
    table.complete();
    let slot = table.attach(&"a".into(), Families::only(Family::Ipv4Unicast), true).unwrap();
    drain(&mut table, slot, &mut Told::default());
    table.refresh(slot, Family::Ipv4Unicast);
    let mut told = Told::default();
    table.pull(slot, Family::Ipv4Unicast, &mut told);
    assert_eq!(told.marks, [Mark::BeginRefresh]);
    table.set(prefix(3), &[to(&["a", "b"], 3)]);
    drain(&mut table, slot, &mut told);
    assert_eq!(told.marks, [Mark::BeginRefresh, Mark::EndRefresh]);
    assert_eq!(told.held.len(), 3, "what is not said before the end, the peer forgets");
    assert_eq!(table.advertised(slot).v4, 3);
}

/// Something that happens to a table with three peers.
#[derive(Clone, Debug)]
enum Op {
    Set(u32, Vec<(u8, u32)>),
    Pull(usize),
    Restart(usize),
    Refresh(usize),
    /// From now on the last peer can be sent all but this community, and this prefix with it.
    Refuse(Option<u32>, Option<u32>),
    Complete,
}

fn op() -> impl Strategy<Value = Op> {
    let routes = prop::collection::vec((1..8_u8, 0..3_u32), 0..3);
    prop_oneof![
        6 => (0..6_u32, routes).prop_map(|(n, routes)| Op::Set(n, routes)),
        6 => (0..3_usize).prop_map(Op::Pull),
        1 => (0..3_usize).prop_map(Op::Restart),
        1 => (0..3_usize).prop_map(Op::Refresh),
        1 => (prop::option::of(0..3_u32), prop::option::of(0..6_u32)).prop_map(|(c, n)| Op::Refuse(c, n)),
        1 => Just(Op::Complete),
    ]
}

const PEERS: [&str; 3] = ["a", "b", "c"];

/// The plain meaning of the table: for each peer the first route that names it.
type Model = [BTreeMap<IpNetwork, RouteAttributes>; 3];

fn apply(model: &mut Model, n: u32, routes: &[(u8, u32)]) -> Vec<Announcement> {
    for (peer, model) in model.iter_mut().enumerate() {
        let route = routes.iter().find(|(peers, _)| peers >> peer & 1 == 1);
        match route {
            Some((_, community)) => model.insert(prefix(n), attributes(*community)),
            None => model.remove(&prefix(n)),
        };
    }
    let named = |peers: u8| PEERS.iter().enumerate().filter(move |(n, _)| peers >> n & 1 == 1);
    let announcement = |(peers, community): &(u8, u32)| {
        let peers: Vec<&str> = named(*peers).map(|(_, name)| *name).collect();
        to(&peers, *community)
    };
    routes.iter().map(announcement).collect()
}

proptest! {
    // req: !A8, A10
    #[test]
    fn every_peer_ends_up_with_exactly_its_routes(
        ops in prop::collection::vec(op(), 1..80),
        walk in 1..5_usize,
        log in 1..5_usize,
    ) {
        let mut table = AdvTable { pieces: Pieces { walk, log }, ..AdvTable::new() };
        let mut model = Model::default();
        let mut told: [Told; 3] = Default::default();
        let mut slots = PEERS.map(|peer| attach(&mut table, peer));
        // Routes with this community cannot be sent to the last peer at first.
        told[2].refused = Some(Community(2));
        for op in ops {
            match op {
                Op::Set(n, routes) => {
                    let routes = apply(&mut model, n, &routes);
                    table.set(prefix(n), &routes);
                }
                Op::Pull(peer) => {
                    table.pull(slots[peer], Family::Ipv4Unicast, &mut told[peer]);
                }
                Op::Restart(peer) => {
                    table.detach(slots[peer]);
                    let Told { refused, spared, .. } = told[peer];
                    told[peer] = Told { refused, spared, ..Told::default() };
                    slots[peer] = attach(&mut table, PEERS[peer]);
                }
                Op::Refresh(peer) => table.refresh(slots[peer], Family::Ipv4Unicast),
                Op::Refuse(community, spared) => {
                    told[2].refused = community.map(Community);
                    told[2].spared = spared.map(prefix);
                    table.refresh(slots[2], Family::Ipv4Unicast);
                }
                Op::Complete => table.complete(),
            }
        }
        for (peer, slot) in slots.into_iter().enumerate() {
            drain(&mut table, slot, &mut told[peer]);
            let mut wanted = model[peer].clone();
            let all = wanted.len();
            wanted.retain(|prefix, attributes| !told[peer].refuses(prefix, attributes));
            prop_assert_eq!(&told[peer].held, &wanted);
            prop_assert_eq!(told[peer].superfluous, 0);
            let counts = table.advertised(slot);
            prop_assert_eq!(counts.v4, u64::try_from(wanted.len()).unwrap());
            prop_assert_eq!(counts.unsendable, u64::try_from(all - wanted.len()).unwrap());
            prop_assert!(!table.has_work(slot));
        }
        prop_assert_eq!(table.v4.log.len(), 0);
        prop_assert_eq!(table.v4.pending.len(), 0);
    }
}
