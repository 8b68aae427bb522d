//! One speaker among others of which it only hears.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::announce::{self, Change, InterfaceScope, Liveness};
use crate::config::{Config, Input, L2AdvertisementInput, Meta, PeerInput, PoolInput};
use crate::facts::{Demand, Endpoints, Interface, Node, Request, Service};
use crate::keys::{Created, Family, InterfaceName, NodeName, ServiceKey};
use crate::membership::{InterfaceFacts, Metadata, View};
use crate::select::Labels;

use super::*;

#[expect(clippy::disallowed_methods, reason = "virtual time needs a beginning; only differences matter")]
pub(super) fn begin() -> Instant {
    Instant::now()
}

/// By the hash, b owns it among a, b and c, and c among a and c.
const ADDRESS: [u8; 4] = [192, 0, 2, 15];

fn address() -> IpAddr {
    ADDRESS.into()
}

fn mac(node: &str) -> [u8; 6] {
    [2, 0, 0, 0, 0, node.as_bytes()[0]]
}

pub(super) fn names(nodes: &[&str]) -> BTreeSet<NodeName> {
    nodes.iter().map(|node| NodeName::new(*node)).collect()
}

fn interfaces(node: &str) -> BTreeMap<InterfaceName, InterfaceFacts> {
    let facts = InterfaceFacts { mac: Some(mac(node)), interface: Interface::default() };
    BTreeMap::from([(InterfaceName::new("eth0"), facts)])
}

fn config(graceful: bool) -> Arc<Config> {
    let meta = Meta::new("lan", Created(0));
    let peer = PeerInput {
        meta: Meta::new("router", Created(0)),
        my_asn: 64_512,
        peer_asn: Some(64_513),
        address: Some("192.0.2.254".into()),
        graceful_restart: graceful,
        ..PeerInput::default()
    };
    let input = Input {
        pools: vec![PoolInput {
            meta: meta.clone(),
            addresses: vec!["192.0.2.0/24".to_owned()],
            ..PoolInput::default()
        }],
        l2_advertisements: vec![L2AdvertisementInput { meta, ..L2AdvertisementInput::default() }],
        peers: vec![peer],
        ..Input::default()
    };
    Arc::new(Config::build(&input, &Config::default()).config)
}

struct World {
    speaker: Speaker,
    now: Instant,
    view: View,
}

impl World {
    /// A speaker on `this` with all facts and its interfaces, before the first decision.
    fn new(this: &str, graceful: bool) -> Self {
        let announce = announce::Options::default().with_liveness(Liveness::Members);
        let mut speaker = Speaker::new(NodeName::new(this), Options::new(announce, "test"));
        speaker.set_config(config(graceful));
        for node in ["a", "b", "c"] {
            speaker.apply_node(Node::new(NodeName::new(node), Labels::new()));
        }
        let key = ServiceKey::new("default", "web");
        let wish = Demand::Addresses(Request::single(Family::V4));
        let mut service = Service::new(key.clone(), Created(0), wish);
        service.assigned = vec![address()];
        speaker.apply_service(service);
        speaker.apply_endpoints(Endpoints::ready(key, BTreeSet::new(), true));
        speaker.complete_facts();
        speaker.set_interfaces(interfaces(this));
        Self { speaker, now: begin(), view: View::default() }
    }

    /// The same, with members that have told of themselves and a start that is over.
    fn settled(this: &str, members: &[&str]) -> Self {
        let mut world = Self::new(this, false);
        world.view.settled = true;
        world.members(members);
        world.outputs();
        world
    }

    fn members(&mut self, members: &[&str]) {
        self.view.members = names(members);
        for node in members {
            let told = || Arc::new(Metadata { interfaces: interfaces(node), ..Metadata::default() });
            self.view.metadata.entry(NodeName::new(*node)).or_insert_with(told);
        }
        self.look();
    }

