//! Everything that is written to the API server goes through here.

mod stats;

pub use stats::{BUCKETS, CallStats, Stats, StatsSnapshot};
