//! How often things happen.

use std::time::Duration;

use metallb_bgp::types::HoldTime;

use crate::support::{Bench, kinds, mk_config, mk_keepalive};

// req: K1
#[test]
fn keepalives_are_a_second_apart_whatever_the_jitter() {
    let mut config = mk_config();
    config.hold_time = HoldTime::from_secs(3).unwrap();
    let (mut bench, id) = Bench::established(config, 3, Vec::new());
    let mut last = None;
    let mut shortest = Duration::MAX;
    for _ in 0..300 {
        bench.wait();
        if kinds(&bench.transmit(id)).contains(&4) {
            shortest = last.map_or(shortest, |last| shortest.min(bench.now - last));
            last = Some(bench.now);
        }
        bench.say(id, &mk_keepalive());
    }
    assert!(shortest >= Duration::from_secs(1), "{shortest:?}");
}
