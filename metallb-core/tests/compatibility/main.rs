//! What MetalLB takes and what it refuses, case by case, and that one refusal leaves everything else in force.
//!
//! Where we differ on purpose the case says so; `docs/compatibility.md` tells users.

mod bgp;
mod layer2;
mod page;
mod peers;
mod pools;
mod support;
