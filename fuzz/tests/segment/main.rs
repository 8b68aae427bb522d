//! Speakers on one segment, in virtual time: the machine of `metallb-core`, its membership and the responder of
//! `metallb-arp`, put together as the daemon does it, and everything that can happen to them in any order.
//!
//! `METALLB_HISTORIES=400` plays as many histories, from `METALLB_FIRST` on; `METALLB_SEED=32` one of them, with its events and
//! what the nodes do. ADR 12 has the figures.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod client;
mod faults;
mod history;
mod node;
mod random;
mod scenarios;
mod segment;
mod truth;
mod watch;

use std::time::Duration;

use faults::Fault;
use watch::Rule;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn whatever_happens_the_owner_answers_and_nobody_else() {
    if let Some(seed) = setting("METALLB_SEED") {
        let watch = history::play(seed, MINUTE, None, true);
        assert!(watch.violations.is_empty(), "{:#?}", watch.violations);
        return;
    }
    let first = setting("METALLB_FIRST").unwrap_or_default();
    let histories = setting("METALLB_HISTORIES").unwrap_or(HISTORIES);
    let (mut moves, mut checks, mut broken) = (0, 0, Vec::new());
    for seed in first..first + histories {
        let watch = history::play(seed, MINUTE, None, false);
        moves += watch.total_moves;
        checks += watch.checks;
        broken.extend(watch.violations.into_iter().next().map(|violation| (seed, violation)));
    }
    println!("{histories} histories, {moves} moves, {checks} checks");
    assert!(broken.is_empty(), "{} histories break a rule: {broken:#?}", broken.len());
}

/// The rules are worth something: each mended fault is found when it is put back.
#[test]
fn mended_faults_are_found_when_they_are_put_back() {
    for (fault, rule) in [
        (Fault::ClaimAtOnce, Rule::MovesAreJustified),
        (Fault::ForgetPartners, Rule::NoDefenceAgainstTheOwner),
        (Fault::DefendAtOnce, Rule::NoDefenceAgainstTheOwner),
        (Fault::LeaveAtOnce, Rule::NoGap),
        (Fault::KeepQuietAfterReunion, Rule::TheCacheIsRight),
    ] {
        let found = (0..ENOUGH).find(|seed| {
            let watch = history::play(*seed, MINUTE, Some(fault), false);
            watch.violations.iter().any(|violation| violation.rule == rule)
        });
        println!("{fault:?} breaks {rule:?} with seed {found:?}");
        assert!(found.is_some(), "{fault:?} is not found in {ENOUGH} histories");
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// Histories that are played without being asked for.
const HISTORIES: u64 = 10;
/// In one of so many histories every fault shows.
const ENOUGH: u64 = 50;
