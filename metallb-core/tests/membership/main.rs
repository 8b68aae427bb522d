//! The membership engine among simulated members.
#![cfg(feature = "membership")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unchecked_time_subtraction,
    reason = "helpers of tests"
)]

mod behaviour;
mod figures;
mod hostile;
mod measure;
mod robustness;
mod simulation;
mod takeover;

/// 64 cases, or as many as `PROPTEST_CASES` says.
fn config() -> proptest::test_runner::Config {
    let default = proptest::test_runner::Config::default();
    let cases = if default.cases == 256 { 64 } else { default.cases };
    proptest::test_runner::Config { cases, failure_persistence: None, ..default }
}
