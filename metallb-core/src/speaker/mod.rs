//! What one speaker does, from its start to its end.
//!
//! A [`Speaker`] runs on every node. It owns the [announcement engine](crate::announce) and knows what the engine does not:
//! when a starting speaker may claim something, what to do about other machines that claim an address of this node, what
//! people are told and when, and how a speaker leaves so that others take over without a gap.
//!
//! It is a state machine. Facts, the [`View`](crate::membership::View) of the other speakers and claims heard on the segment
//! go in, [`Output`]s come out, time is an argument. After every call of [`Speaker::evaluate`], a `handle_*`,
//! [`Speaker::set_departure`] or [`Speaker::stop`] drain [`Speaker::poll_output`], then sleep until
//! [`Speaker::next_timeout`]. Time never goes backwards, and calls that come too early do no harm.
//!
//! ```
//! use metallb_core::facts::Node;
//! use metallb_core::keys::NodeName;
//! use metallb_core::select::Labels;
//! use metallb_core::speaker::{Close, Options, Output, Speaker};
//!
//! let now = std::time::Instant::now();
//! let this = NodeName::new("node-a");
//! let mut speaker = Speaker::new(this.clone(), Options::default());
//! speaker.apply_node(Node::new(this, Labels::new()));
//! speaker.set_interfaces(Default::default());
//! speaker.complete_facts();
//! speaker.evaluate(now);
//! assert!(std::iter::from_fn(|| speaker.poll_output()).any(|output| output == Output::Started));
//!
//! speaker.stop(now);
//! let last = std::iter::from_fn(|| speaker.poll_output()).last();
//! assert_eq!(last, Some(Output::Close(Close::Withdraw)));
//! ```

mod conflicts;
mod contests;
mod drain;
mod machine;
mod output;
mod ownership;
mod partners;
mod problems;
mod report;
mod unheard;

#[cfg(test)]
mod tests;

pub use conflicts::{EVERY_SECOND, SUMMARY};
pub use contests::{HANDOVER, QUIET};
pub use drain::{Close, DEPARTURE_LIMIT, Departure, HANDOVER_LIMIT};
pub use machine::{Claim, Options, Speaker};
pub use output::Output;
pub use partners::MEMORY;
pub use problems::PATIENCE;
pub use report::Report;
