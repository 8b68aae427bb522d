//! The lab's router: it takes BGP sessions from the nodes and puts their routes into its kernel,
//! several next hops per prefix.

mod bird;
mod builtin;
mod frr;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::net::{Room, routes};
use crate::options::{Options, RouterKind};
use crate::state::StateDir;

/// A BGP session as the router sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RouterSession {
    /// The peer's address.
    pub peer: IpAddr,
    /// The peer's AS number, when it is known.
    pub asn: Option<u32>,
    /// State of the session, in the words of RFC 4271.
    pub state: String,
    /// Prefixes received.
    pub prefixes: u64,
}

/// A route as the router received it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RouterRoute {
    /// The prefix.
    pub prefix: String,
    /// Where packets go.
    pub next_hop: IpAddr,
    /// AS path, as text.
    pub as_path: String,
    /// Standard and large communities, as text.
    pub communities: Vec<String>,
}

/// The running router.
#[derive(Debug)]
pub(crate) enum Router {
    BuiltIn(builtin::BuiltIn),
    Bird(bird::Bird),
    Frr(frr::Frr),
}

impl Router {
    /// Starts the router in its namespace.
    pub(crate) async fn start(options: &Options, room: &Arc<Room>, dir: &StateDir) -> Result<Self, Error> {
        let bfd = options.bfd;
        match options.router {
            RouterKind::BuiltIn => builtin::BuiltIn::start(room, bfd).await.map(Self::BuiltIn),
            RouterKind::Bird => bird::Bird::start(room, dir, bfd).await.map(Self::Bird),
            RouterKind::Frr => frr::Frr::start(room, dir, bfd).await.map(Self::Frr),
        }
    }

    /// What kind it is.
    pub(crate) const fn kind(&self) -> RouterKind {
        match self {
            Self::BuiltIn(_) => RouterKind::BuiltIn,
            Self::Bird(_) => RouterKind::Bird,
            Self::Frr(_) => RouterKind::Frr,
        }
    }

    /// Its sessions, by peer.
    pub(crate) async fn sessions(&self) -> Result<Vec<RouterSession>, Error> {
        let mut sessions = match self {
            Self::BuiltIn(router) => router.sessions().await,
            Self::Bird(router) => router.sessions().await?,
            Self::Frr(router) => router.sessions().await?,
        };
        sessions.sort();
        Ok(sessions)
    }

    /// The routes it received, by prefix and next hop.
    pub(crate) async fn received(&self) -> Result<Vec<RouterRoute>, Error> {
        let mut received = match self {
            Self::BuiltIn(router) => router.received().await,
            Self::Bird(router) => router.received().await?,
            Self::Frr(router) => router.received().await?,
        };
        received.sort();
        received.dedup();
        Ok(received)
    }
}

/// The routes in the router's kernel.
pub(crate) async fn kernel_routes(room: &Room) -> Result<routes::Table, Error> {
    routes::learned(room).await
}

/// Checks that the programs of a router are there, before anything is started.
pub(crate) fn check(options: &Options) -> Result<(), Error> {
    match options.router {
        RouterKind::BuiltIn => Ok(()),
        RouterKind::Bird => bird::program().map(drop),
        RouterKind::Frr => {
            for daemon in frr::daemons(options.bfd) {
                frr::program(daemon)?;
            }
            if geteuid().is_root() { Ok(()) } else { Err(Error::RouterNeedsRoot) }
        }
    }
}

/// Finds a program in some directories or on the path.
fn find(name: &str, directories: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    directories
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .chain(std::env::split_paths(&path).map(|directory| directory.join(name)))
        .find(|candidate| candidate.is_file())
}
