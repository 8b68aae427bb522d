//! Who gets which address.
//!
//! [`Allocator`] is the book of addresses: pools, who holds what, which address is free. [`Assigner`] drives it from
//! facts and tells what to write where.

mod action;
mod allocator;
mod assigner;
mod book;
mod claim;
mod error;
mod explain;
mod fill;
mod hold;
mod join;
mod journal;
mod keep;
mod pool_index;
mod pools;
mod quarantine;
mod recall;
mod reserved;
mod shared_index;
mod tenants;
mod yielding;

pub use action::{Action, ClearReason, Report, Usage};
pub use allocator::{Allocation, Allocator, Options, SharingOrder};
pub use assigner::{Assigner, Stats};
pub use claim::{Backend, Claim, Sharing};
pub use error::AllocationError;
pub use explain::{Explanation, Outcome, Verdict};
pub use reserved::owned_addresses;
