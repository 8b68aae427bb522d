//! Who gets which address.
//!
//! [`Allocator`] is the book of addresses: pools, who holds what, which address is free. [`Assigner`] drives it from
//! facts and tells what to write where.

mod action;
mod error;

pub use action::{Action, ClearReason, Report, Usage};
pub use error::AllocationError;
