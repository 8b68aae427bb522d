//! Whatever happened, in the end each side holds what the other one announces.

use std::time::Duration;

use metallb_bgp::session::{GracefulRestart, StopReason};
use proptest::prelude::*;

use crate::world::{World, quick};

// req: A9
#[test]
fn both_sides_learn_the_tables_of_the_other() {
    let mut world = World::new(quick);
    for prefix in 0..50 {
        world.set(0, prefix, Some(1));
        world.set(1, prefix, Some(u32::from(prefix)));
    }
    let took = world.settle();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// Something that happens to the world.
#[derive(Clone, Debug)]
enum Op {
    Connect(bool, bool),
    Deliver(bool, u8, u16),
    Reset(u8),
    Advance(u16),
    Set(bool, u8, Option<u32>),
    Bounce(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (any::<bool>(), prop::bool::weighted(0.8)).prop_map(|(n, ok)| Op::Connect(n, ok)),
        8 => (any::<bool>(), 0..6_u8, 1..400_u16).prop_map(|(n, p, c)| Op::Deliver(n, p, c)),
        1 => (0..6_u8).prop_map(Op::Reset),
        3 => (0..4000_u16).prop_map(Op::Advance),
        3 => (any::<bool>(), 0..8_u8, prop::option::of(0..3_u32)).prop_map(|(n, p, c)| Op::Set(n, p, c)),
        1 => any::<bool>().prop_map(Op::Bounce),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    // req: A8, F2
    #[test]
    fn whatever_happens_both_sides_agree_in_the_end(
        ops in prop::collection::vec(op(), 1..120),
        delay_open: bool,
        graceful: bool,
        detect: bool,
        dialler_first: bool,
    ) {
        let mut world = World::new(|n, config| {
            quick(n, config);
            config.delay_open = delay_open.then_some(Duration::from_secs(2));
            config.graceful_restart = graceful.then(GracefulRestart::default);
            config.collision_detect_established = detect;
        });
        world.dialler_first = dialler_first;
        for op in ops {
            match op {
                Op::Connect(node, ok) => world.connect(usize::from(node), ok),
                Op::Deliver(node, pipe, count) => {
                    let newest = world.pipes.len().saturating_sub(1 + usize::from(pipe) / 2);
                    world.deliver(usize::from(node), newest, usize::from(count));
                }
                Op::Reset(pipe) => world.reset(world.pipes.len().saturating_sub(1 + usize::from(pipe))),
                Op::Advance(by) => world.advance(Duration::from_millis(by.into())),
                Op::Set(node, prefix, community) => world.set(usize::from(node), prefix, community),
                Op::Bounce(node) => {
                    let now = world.now;
                    let node = &mut world.nodes[usize::from(node)];
                    node.session.stop(now, &StopReason::Reset(String::new()), &mut node.table);
                    world.work();
                }
            }
        }
        world.settle();
        world.finish();
    }
}

fn cases() -> u32 {
    std::env::var_os("PROPTEST_CASES").and_then(|cases| cases.to_str()?.parse().ok()).unwrap_or(64)
}
