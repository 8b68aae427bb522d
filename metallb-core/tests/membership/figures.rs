//! How fast and how reliable: a few short runs guard the targets. The example `membership_figures` measures them in
//! full.

use std::time::Duration;

use crate::measure::{detection_times, percentile, quiet};
use crate::simulation::{LAN, Net, Simulation};

#[test]
fn detection_takes_less_than_half_a_second_at_any_loss() {
    for size in [3, 20] {
        for loss in [0, 10_000, 50_000] {
            let most = percentile(&detection_times(size, loss, 1_000..1_002), 99);
            assert!(most <= Duration::from_millis(500), "{size} members, loss {loss}: {most:?}");
        }
    }
}

#[test]
fn nobody_is_dropped_falsely_at_five_percent_loss() {
    for size in [3, 20] {
        let quiet = quiet(size, 50_000, Duration::from_secs(20), 77);
        assert_eq!(quiet.false_downs, 0, "{size} members");
        let pairs = u64::try_from(size * (size - 1)).unwrap();
        assert!(quiet.datagrams > 20 * 19 * pairs, "they did talk: {} datagrams", quiet.datagrams);
    }
}

#[test]
fn a_large_cluster_keeps_the_budget_and_finds_the_dead() {
    let size = 40;
    let mut sim = Simulation::new(size, Net { loss: 10_000, ..LAN }, 5);
    sim.start_all();
    let before = sim.datagrams;
    sim.run_for(Duration::from_secs(2));
    let per_node_and_second = (sim.datagrams - before) / 40 / 2;
    assert!(per_node_and_second <= 2_550, "{per_node_and_second} datagrams per second");
    let detection = sim.machine(0).detection();
    sim.kill(7);
    sim.run_for(detection + detection / 2);
    assert!((0..size).filter(|index| *index != 7).all(|index| sim.view(index).len() == size - 1));
}
