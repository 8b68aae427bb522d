//! Talking to a lab that is up: one line of JSON each way over a socket in its directory.

pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod status;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::router::{RouterRoute, RouterSession};

/// What a lab can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Request {
    /// Says how everything is.
    Status,
    /// Takes a node's power away: link and speaker at once.
    Kill {
        /// The node.
        node: String,
    },
    /// Pulls a node's cable; its speaker runs on.
    Cut {
        /// The node.
        node: String,
    },
    /// Puts a node's cable back in and starts its speaker if it does not run.
    Heal {
        /// The node.
        node: String,
    },
    /// Ends the lab.
    Down,
}

/// What a lab answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Response {
    /// It is done.
    Done,
    /// How everything is.
    Status(Box<Status>),
    /// It cannot be done.
    Refused {
        /// Why, with the remedy.
        reason: String,
    },
}

/// How everything in a lab is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Status {
    /// Name of the lab.
    pub name: String,
    /// Kubeconfig for kubectl on the host.
    pub kubeconfig: String,
    /// URL of the API server on the host.
    pub api: String,
    /// Directory with the logs.
    pub logs: String,
    /// The controller's process, in words.
    pub controller: String,
    /// Nodes by name.
    pub nodes: BTreeMap<String, NodeStatus>,
    /// Services of type LoadBalancer, as `namespace/name`.
    pub services: BTreeMap<String, ServiceStatus>,
    /// The router.
    pub router: RouterStatus,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its addresses on the segment.
    pub addresses: Vec<String>,
    /// Whether its cable is in.
    pub link_up: bool,
    /// Its speaker's process, in words.
    pub speaker: String,
    /// The speaker's BGP sessions, as it tells them itself; none while it does not run.
    pub sessions: Vec<SpeakerSession>,
}

/// A BGP session as the speaker sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all(deserialize = "camelCase"))]
#[non_exhaustive]
pub struct SpeakerSession {
    /// Name of the BGPPeer.
    pub peer: String,
    /// Its address and port.
    pub remote: String,
    /// State of the session, in the words of RFC 4271.
    pub state: String,
    /// Why it last ended or could not begin.
    #[serde(alias = "last_error")]
    pub last_error: Option<String>,
    /// How many prefixes are announced.
    pub advertised: u64,
    /// Sessions so far, this one included.
    #[serde(default)]
    pub established: u64,
    /// BFD on the way to the peer, when it is watched.
    #[serde(default)]
    pub bfd: Option<SpeakerPath>,
}

/// A path watched by BFD, as the speaker sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all(deserialize = "camelCase"))]
#[non_exhaustive]
pub struct SpeakerPath {
    /// Name of the BGPPeer.
    pub peer: String,
    /// State, in the words of RFC 5880.
    pub state: String,
    /// For how long, in whole seconds.
    #[serde(alias = "for_seconds")]
    pub for_seconds: u64,
    /// Silence after which the path is down, in milliseconds, once both sides agreed.
    #[serde(alias = "detection_time_millis")]
    pub detection_time_millis: Option<f64>,
}

impl fmt::Display for SpeakerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}", self.peer, self.remote, self.state)?;
        if let Some(path) = &self.bfd {
            write!(f, ", BFD {}", path.state)?;
            if let Some(millis) = path.detection_time_millis {
                write!(f, " ({millis} ms)")?;
            }
        }
        match &self.last_error {
            Some(error) if self.state != "Established" => write!(f, ": {error}"),
            _ => Ok(()),
        }
    }
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Addresses it was given; none while it waits.
    pub addresses: Vec<String>,
    /// The node that announces it by ARP and NDP.
    pub layer2: Option<String>,
    /// Per node that announces it by BGP, to which peers.
    pub bgp: BTreeMap<String, Vec<String>>,
}

/// The router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RouterStatus {
    /// Which it is.
    pub kind: String,
    /// Its BGP sessions.
    pub sessions: Vec<RouterSession>,
    /// Routes it received by BGP.
    pub received: Vec<RouterRoute>,
    /// Next hops per prefix in its kernel.
    pub kernel: BTreeMap<String, Vec<String>>,
}
