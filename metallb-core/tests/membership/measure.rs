//! What is measured of the simulated members, for the tests in small and for the example in full.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::simulation::{LAN, Net, Simulation};

/// Times from the death of a member until each survivor has dropped it, sorted; one killed member for each seed.
pub(crate) fn detection_times(size: usize, loss: u64, seeds: std::ops::Range<u64>) -> Vec<Duration> {
    let mut times = Vec::new();
    for seed in seeds {
        let mut sim = Simulation::new(size, Net { loss, ..LAN }, seed);
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

/// What happened among members of which none failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quiet {
    /// How often some member dropped another one.
    pub(crate) false_downs: usize,
    pub(crate) datagrams: u64,
}

/// Lets members be for a while; none fails.
pub(crate) fn quiet(size: usize, loss: u64, time: Duration, seed: u64) -> Quiet {
    let mut sim = Simulation::new(size, Net { loss, ..LAN }, seed);
    sim.start_all();
    let before = sim.datagrams;
    sim.run_for(time);
    let false_downs = sim.changes().iter().filter(|(_, _, members)| members.len() < size).count();
    Quiet { false_downs, datagrams: sim.datagrams - before }
}

pub(crate) fn percentile(times: &[Duration], hundredths: usize) -> Duration {
    times[(times.len() - 1) * hundredths / 100]
}
