//! Definitions, conversion and judgement of the custom resources.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod definitions;
mod judgement;
mod versions;
