//! The finite state machine of RFC 4271 §8, as a pure table.
//!
//! [`step`] maps a state, an event and the conditions the RFC names to the next state and what is
//! to be done. It holds nothing: [`Session`](crate::session::Session) runs it once per TCP
//! connection and does what it says. The whole table, as the tests print it, is in
//! `docs/compliance/bgp-fsm.md`.

mod action;
mod event;
mod state;
mod transition;

#[cfg(test)]
mod tests;

pub use action::{Action, Notice};
pub use event::Event;
pub use state::State;
pub use transition::{Conditions, Transition, step};