    fn look(&mut self) {
        self.speaker.set_view(self.now, self.view.clone());
        self.speaker.evaluate(self.now);
    }

    fn claim(&mut self, by: &str) {
        let claim = Claim { address: address(), interface: InterfaceName::new("eth0"), mac: mac(by) };
        self.speaker.handle_claim(self.now, &claim);
    }

    /// Lets time pass, with every timeout on the way.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.speaker.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.speaker.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.speaker.poll_output()).collect()
    }

    /// What came out, but for words that are only for the log and what follows for statuses.
    fn essential(&mut self) -> Vec<Output> {
        let noise = |output: &Output| {
            matches!(
                output,
                Output::Report(Report::Members { .. } | Report::Settled)
                    | Output::Change(
                        Change::Layer2Owner { .. } | Change::Peer { .. } | Change::BgpPeers { .. }
                    )
            )
        };
        self.outputs().into_iter().filter(|output| !noise(output)).collect()
    }
}

fn announced() -> Output {
    Output::Change(Change::L2 { address: address(), state: Some(InterfaceScope::All) })
}

fn withdrawn() -> Output {
    Output::Change(Change::L2 { address: address(), state: None })
}

fn conflict(by: &str) -> Output {
    Output::Report(Report::AddressConflict {
        address: address(),
        services: [ServiceKey::new("default", "web")].into(),
        node: NodeName::new("b"),
        interface: InterfaceName::new("eth0"),
        mac: mac(by),
        speaker: Some(NodeName::new(by)),
    })
}

fn apart(by: &str) -> Output {
    Output::Report(Report::SpeakersApart { speaker: NodeName::new(by), address: address() })
}

fn metadata(this: &str, claims: &[IpAddr]) -> Output {
    let claims = claims.iter().copied().collect();
    Output::Metadata(Metadata { interfaces: interfaces(this), claims, version: "test".into() })
}

#[test]
fn nothing_is_decided_before_facts_and_interfaces_are_known() {
    let mut speaker = Speaker::new(NodeName::new("a"), Options::default());
    speaker.evaluate(begin());
    speaker.complete_facts();
    speaker.evaluate(begin());
    assert!(speaker.poll_output().is_none() && !speaker.is_started());
    speaker.set_interfaces(BTreeMap::new());
    speaker.evaluate(begin());
    let outputs: Vec<Output> = std::iter::from_fn(|| speaker.poll_output()).collect();
    assert_eq!(outputs, [Output::Started, Output::Decided], "without membership nothing else is waited for");
    speaker.evaluate(begin());
    assert!(speaker.poll_output().is_none());
}

#[test]
fn a_starting_speaker_claims_nothing_until_its_view_is_settled() {
    let mut world = World::new("b", false);
    world.members(&["b"]);
    let outputs = world.essential();
    assert!(outputs.contains(&Output::Started) && outputs.contains(&metadata("b", &[])), "{outputs:?}");
    assert!(!outputs.contains(&announced()) && !outputs.contains(&Output::Decided));
    world.view.settled = true;
    world.look();
    assert_eq!(world.essential(), [announced(), Output::Decided, metadata("b", &[address()])]);
    world.look();
    assert_eq!(world.outputs(), []);
}

#[test]
fn a_speaker_that_died_is_told_once_after_the_decision() {
    let mut world = World::settled("c", &["a", "b", "c"]);
    world.members(&["a", "c"]);
    let outputs = world.essential();
    assert_eq!(outputs, [announced(), Output::Gone(NodeName::new("b")), metadata("c", &[address()])]);
}

#[test]
fn a_new_owner_claims_the_address_before_its_heartbeat_is_heard() {
    let mut world = World::settled("c", &["a", "c"]);
    world.view.metadata.insert(
        NodeName::new("b"),
        Arc::new(Metadata { interfaces: interfaces("b"), ..Metadata::default() }),
    );
    world.look();
    world.claim("b");
    world.pass(Duration::from_millis(300));
    world.outputs();
    world.members(&["a", "b", "c"]);
    assert_eq!(world.essential(), [withdrawn(), metadata("c", &[])]);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.outputs(), []);
}

