//! The announcement engine as a whole: properties and scenarios.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod model;
mod properties;
mod scenarios;
mod world;

/// 64 cases, or as many as `PROPTEST_CASES` says.
fn config() -> proptest::test_runner::Config {
    let default = proptest::test_runner::Config::default();
    let cases = if default.cases == 256 { 64 } else { default.cases };
    proptest::test_runner::Config { cases, failure_persistence: None, ..default }
}
