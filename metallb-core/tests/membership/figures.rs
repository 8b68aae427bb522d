//! How fast and how reliable: figures from many runs.
//!
//! By default a few short runs guard the targets. `MEMBERSHIP_RUNS` (kills per setting) and
//! `MEMBERSHIP_HOURS` (hours without a failure per setting) make it a measurement; run it in release mode
//! with `--nocapture` to see the table.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::simulation::{LAN, Net, Simulation};

/// Times from the death of a member until each survivor has dropped it, sorted.
fn detection_times(size: usize, loss: u64, runs: u64) -> Vec<Duration> {
    let mut times = Vec::new();
    for seed in 0..runs {
        let mut sim = Simulation::new(size, Net { loss, ..LAN }, 1_000 + seed);
        sim.start_all();
        sim.run_for(Duration::from_millis(100 + seed % 50));
        let victim = usize::try_from(seed).unwrap() % size;
        let killed = sim.now();
        sim.kill(victim);
        sim.run_for(Duration::from_secs(2));
        let survivors: BTreeSet<usize> = (0..size).filter(|index| *index != victim).collect();
        for survivor in &survivors {
            assert_eq!(sim.view(*survivor), survivors, "size {size}, loss {loss}, seed {seed}");
        }
        times.extend(sim.changes().into_iter().map(|(at, ..)| at - killed));
    }
    times.sort_unstable();
    times
}

/// Changes of members while nothing fails.
fn false_downs(size: usize, loss: u64, time: Duration) -> usize {
    let mut sim = Simulation::new(size, Net { loss, ..LAN }, 77);
    sim.start_all();
    sim.run_for(time);
    sim.changes().len()
}

fn percentile(times: &[Duration], hundredths: usize) -> Duration {
    times[(times.len() - 1) * hundredths / 100]
}

fn wanted(variable: &str, default: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the size of a measurement is the caller's choice")]
    let text = std::env::var(variable);
    text.ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn detection_takes_less_than_half_a_second_at_any_loss() {
    let runs = wanted("MEMBERSHIP_RUNS", 2);
    let sizes: &[usize] = if runs > 10 { &[3, 5, 20, 100] } else { &[3, 20] };
    for &size in sizes {
        for loss in [0, 10_000, 50_000] {
            let times = detection_times(size, loss, runs);
            let (half, most, all) = (percentile(&times, 50), percentile(&times, 99), percentile(&times, 100));
            println!("{size:4} members, {:2} % loss: p50 {half:?}, p99 {most:?}, max {all:?}", loss / 10_000);
            assert!(most <= Duration::from_millis(500), "{size} members, loss {loss}: {most:?}");
        }
    }
}

#[test]
fn nobody_is_dropped_falsely_at_five_percent_loss() {
    let hours = wanted("MEMBERSHIP_HOURS", 0);
    let time = if hours == 0 { Duration::from_secs(20) } else { Duration::from_secs(3_600 * hours) };
    let sizes: &[usize] = if hours > 0 { &[3, 5, 20] } else { &[3, 20] };
    for &size in sizes {
        let downs = false_downs(size, 50_000, time);
        println!("{size:4} members, 5 % loss, {time:?}: {downs} false changes");
        assert_eq!(downs, 0, "{size} members");
    }
}

#[test]
fn a_large_cluster_keeps_the_budget_and_finds_the_dead() {
    let size = usize::try_from(wanted("MEMBERSHIP_SIZE", 40)).unwrap();
    let mut sim = Simulation::new(size, Net { loss: 10_000, ..LAN }, 5);
    sim.start_all();
    let before = sim.datagrams;
    sim.run_for(Duration::from_secs(2));
    let per_node_and_second = (sim.datagrams - before) / u64::try_from(size).unwrap() / 2;
    assert!(per_node_and_second <= 2_550, "{per_node_and_second} datagrams per second");
    let detection = sim.machine(0).detection();
    sim.kill(7);
    sim.run_for(detection + detection / 2);
    assert!((0..size).filter(|index| *index != 7).all(|index| sim.view(index).len() == size - 1));
}