#[test]
fn a_speaker_that_claimed_an_address_for_a_moment_leaves_no_wrong_cache() {
    let mut world = World::settled("b", &["a", "b", "c"]);
    world.claim("a");
    world.pass(HANDOVER.saturating_sub(Duration::from_millis(1)));
    assert_eq!(world.outputs(), []);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.outputs(), [Output::Defend(address())], "and nobody is told");
    world.pass(Duration::from_secs(60));
    assert_eq!(world.outputs(), []);
}

#[test]
fn a_speaker_that_goes_on_claiming_what_it_does_not_own_is_a_conflict() {
    let mut world = World::settled("b", &["a", "b", "c"]);
    let mut outputs = Vec::new();
    for _ in 0..200 {
        world.claim("a");
        world.pass(Duration::from_millis(100));
        outputs.extend(world.outputs());
    }
    let defend = || Output::Defend(address());
    assert_eq!(outputs, [defend(), defend(), conflict("a"), defend(), conflict("a")], "in 20 s");
}

/// It went by older facts than this node, and answered for the same; then it hears of them, or dies.
#[test]
fn an_address_that_another_speaker_lets_go_of_is_announced_anew() {
    for dies in [false, true] {
        let mut world = World::settled("b", &["a", "b", "c"]);
        let told = |claims: &[IpAddr]| {
            let claims = claims.iter().copied().collect();
            Arc::new(Metadata { interfaces: interfaces("a"), claims, ..Metadata::default() })
        };
        // Its claim is heard before it says so, and what it said before does not take it back.
        world.claim("a");
        world.view.metadata.insert(NodeName::new("a"), told(&["192.0.2.99".parse().unwrap()]));
        world.look();
        world.view.metadata.insert(NodeName::new("a"), told(&[address()]));
        world.look();
        let frames = |output: &Output| matches!(output, Output::AnnounceAgain(_) | Output::Defend(_));
        assert!(!world.outputs().iter().any(frames));
        world.pass(HANDOVER);
        assert_eq!(world.outputs(), [Output::Defend(address())]);
        if dies {
            world.view.members = names(&["b", "c"]);
        } else {
            world.view.metadata.insert(NodeName::new("a"), told(&[]));
        }
        world.look();
        assert!(world.outputs().contains(&Output::AnnounceAgain(address())), "dies: {dies}");
        world.pass(Duration::from_secs(60));
        assert!(!world.outputs().contains(&Output::AnnounceAgain(address())));
    }
}

#[test]
fn nor_is_it_while_the_owner_that_is_not_heard_claims_it() {
    let mut world = World::settled("c", &["a", "b", "c"]);
    let told = |claims: &[IpAddr]| {
        let claims = claims.iter().copied().collect();
        Arc::new(Metadata { interfaces: interfaces("a"), claims, ..Metadata::default() })
    };
    world.view.metadata.insert(NodeName::new("a"), told(&[address()]));
    world.members(&["a", "c"]);
    assert!(world.outputs().contains(&announced()));
    world.claim("a");
    world.claim("b");
    world.view.metadata.insert(NodeName::new("a"), told(&[]));
    world.look();
    assert!(!world.outputs().contains(&Output::AnnounceAgain(address())));
}

#[test]
fn nothing_is_defended_against_the_owner_that_is_not_heard() {
    let mut world = World::settled("c", &["a", "b", "c"]);
    // b is cut off: c takes over what both answer for.
    world.members(&["a", "c"]);
    assert!(world.outputs().contains(&announced()));
    for _ in 0..100 {
        world.claim("b");
        world.pass(Duration::from_millis(100));
    }
    assert_eq!(world.outputs(), [apart("b")], "once, with the reason");
    world.view.reunions += 1;
    world.members(&["a", "b", "c"]);
    let reunited = Output::Report(Report::Reunited);
    assert_eq!(world.essential(), [reunited, withdrawn(), metadata("c", &[]), Output::Reannounce]);
}

