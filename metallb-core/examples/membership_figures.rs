//! How fast the death of a member is found, how often one is dropped that lives, and what that costs: members in
//! virtual time, datagrams lost and delayed by seeded generators.
//!
//! ```text
//! cargo run --release -p metallb-core --features membership --example membership_figures [MINUTES [SIZE...]]
//! ```
//!
//! `MINUTES` (60): simulated time in which nobody fails, for each row. `SIZE`s (3 5 20 100): numbers of members. An
//! hour of 100 members is 710 million datagrams.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unchecked_time_subtraction,
    reason = "a program for developers"
)]

#[path = "../tests/membership/measure.rs"]
mod measure;
#[path = "../tests/membership/simulation.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod simulation;

use std::time::Duration;

use measure::{detection_times, percentile, quiet};

fn main() {
    let mut words = std::env::args().skip(1).map(|word| word.parse().unwrap_or_else(|_| usage(&word)));
    let minutes = words.next().unwrap_or(60);
    let sizes: Vec<u64> = words.collect();
    let sizes = if sizes.is_empty() { vec![3, 5, 20, 100] } else { sizes };
    println!(
        "| members | loss | dead found: p50 | p99 | most | kills × survivors | dropped falsely | CPU per member |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for size in sizes {
        for loss in [0, 1, 5] {
            row(usize::try_from(size).unwrap(), loss, Duration::from_secs(60 * minutes));
        }
    }
    println!(
        "\nKills: seeds {KILLS:?}, one each. False drops: seed {SEED}. Delay of a datagram: 0.1 to 0.4 ms."
    );
    println!("CPU: of the engine and its simulation together, without sockets and sealing.");
}

fn row(size: usize, percent: u64, time: Duration) {
    let loss = percent * 10_000;
    let times = detection_times(size, loss, KILLS);
    let ms = |hundredths| percentile(&times, hundredths).as_millis();
    let before = cpu_time();
    let quiet = quiet(size, loss, time, SEED);
    let cpu = before.zip(cpu_time()).map_or_else(
        || "unknown".to_owned(),
        |(before, after)| {
            let per_member =
                (after - before).as_secs_f64() / time.as_secs_f64() / f64::from(u32::try_from(size).unwrap());
            format!("{:.3} %", per_member * 100.0)
        },
    );
    println!(
        "| {size} | {percent} % | {} ms | {} ms | {} ms | {} × {} | {} in {} min, {} datagrams | {cpu} |",
        ms(50),
        ms(99),
        ms(100),
        KILLS.end - KILLS.start,
        size - 1,
        quiet.false_downs,
        time.as_secs() / 60,
        quiet.datagrams,
    );
}

/// What this process has used, where the system tells.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

fn usage(word: &str) -> u64 {
    eprintln!("{word:?} is not a number; membership_figures [MINUTES [SIZE...]]");
    std::process::exit(2)
}

/// Seeds of the runs in which a member is killed.
const KILLS: std::ops::Range<u64> = 1_000..1_030;
/// Seed of the runs in which nobody fails.
const SEED: u64 = 77;
