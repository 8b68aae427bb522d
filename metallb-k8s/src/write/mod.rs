//! Everything that is written to the API server goes through here.
//!
//! What to write is decided by pure functions ([`ServiceWrite`], [`status`], [`conditions`],
//! [`events`]); a [`Writer`] carries it out: several at a time, what users wait for first, those to one
//! object in order, the newest content only and at most once a second, again and again until it is done.
//!
//! A write names the version of the object that it was decided on, and changes no other: one that comes
//! late, from before a restart perhaps, undoes nothing newer. It is given up then and decided on anew.
//!
//! Where somebody else keeps undoing what is written, the pauses grow, and that is told once ([`Contest`]).

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use metallb_core::{config::Kind, keys::ServiceKey};
use serde_json::Value;
use sha2::{Digest, Sha256};

mod backlog;
pub mod conditions;
mod contest;
pub mod events;
mod identity;
mod pace;
mod perform;
mod service;
pub mod state;
mod stats;
pub mod status;
#[cfg(test)]
mod status_tests;
mod writer;

pub(crate) use contest::rewritten_by;
pub use contest::{CONTESTED, Contest};
pub use identity::Identity;
pub use service::{Reconsidered, ServiceWrite};
pub use stats::{BUCKETS, CallStats, Stats, StatsSnapshot};
pub use writer::{Options, Writer};

use crate::{
    crd::{ConfigurationStateStatus, GROUP},
    retry::Subject,
};
use backlog::Lane;
use events::EventWrite;
use pace::Content;
use state::StateFound;
use status::{Component, Found, OwnKind, ServiceStatus, StatusKind};

/// Something to write.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Write {
    /// Addresses of a Service.
    Service(ServiceWrite),
    /// The status of a configuration object, from [`status::plan_object_status`].
    ObjectStatus {
        /// Kind of the object.
        kind: Kind,
        /// Its name.
        name: String,
        /// The version that this was decided on; a newer one, or an object made anew under the same name, is left alone.
        based_on: Identity,
        /// The field manager that wrote the status last, where that was not us.
        rewritten_by: Option<Arc<str>>,
        /// The new content; keys that are not named stay as they are.
        status: Value,
    },
    /// A `ServiceL2Status` or `ServiceBGPStatus`, made when it does not exist.
    ServiceStatus {
        /// What it says.
        status: ServiceStatus,
        /// What this was decided on; `None`: there was none.
        based_on: Option<Found>,
    },
    /// The `ConfigurationState` of a component, made when it does not exist.
    ConfigurationState {
        /// The component.
        component: Component,
        /// What it says.
        status: ConfigurationStateStatus,
        /// What this was decided on.
        found: StateFound,
    },
    /// Removes a status resource.
    Remove {
        /// Its kind.
        kind: OwnKind,
        /// Its name.
        name: String,
        /// The version that this was decided on, a newer one is left alone. `None`: whatever a write makes that is still
        /// waiting or under way, and nothing else.
        based_on: Option<Identity>,
    },
    /// An event.
    Event(EventWrite),
}

/// An object that is written to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "whoever decides must know all")]
pub enum Target {
    /// The addresses of a Service.
    Service(ServiceKey),
    /// The status of a configuration object, by kind and name.
    Object(Kind, String),
    /// A status resource, by kind and name.
    Own(OwnKind, String),
}

/// Writes with equal slots follow each other, and a newer one replaces an older that waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Slot {
    Service(ServiceKey),
    Object(Kind, Box<str>),
    Own(OwnKind, Box<str>),
    Event(Box<str>),
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(key) => write!(f, "Service {key}"),
            Self::Object(kind, name) => write!(f, "{kind} {name}"),
            Self::Own(kind, name) => write!(f, "{kind} {name}"),
            Self::Event(name) => write!(f, "Event {name}"),
        }
    }
}

impl Slot {
    /// The object, for those who decide about it. Nobody does about events.
    fn target(&self) -> Option<Target> {
        match self {
            Self::Service(key) => Some(Target::Service(key.clone())),
            Self::Object(kind, name) => Some(Target::Object(*kind, name.to_string())),
            Self::Own(kind, name) => Some(Target::Own(*kind, name.to_string())),
            Self::Event(_) => None,
        }
    }

    /// How early it is written.
    const fn lane(&self) -> Lane {
        match self {
            Self::Service(_) | Self::Own(OwnKind::Service(StatusKind::Layer2), _) => Lane::Wanted,
            Self::Event(_) => Lane::Events,
            Self::Object(..) | Self::Own(..) => Lane::Statuses,
        }
    }

    /// Whether it is one object that is written again and again. Events have budgets of their own.
    const fn is_paced(&self) -> bool {
        !matches!(self, Self::Event(_))
    }

    /// What is written, as rules of RBAC name it. Without addresses on Services nothing works.
    fn subject(&self) -> Subject {
        match self {
            Self::Service(_) => Subject::needed("patch", "services/status"),
            Self::Object(kind, _) => {
                let (plural, _) = status::resource(*kind);
                Subject::extra("patch", format!("{plural}.{GROUP}/status"))
            }
            Self::Own(kind, _) => Subject::extra("patch", format!("{}.{GROUP}", kind.plural())),
            Self::Event(_) => Subject::extra("create", "events"),
        }
    }
}

