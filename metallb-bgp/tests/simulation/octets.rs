//! One conversation, cut into pieces or broken at every octet.

use std::time::Duration;

use crate::world::{World, quick};

/// A world in which both ends have something to say, before the first octet.
fn world_with_tables(size: u8) -> World {
    let mut world = World::new(quick);
    for prefix in 0..size {
        world.set(0, prefix, Some(u32::from(prefix)));
        world.set(1, prefix, Some(u32::from(prefix) + 100));
    }
    world.connect(0, true);
    world
}

/// How many octets each end says until both have everything.
fn conversation(size: u8) -> [usize; 2] {
    let mut world = world_with_tables(size);
    let mut said = [0, 0];
    loop {
        let moved = [0, 1].map(|node| {
            let count = world.pipes[0].lanes[node].octets.len();
            said[node] += count;
            world.deliver(node, 0, count)
        });
        if moved == [false, false] {
            assert!(world.is_settled());
            return said;
        }
    }
}

fn assert_learnt(world: &World) {
    assert!(world.is_settled(), "{}", world.describe());
    for node in &world.nodes {
        let counters = node.session.snapshot(&node.table).counters;
        assert_eq!((counters.established, counters.notifications_sent), (1, 0));
        assert_eq!((counters.attributes_discarded, counters.treated_as_withdraw), (0, 0));
    }
}

// req: H4
#[test]
fn octets_may_come_one_by_one() {
    let mut world = world_with_tables(4);
    while !world.is_settled() {
        world.deliver(0, 0, 1);
        world.deliver(1, 0, 1);
    }
    assert_learnt(&world);
    world.finish();
}

// req: H4
#[test]
fn octets_may_be_split_anywhere() {
    let said = conversation(4);
    for node in [0, 1] {
        for cut in 0..said[node] {
            let mut world = world_with_tables(4);
            let mut left = cut;
            // Up to the cut in large pieces, then a pause in this direction while the other one goes on.
            while left > 0 {
                let count = left.min(world.pipes[0].lanes[node].octets.len());
                world.deliver(node, 0, count);
                left -= count;
                let other = world.deliver(1 - node, 0, usize::MAX);
                assert!(count > 0 || other, "both wait for each other at {left} of {cut}");
            }
            world.deliver(1 - node, 0, usize::MAX);
            world.drain();
            assert_learnt(&world);
            world.finish();
        }
    }
}

// req: !F2, F4
#[test]
fn a_reset_at_any_octet_is_survived() {
    let said = conversation(2);
    for cut in 0..=said[0].max(said[1]) {
        // Both directions at the same pace; one of them ahead of the other; an end that is told nothing.
        let all = usize::MAX;
        for (paces, told) in [([1, 1], true), ([1, all], true), ([all, 1], true), ([1, 1], false)] {
            let mut world = world_with_tables(2);
            for _ in 0..cut {
                for node in [0, 1] {
                    world.deliver(node, 0, paces[node]);
                }
            }
            if told {
                world.reset(0);
            } else {
                world.vanish(cut % 2, 0);
            }
            let took = world.settle();
            assert!(took < Duration::from_secs(600), "cut {cut}: {took:?}");
            world.finish();
        }
    }
}
