//! Another connection of a peer with which a session is established already.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnetwork::IpNetwork;
use metallb_bgp::fsm::State;
use metallb_bgp::session::{Effect, Endpoints, GracefulRestart, Session};
use metallb_bgp::table::AdvTable;

use crate::world::{World, address, quick, router_id};

// req: G7
#[test]
fn a_restarted_peer_replaces_its_connection() {
    let mut world = World::new(|n, config| {
        quick(n, config);
        config.graceful_restart = Some(GracefulRestart::default());
    });
    world.set(0, 1, Some(1));
    world.settle();
    let sent = |world: &World| {
        let node = &world.nodes[1];
        node.session.snapshot(&node.table).counters.notifications_sent
    };
    let before = sent(&world);
    // Node 0 dies without a word and comes back.
    let config = world.nodes[0].session.config().clone();
    let mut session = Session::new("peer".into(), config, router_id(0));
    session.start(world.now);
    let announced: BTreeSet<IpNetwork> = world.nodes[0].announced.keys().copied().collect();
    world.nodes[0].session = session;
    world.nodes[0].table = AdvTable::new();
    world.nodes[0].table.complete();
    world.nodes[0].state = State::Idle;
    for pipe in &mut world.pipes {
        pipe.ends[0] = None;
    }
    for prefix in announced {
        world.set(
            0,
            prefix.to_string().trim_start_matches("198.51.100.").trim_end_matches("/32").parse().unwrap(),
            Some(1),
        );
    }
    let took = world.settle();
    assert!(took < Duration::from_secs(2), "at once, not after the hold time: {took:?}");
    assert_eq!(sent(&world), before, "no NOTIFICATION on the old connection");
}

// req: !G7
#[test]
fn a_second_connection_of_a_peer_without_graceful_restart_is_refused() {
    let mut world = World::new(quick);
    world.settle();
    let live = world.pipes.iter().position(|pipe| pipe.ends.iter().all(Option::is_some)).unwrap();
    let opened_by_peer = world.nodes[1].session.connections().count();
    assert_eq!(opened_by_peer, 1);
    for n in [0, 1] {
        let ends = Endpoints::new(address(n, 179), address(1 - n, 40001));
        let now = world.now;
        let second = world.nodes[n].session.handle_accepted(now, ends);
        if let Some(second) = second {
            // Followed until it says OPEN, as the established one was dialled from here.
            world.nodes[n].session.handle_closed(now, second, None);
        }
        world.work();
        assert_eq!((world.nodes[n].state, world.nodes[n].established), (State::Established, 1));
    }
    assert!(world.pipes[live].ends.iter().all(Option::is_some));
    world.finish();
}

// req: !F5
#[test]
fn an_established_connection_outlives_a_later_one_unless_told_otherwise() {
    for (node, detect, survives) in [(0, false, true), (1, false, true), (0, true, false), (1, true, true)] {
        // Node 1 has the higher identifier: what it dials is kept in a collision.
        let mut world = World::new(|n, config| {
            quick(n, config);
            config.collision_detect_established = detect;
            config.passive = n != node;
        });
        world.connect(node, true);
        world.drain();
        assert!(world.is_settled());
        let other = 1 - node;
        let now = world.now;
        let mut config = world.nodes[other].session.config().clone();
        config.passive = false;
        // The other end dials now: an attempt of a session of its own that reaches this one.
        let ends = Endpoints::new(address(node, 179), address(other, 40001));
        let second = world.nodes[node].session.handle_accepted(now, ends).unwrap();
        let mut late = Session::new("late".into(), config, router_id(other));
        let mut table = AdvTable::new();
        late.start(now);
        let Some(Effect::Connect(id)) = late.poll_effect(&mut table) else { panic!("dials") };
        late.handle_connected(now, id, Endpoints::new(address(other, 40001), address(node, 179)));
        let mut open = Vec::new();
        assert!(late.poll_transmit(now, id, &mut table, &mut open));
        world.nodes[node].session.handle_data(now, second, &open);
        world.work();
        let up = world.nodes[node].state == State::Established;
        assert_eq!(up, survives, "dialled by {node}, detection {detect}");
    }
}