#[test]
fn a_hardware_address_that_no_speaker_has_is_a_strangers() {
    let mut world = World::settled("b", &["a", "b"]);
    world.claim("x");
    let outputs = world.outputs();
    let [Output::Report(report @ Report::AddressConflict { speaker: None, .. })] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(
        (report.reason(), report.to_string().as_str()),
        (
            "addressConflict",
            "192.0.2.15 is also claimed by another machine on interface eth0 of node b; the speaker's log there names its hardware address"
        )
    );
}

#[test]
fn a_driver_that_does_not_know_a_speaker_yet_makes_no_stranger_of_it() {
    let mut world = World::settled("b", &["a", "b", "c"]);
    let claim = Claim { address: address(), interface: InterfaceName::new("eth0"), mac: mac("a") };
    world.speaker.handle_conflict(world.now, &claim);
    assert_eq!(world.outputs(), []);
    world.pass(HANDOVER);
    assert_eq!(world.outputs(), [Output::Defend(address())]);
}

#[test]
fn a_flood_of_claims_is_told_by_a_few_and_a_summary() {
    let mut world = World::settled("b", &["a", "b"]);
    let claim = Claim { address: address(), interface: InterfaceName::new("eth0"), mac: mac("x") };
    for _ in 0..100 {
        world.speaker.handle_conflict(world.now, &claim);
    }
    let outputs = world.outputs();
    let [told @ .., Output::Report(summary)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(
        (told.len(), summary),
        (EVERY_SECOND, &Report::ManyConflicts { untold: 1, last: claim.clone() })
    );
    assert_eq!(summary.reason(), "addressConflict");
    assert!(told.iter().all(|output| matches!(output, Output::Report(Report::AddressConflict { .. }))));
    world.pass(SUMMARY);
    world.speaker.handle_conflict(world.now, &claim);
    assert_eq!(world.outputs().len(), 1, "one by one again");
}

#[test]
fn claims_for_what_this_node_does_not_have_are_not_its_business() {
    let mut world = World::settled("a", &["a", "b", "c"]);
    world.claim("b");
    world.claim("x");
    world.pass(Duration::from_secs(60));
    assert_eq!(world.outputs(), []);
}

#[test]
fn a_leaving_owner_answers_until_its_successor_claims_the_address() {
    let mut world = World::settled("b", &["a", "b", "c"]);
    world.speaker.stop(world.now);
    assert_eq!(world.outputs(), [Output::Leave]);
    world.pass(Duration::from_millis(60));
    world.claim("x");
    assert_eq!(world.outputs(), [], "a stranger is no successor");
    world.claim("c");
    assert_eq!(world.outputs(), [withdrawn(), Output::Silence, Output::Close(Close::Withdraw)]);
    world.speaker.stop(world.now);
    world.members(&["a"]);
    world.pass(Duration::from_secs(60));
    let reported = world.essential();
    assert_eq!(reported, [], "nothing comes after the end");
}

#[test]
fn a_leaving_owner_waits_a_second_for_its_successor_and_for_nobody_where_there_is_none() {
    let mut world = World::settled("b", &["a", "b", "c"]);
    world.speaker.stop(world.now);
    world.outputs();
    world.pass(HANDOVER_LIMIT.saturating_sub(Duration::from_millis(1)));
    assert_eq!(world.outputs(), []);
    world.pass(Duration::from_millis(1));
    let missing = Output::Report(Report::NoSuccessor { addresses: 1 });
    assert_eq!(world.outputs(), [missing, Output::Silence, Output::Close(Close::Withdraw)]);

    let mut alone = World::settled("b", &["b"]);
    alone.speaker.stop(alone.now);
    assert_eq!(alone.outputs(), [Output::Leave, Output::Silence, Output::Close(Close::Withdraw)]);
}

/// What the daemon adds to it is for the sessions and the last writes.
#[test]
fn a_drain_takes_a_second_whoever_does_not_answer() {
    let mut world = World::new("b", true);
    world.view.settled = true;
    world.members(&["a", "b", "c"]);
    world.outputs();
    world.speaker.stop(world.now);
    world.pass(Duration::from_secs(1));
    assert!(world.outputs().contains(&Output::Close(Close::KeepRoutes)));
    assert_eq!(world.speaker.next_timeout(), None);
}

#[test]
fn routes_are_kept_over_a_restart_unless_the_node_leaves() {
    let cases = [
        (Some(Departure::NodeStays), Close::KeepRoutes),
        (Some(Departure::NodeLeaves), Close::Withdraw),
        (Some(Departure::Unknown), Close::KeepRoutes),
        (None, Close::KeepRoutes),
    ];
    for (departure, expected) in cases {
        let mut world = World::new("b", true);
        world.view.settled = true;
        world.members(&["b"]);
        world.outputs();
        world.speaker.stop(world.now);
        assert_eq!(world.outputs(), [Output::Leave, Output::AskDeparture, Output::Silence]);
        match departure {
            Some(departure) => world.speaker.set_departure(world.now, departure),
            None => world.pass(DEPARTURE_LIMIT),
        }
        assert_eq!(world.outputs(), [Output::Close(expected)], "{departure:?}");
        world.speaker.set_departure(world.now, Departure::NodeLeaves);
        assert_eq!(world.outputs(), [], "too late");
    }
}

#[test]
fn what_is_wrong_with_a_service_is_reported_when_it_lasts_and_when_it_is_over() {
    let mut world = World::settled("b", &["a", "b", "c"]);
    let key = ServiceKey::new("default", "web");
    // The first live speaker in hash order speaks for what nobody can announce.
    world.speaker.remove_endpoints(&key);
    world.speaker.evaluate(world.now);
    world.pass(PATIENCE);
    let outputs = world.essential();
    let reported = outputs.iter().any(|output| {
        matches!(output, Output::Report(report @ Report::AnnounceFailed { .. }) if report.reason() == "announceFailed")
    });
    assert!(reported, "{outputs:?}");
    world.speaker.apply_endpoints(Endpoints::ready(key.clone(), BTreeSet::new(), true));
    world.speaker.evaluate(world.now);
    assert!(world.outputs().contains(&Output::Report(Report::AnnouncedAgain { service: key })));
}

/// Nobody's interfaces are known at first but one's own; that is no reason to be better than the others.
#[test]
fn a_speaker_that_joins_does_not_take_everything_before_it_knows_where_the_others_are() {
    let subnets = ["192.0.2.0/24".parse().unwrap()].into();
    let interface = Interface { ipv4_only: true, subnets };
    let facts = InterfaceFacts { mac: Some(mac("a")), interface };
    let mut world = World::new("a", false);
    world.speaker.set_interfaces(BTreeMap::from([(InterfaceName::new("eth0"), facts.clone())]));
    world.view.settled = true;
    world.view.members = names(&["a", "b", "c"]);
    world.look();
    assert!(!world.essential().contains(&announced()));
    // Nor is it passed over once they are known.
    for node in ["b", "c"] {
        let interfaces = BTreeMap::from([(InterfaceName::new("eth0"), facts.clone())]);
        let told = Metadata { interfaces, ..Metadata::default() };
        world.view.metadata.insert(NodeName::new(node), Arc::new(told));
        world.look();
        assert!(!world.essential().contains(&announced()));
    }
}

/// Small clusters exclude their control planes. Where heartbeats are not let through, each speaker hears itself only.
#[test]
fn excluded_control_planes_announce_nothing_while_a_worker_is_ready_and_was_never_heard() {
    let mut world = World::new("a", false);
    world.view.settled = true;
    for node in ["a", "b"] {
        let mut fact = Node::new(NodeName::new(node), Labels::new());
        (fact.excluded, fact.control_plane) = (true, true);
        world.speaker.apply_node(fact);
    }
    world.speaker.set_ready(names(&["a", "b", "c"]));
    world.members(&["a"]);
    let outputs = world.outputs();
    assert!(!outputs.contains(&announced()) && !outputs.contains(&Output::Report(Report::ExclusionIgnored)));
    // The worker is heard: nothing changes. It dies: nobody else is left.
    world.members(&["a", "b", "c"]);
    assert!(!world.outputs().contains(&announced()));
    world.members(&["a"]);
    assert!(world.outputs().contains(&announced()));
    // It comes back behind a closed port.
    for ready in [&["a", "b"][..], &["a", "b", "c"]] {
        world.speaker.set_ready(names(ready));
        world.speaker.evaluate(world.now);
    }
    assert!(world.outputs().contains(&withdrawn()));
    // It is gone for good.
    world.speaker.set_ready(names(&["a", "b"]));
    world.speaker.evaluate(world.now);
    assert!(world.outputs().contains(&announced()));
}

#[test]
fn partners_are_told_when_they_change_and_not_whenever_speakers_say_something() {
    let mut world = World::settled("b", &["a", "b", "c"]);
    let told = |mac_of: &str, claims: &[IpAddr]| {
        let claims = claims.iter().copied().collect();
        Arc::new(Metadata { interfaces: interfaces(mac_of), claims, ..Metadata::default() })
    };
    let mut partners = |told: Option<Arc<Metadata>>| {
        match told {
            Some(told) => world.view.metadata.insert(NodeName::new("a"), told),
            None => world.view.metadata.remove(&NodeName::new("a")),
        };
        world.look();
        let partners = |output| if let Output::Partners(macs) = output { Some(macs) } else { None };
        world.outputs().into_iter().filter_map(partners).collect::<Vec<_>>()
    };
    assert_eq!(partners(Some(told("a", &["192.0.2.99".parse().unwrap()]))), []);
    assert_eq!(partners(Some(told("d", &[]))), [[mac("a"), mac("c"), mac("d")].into()]);
    assert_eq!(partners(Some(told("a", &[]))), [], "what was its address is remembered");
    assert_eq!(partners(None), []);
}

#[test]
fn a_service_that_is_made_anew_with_the_same_problem_is_reported_again() {
    let mut world = World::settled("b", &["a", "b", "c"]);
    let key = ServiceKey::new("default", "web");
    let reports = |world: &mut World| {
        let is_about_it = |output: &Output| {
            matches!(output, Output::Report(Report::AnnounceFailed { .. } | Report::AnnouncedAgain { .. }))
        };
        world.outputs().into_iter().filter(is_about_it).count()
    };
    let mut service = Service::new(key.clone(), Created(0), Demand::Addresses(Request::single(Family::V4)));
    service.assigned = vec![address()];
    world.speaker.remove_endpoints(&key);
    world.speaker.evaluate(world.now);
    world.pass(PATIENCE);
    assert_eq!(reports(&mut world), 1);
    world.pass(Duration::from_secs(60));
    // Nobody looked in between.
    world.speaker.remove_service(&key);
    world.speaker.apply_service(service.clone());
    world.speaker.evaluate(world.now);
    assert_eq!(reports(&mut world), 0);
    world.pass(PATIENCE);
    assert_eq!(reports(&mut world), 1);
    world.speaker.remove_service(&key);
    world.speaker.evaluate(world.now);
    assert_eq!(reports(&mut world), 0, "what is gone is not announced as it should be");
    world.speaker.apply_service(service);
    world.speaker.evaluate(world.now);
    world.pass(PATIENCE);
    assert_eq!(reports(&mut world), 1);
}
