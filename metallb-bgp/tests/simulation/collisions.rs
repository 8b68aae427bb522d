//! Both ends dial at the same time: one connection is left, and both know which.

use crate::world::{World, quick, router_id};

// req: !F5
#[test]
fn collisions_end_with_one_connection_in_every_order_of_events() {
    // Which dial arrives first, and which octets come first: 2 × 2 × every interleaving of the OPENs.
    for (first, dialler_first) in [(0, false), (1, false), (0, true), (1, true)] {
        for order in 0_u32..256 {
            let mut world = World::new(quick);
            world.dialler_first = dialler_first;
            world.connect(first, true);
            world.connect(1 - first, true);
            assert_eq!(world.pipes.len(), 2);
            for step in 0..4 {
                let choice = order >> (step * 2) & 3;
                world.deliver((choice & 1) as usize, (choice >> 1) as usize, usize::MAX);
            }
            world.settle();
            for node in &world.nodes {
                assert_eq!(node.session.connections().count(), 1, "order {order:#b}");
            }
            let alive = world.pipes.iter().filter(|pipe| pipe.ends.iter().all(Option::is_some));
            assert_eq!(alive.count(), 1);
            world.finish();
        }
    }
}

/// Both ends dial; both OPENs on both pipes arrive before any KEEPALIVE.
fn collide(world: &mut World) {
    world.connect(0, true);
    world.connect(1, true);
    for index in [0, 1] {
        let lanes = [0, 1].map(|node| world.pipes[index].lanes[node].octets.len());
        for node in [0, 1] {
            world.deliver(node, index, lanes[node]);
        }
    }
}

// req: F5
#[test]
fn the_connection_of_the_higher_identifier_survives() {
    let mut world = World::new(quick);
    collide(&mut world);
    world.settle();
    assert!(world.pipes[0].ends.iter().all(Option::is_none), "node 0 has the lower identifier");
    assert!(world.pipes[1].ends.iter().all(Option::is_some));
    assert!(world.nodes.iter().all(|node| node.established == 1));
}

// req: F5
#[test]
fn equal_identifiers_are_decided_by_the_as_number() {
    let mut world = World::new(|n, config| {
        quick(n, config);
        config.router_id = Some(router_id(7));
    });
    collide(&mut world);
    world.settle();
    assert!(world.pipes[0].ends.iter().all(Option::is_none), "AS 64512 is the lower one");
    assert!(world.pipes[1].ends.iter().all(Option::is_some), "AS 64513 dialled this one");
    world.finish();
}
