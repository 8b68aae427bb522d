//! Everything that is written to the API server goes through here.
//!
//! What to write is decided by pure functions ([`ServiceWrite`], [`status`], [`conditions`],
//! [`events`]); a [`Writer`] carries it out: several at a time, those to one object in order, the
//! newest content only, again and again until it is done.

use std::fmt;

use metallb_core::{config::Kind, keys::ServiceKey};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub mod conditions;
pub mod events;
mod perform;
mod service;
mod stats;
pub mod status;
#[cfg(test)]
mod status_tests;
mod writer;

pub use service::{Reconsidered, ServiceWrite};
pub use stats::{BUCKETS, CallStats, Stats, StatsSnapshot};
pub use writer::{Options, Writer};

use crate::{
    crd::{ConfigurationStateStatus, GROUP},
    retry::Subject,
};
use events::EventWrite;
use status::{Component, ServiceStatus, StatusKind};

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
        /// Its identity; an object made anew under the same name is left alone.
        uid: Option<String>,
        /// The new content; keys that are not named stay as they are.
        status: Value,
    },
    /// A `ServiceL2Status` or `ServiceBGPStatus`, made when it does not exist.
    ServiceStatus(ServiceStatus),
    /// Removes a `ServiceL2Status` or `ServiceBGPStatus`.
    RemoveServiceStatus {
        /// Its kind.
        kind: StatusKind,
        /// Its name.
        name: String,
    },
    /// The `ConfigurationState` of a component, made when it does not exist.
    ConfigurationState {
        /// The component.
        component: Component,
        /// What it says.
        status: ConfigurationStateStatus,
    },
    /// An event.
    Event(EventWrite),
}

/// Writes with equal slots follow each other, and a newer one replaces an older that waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Slot {
    Service(ServiceKey),
    Object(Kind, String),
    ServiceStatus(StatusKind, String),
    ConfigurationState,
    Event(String),
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(key) => write!(f, "Service {key}"),
            Self::Object(kind, name) => write!(f, "{kind} {name}"),
            Self::ServiceStatus(StatusKind::Layer2, name) => write!(f, "ServiceL2Status {name}"),
            Self::ServiceStatus(StatusKind::Bgp, name) => write!(f, "ServiceBGPStatus {name}"),
            Self::ConfigurationState => f.write_str("ConfigurationState"),
            Self::Event(name) => write!(f, "Event {name}"),
        }
    }
}

impl Slot {
    /// What is written, as rules of RBAC name it. Without addresses on Services nothing works.
    fn subject(&self) -> Subject {
        match self {
            Self::Service(_) => Subject::needed("patch", "services/status"),
            Self::Object(kind, _) => {
                let (plural, _) = status::resource(*kind);
                Subject::extra("patch", format!("{plural}.{GROUP}/status"))
            }
            Self::ServiceStatus(StatusKind::Layer2, _) => {
                Subject::extra("patch", format!("servicel2statuses.{GROUP}"))
            }
            Self::ServiceStatus(StatusKind::Bgp, _) => {
                Subject::extra("patch", format!("servicebgpstatuses.{GROUP}"))
            }
            Self::ConfigurationState => Subject::extra("patch", format!("configurationstates.{GROUP}")),
            Self::Event(_) => Subject::extra("create", "events"),
        }
    }
}

impl Write {
    fn slot(&self) -> Slot {
        match self {
            Self::Service(write) => Slot::Service(write.key.clone()),
            Self::ObjectStatus { kind, name, .. } => Slot::Object(*kind, name.clone()),
            Self::ServiceStatus(status) => Slot::ServiceStatus(status.content.kind(), status.object_name()),
            Self::RemoveServiceStatus { kind, name } => Slot::ServiceStatus(*kind, name.clone()),
            Self::ConfigurationState { .. } => Slot::ConfigurationState,
            Self::Event(event) => Slot::Event(event.name().to_owned()),
        }
    }
}

/// Sixteen hexadecimal digits, the same for the same text.
fn short_hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let head = digest.iter().take(8).fold(0_u64, |head, byte| (head << 8) | u64::from(*byte));
    format!("{head:016x}")
}
