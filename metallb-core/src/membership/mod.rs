//! Which speakers live: a sans-IO heartbeat engine.
//!
//! Every member sends one small datagram to every other member per interval and counts a member down
//! after [`Timing::misses`] silent intervals. A member that is silent here but heard by a member that is
//! heard here stays a member, so that a partial failure of the network does not make two owners.
//! For the same reason a member that nobody hears, by what all the others say, leaves its own list of members
//! until it is heard again. After a time apart [`Event::Reunited`] says that there may have been two owners.
//!
//! Nothing is believed that may be a recording: a member counts (as alive, as leaving, in what it says of itself and of
//! others) only after it has named the [`Token`] that this run gave it, which changes whenever the member is silent for
//! too long. What was believed of a run is forgotten when the next one proves itself, so that a lie lasts no longer than
//! two detection times after its author stops.
//!
//! [`Membership`] is a state machine: the caller owns the socket, the clock and the sealing of datagrams
//! (what goes in and out of here is plain text). After every call of a `handle_*`, `set_*` or
//! [`Membership::leave`], drain [`Membership::poll_transmit`] and [`Membership::poll_event`], then sleep
//! until [`Membership::next_timeout`].
//!
//! ```
//! use metallb_core::keys::NodeName;
//! use metallb_core::membership::{Arrival, Config, Epoch, Event, Membership, Peer};
//! use std::collections::BTreeMap;
//!
//! let start = std::time::Instant::now();
//! let a = NodeName::new("a");
//! let b = NodeName::new("b");
//! let mut at_a = Membership::new(start, Config::new(a.clone(), Epoch::new(1), 7))?;
//! let mut at_b = Membership::new(start, Config::new(b.clone(), Epoch::new(1), 8))?;
//! at_a.set_peers(start, BTreeMap::from([(b.clone(), Peer::new("192.0.2.2:7946".parse()?, true))]));
//! at_b.set_peers(start, BTreeMap::from([(a.clone(), Peer::new("192.0.2.1:7946".parse()?, true))]));
//!
//! // The network: what one sends, the other receives, and answers.
//! let clock = std::time::Duration::from_secs(1_800_000_000);
//! let (to_a, to_b) = ("192.0.2.1".parse()?, "192.0.2.2".parse()?);
//! let mut datagram = Vec::new();
//! for _round in 0..3 {
//!     while at_a.poll_transmit(&mut datagram).is_some() {
//!         at_b.handle_datagram(start, Arrival::new(to_a, clock), &datagram)?;
//!     }
//!     while at_b.poll_transmit(&mut datagram).is_some() {
//!         at_a.handle_datagram(start, Arrival::new(to_b, clock), &datagram)?;
//!     }
//! }
//! assert!(std::iter::from_fn(|| at_b.poll_event()).any(|event| event == Event::Settled));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod engine;
mod metadata;
mod peer;
mod rejected;
mod roster;
mod rotation;
mod token;
mod transfer;
mod view;
pub mod wire;

pub use config::{Config, ConfigError, Epoch, Timing, TimingError};
pub use engine::{Arrival, DropReason, Event, Membership, Rejected, Stats, Transmit};
pub use metadata::{InterfaceFacts, MAX_METADATA_LEN, Metadata, MetadataError};
pub use peer::{Peer, PeerView, Status};
pub use rotation::{KeyId, Rotation};
pub use token::Token;
pub use view::View;