impl Target {
    fn slot(&self) -> Slot {
        match self {
            Self::Service(key) => Slot::Service(key.clone()),
            Self::Object(kind, name) => Slot::Object(*kind, name.as_str().into()),
            Self::Own(kind, name) => Slot::Own(*kind, name.as_str().into()),
        }
    }
}

impl Write {
    /// Whether this was decided before our own write that `made` a version was seen, which shows in what it is based on; where
    /// that is nothing, `is_waiting_older` says.
    fn is_older_than(&self, made: &Identity, is_waiting_older: bool) -> bool {
        let based_on = match self {
            Self::Service(write) => &write.identity,
            Self::ObjectStatus { based_on, .. }
            | Self::ServiceStatus { based_on: Some(Found { identity: based_on, .. }), .. }
            | Self::Remove { based_on: Some(based_on), .. } => based_on,
            Self::Remove { based_on: None, .. } => return true,
            Self::ServiceStatus { based_on: None, .. }
            | Self::ConfigurationState { found: StateFound::Nothing, .. } => return is_waiting_older,
            Self::ConfigurationState { found: StateFound::State { found, .. }, .. } => &found.identity,
            Self::ConfigurationState { found: StateFound::Unknown, .. } | Self::Event(_) => return false,
        };
        based_on.uid() == made.uid() && !based_on.is_later_than(made)
    }

    /// The field manager that wrote last what this replaces, where that was somebody else.
    fn rewritten_by(&self) -> Option<Arc<str>> {
        match self {
            Self::Service(write) => write.rewritten_by.clone(),
            Self::ObjectStatus { rewritten_by, .. } => rewritten_by.clone(),
            Self::ServiceStatus { based_on, .. } => based_on.as_ref()?.rewritten_by.clone(),
            Self::ConfigurationState { found: StateFound::State { found, .. }, .. } => {
                found.rewritten_by.clone()
            }
            Self::ConfigurationState { .. } | Self::Remove { .. } | Self::Event(_) => None,
        }
    }

    /// Has this write build on a version that we made.
    fn rebase(&mut self, made: &Identity) {
        match self {
            Self::Service(write) => write.identity = made.clone(),
            Self::ObjectStatus { based_on, .. } => *based_on = made.clone(),
            Self::ServiceStatus { based_on, .. } => {
                *based_on = Some(Found { identity: made.clone(), is_labelled: true, rewritten_by: None });
            }
            Self::Remove { based_on, .. } => *based_on = Some(made.clone()),
            Self::ConfigurationState { found, .. } => {
                let made = Found { identity: made.clone(), is_labelled: true, rewritten_by: None };
                *found = StateFound::State { found: made, kept: None };
            }
            Self::Event(_) => {}
        }
    }

    /// Equal for writes after which the same object says the same.
    fn content(&self) -> Content {
        Content { object: self.object(), text: self.text() }
    }

    /// Which object of the name it is. Those that others make and delete are told apart by their uid: a new one is no work
    /// of somebody who undoes what was written to the old one. Ours are made by this very write.
    fn object(&self) -> u64 {
        let uid = match self {
            Self::Service(write) => write.identity.uid(),
            Self::ObjectStatus { based_on, .. } => based_on.uid(),
            Self::ServiceStatus { .. }
            | Self::ConfigurationState { .. }
            | Self::Remove { .. }
            | Self::Event(_) => "",
        };
        let mut hasher = DefaultHasher::new();
        uid.hash(&mut hasher);
        hasher.finish()
    }

    /// What the object says after this. Times of conditions do not count.
    fn text(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        match self {
            Self::Service(write) => (&write.addresses, &write.pools).hash(&mut hasher),
            Self::ObjectStatus { status, .. } => status::timeless(status).to_string().hash(&mut hasher),
            Self::ServiceStatus { status, .. } => status.hash(&mut hasher),
            Self::ConfigurationState { status, .. } => {
                status::timeless(&serde_json::json!(status)).to_string().hash(&mut hasher);
            }
            Self::Remove { .. } | Self::Event(_) => {}
        }
        hasher.finish()
    }

    fn slot(&self) -> Slot {
        match self {
            Self::Service(write) => Slot::Service(write.key.clone()),
            Self::ObjectStatus { kind, name, .. } => Slot::Object(*kind, name.as_str().into()),
            Self::ServiceStatus { status, .. } => {
                Slot::Own(OwnKind::Service(status.content.kind()), status.object_name().into())
            }
            Self::ConfigurationState { component, .. } => {
                Slot::Own(OwnKind::Configuration, component.state_name().into())
            }
            Self::Remove { kind, name, .. } => Slot::Own(*kind, name.as_str().into()),
            Self::Event(event) => Slot::Event(event.name().into()),
        }
    }
}

/// Sixteen hexadecimal digits, the same for the same text.
fn short_hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let head = digest.iter().take(8).fold(0_u64, |head, byte| (head << 8) | u64::from(*byte));
    format!("{head:016x}")
}
