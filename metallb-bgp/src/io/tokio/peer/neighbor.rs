//! Dialling a peer that is known by its interface.

use std::future::Future;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

use super::super::engine::now;
use super::super::links::Links;
use super::super::socket;
use super::{Link, LinkKind, Peer};
use crate::fsm::State;
use crate::session::{ConnectionId, PeerConfig, SocketError, SocketStep};
use crate::unnumbered::{NoNeighbor, Rotation};

/// What a session over an interface remembers of its neighbours.
#[derive(Default)]
pub(super) struct Neighbors {
    rotation: Rotation,
    /// The session has another neighbour than the engine knows.
    moved: bool,
    /// The last neighbour is the one of the established session.
    proven: bool,
}

/// An attempt for which nobody has been heard yet.
pub(super) type Wait = Pin<Box<Sleep>>;

impl Peer {
    /// Begins an attempt.
    pub(super) fn begin(&mut self, id: ConnectionId, links: &Links) {
        let kind = if self.pick(links).is_ok() {
            LinkKind::Dialing(Box::pin(socket::dial(self.session.config().clone())))
        } else {
            let until = now().checked_add(PATIENCE).unwrap_or_else(now);
            LinkKind::Waiting(Box::pin(sleep_until(until.into())))
        };
        self.links.push(Link { id, kind });
    }

    /// Goes on with an attempt that waits for a router to be heard. Only silence is waited for.
    pub(super) fn poll_waiting(&mut self, cx: &mut Context<'_>, index: usize, links: &Links) -> bool {
        let picked = self.pick(links);
        let Some(Link { id, kind: LinkKind::Waiting(wait) }) = self.links.get_mut(index) else {
            return false;
        };
        let id = *id;
        let Err(reason) = picked else {
            self.links.swap_remove(index);
            self.begin_dial(id);
            return true;
        };
        if reason == NoNeighbor::Silent && wait.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.links.swap_remove(index);
        self.session.handle_no_neighbor(now(), id, reason);
        true
    }

    fn begin_dial(&mut self, id: ConnectionId) {
        let dial = Box::pin(socket::dial(self.session.config().clone()));
        self.links.push(Link { id, kind: LinkKind::Dialing(dial) });
    }

    /// Has the session try the next neighbour, if its peer is unnumbered.
    fn pick(&mut self, links: &Links) -> Result<(), NoNeighbor> {
        let Some(candidates) = candidates(self.session.config(), links) else { return Ok(()) };
        let candidates = candidates?;
        let next = self.neighbors.rotation.pick(&candidates).ok_or(NoNeighbor::Silent)?;
        self.move_to(next, links);
        Ok(())
    }

    /// Takes who is there now. A session without a connection shows, and BFD watches, the one it would try next, unless it
    /// has one that is still there, or whose interface is down for now. A connection over an interface that is gone has
    /// failed.
    pub(in super::super) fn take_neighbors(&mut self, links: &Links) {
        let config = self.session.config();
        let Some(interface) = &config.interface else { return };
        let index = links.index(interface).map_or(0, |index| index.0);
        let is_stale = |remote: SocketAddr| match remote {
            SocketAddr::V6(v6) => v6.scope_id() != 0 && v6.scope_id() != index,
            SocketAddr::V4(_) => false,
        };
        let is_gone = |id: ConnectionId| self.session.endpoints(id).is_some_and(|ends| is_stale(ends.remote));
        let gone: Vec<ConnectionId> =
            self.links.iter().map(|link| link.id).filter(|id| is_gone(*id)).collect();
        let others = self.links.iter().filter(|link| !gone.contains(&link.id));
        let is_idle = others.clone().count() == 0 || self.is_idle();
        let next = match candidates(config, links) {
            _ if !is_idle || (self.session.state() > State::Active && gone.is_empty()) => Next::Same,
            Some(Ok(all)) if all.contains(&config.remote.ip()) && !is_stale(config.remote) => Next::Same,
            Some(Ok(all)) => self.neighbors.rotation.next(&all).map_or(Next::Nobody, Next::Other),
            Some(Err(NoNeighbor::Down)) if !is_stale(config.remote) => Next::Same,
            _ => Next::Nobody,
        };
        match next {
            Next::Same => {}
            Next::Other(neighbor) => self.move_to(neighbor, links),
            Next::Nobody => self.forget_neighbor(),
        }
        let error = SocketError::new(SocketStep::FindInterface, &nix::errno::Errno::ENODEV.into());
        for id in gone {
            self.session.handle_failed(now(), id, error);
        }
    }

    /// A router that was not there before has been heard: a session that waits tries again.
    pub(in super::super) fn call(&mut self, now: Instant) {
        if self.links.is_empty() {
            self.session.handle_path(now);
        }
    }

    /// Whether there is no connection, nor an attempt that has somebody to connect to.
    fn is_idle(&self) -> bool {
        self.links.iter().all(|link| matches!(link.kind, LinkKind::Waiting(_)))
    }

    /// The peer opened a connection from this address.
    pub(in super::super) fn came_from(&mut self, remote: SocketAddr, links: &Links) {
        let is_unnumbered = self.session.config().interface.is_some();
        if is_unnumbered && self.is_idle() && self.session.state() <= State::Active {
            self.move_to(remote.ip(), links);
        }
    }

    /// Whether the session has another neighbour since this was asked last.
    pub(in super::super) const fn take_moved(&mut self) -> bool {
        std::mem::replace(&mut self.neighbors.moved, false)
    }

    /// Remembers with whom there is a session: of two attempts, one from each side, it may be either.
    pub(super) fn note_neighbor(&mut self, links: &Links) {
        let is_up = self.session.state() == State::Established;
        if is_up && !self.neighbors.proven && self.session.config().interface.is_some() {
            let ends = self.links.iter().find_map(|link| self.session.endpoints(link.id));
            if let Some(ends) = ends {
                self.move_to(ends.remote.ip(), links);
                self.neighbors.rotation.succeed(ends.remote.ip());
            }
        }
        self.neighbors.proven = is_up;
    }

    fn move_to(&mut self, neighbor: IpAddr, links: &Links) {
        let config = self.session.config();
        let index = config.interface.as_deref().and_then(|interface| links.index(interface));
        let port = config.remote.port();
        let remote: SocketAddr = match neighbor {
            IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, index.map_or(0, |index| index.0)).into(),
            IpAddr::V4(v4) => (v4, port).into(),
        };
        self.neighbors.moved |= remote != config.remote;
        self.session.set_neighbor(remote);
    }

    fn forget_neighbor(&mut self) {
        let mut remote = self.session.config().remote;
        self.neighbors.moved |= !remote.ip().is_unspecified();
        remote = SocketAddrV6::new(std::net::Ipv6Addr::UNSPECIFIED, remote.port(), 0, 0).into();
        self.session.set_neighbor(remote);
    }
}

/// What becomes of the address of a session without a connection.
enum Next {
    Same,
    Other(IpAddr),
    Nobody,
}

/// With whom a session may be: all neighbours of its interface, of the family of its own address where one is configured;
/// `None` where the peer has an address.
pub(in super::super) fn candidates(
    config: &PeerConfig,
    links: &Links,
) -> Option<Result<Vec<IpAddr>, NoNeighbor>> {
    let interface = config.interface.as_deref()?;
    Some(links.neighbors(interface).and_then(|mut all| {
        all.retain(|neighbor| config.local_address.is_none_or(|own| own.is_ipv4() == neighbor.is_ipv4()));
        if all.is_empty() { Err(NoNeighbor::Silent) } else { Ok(all) }
    }))
}

/// How long an attempt waits for somebody to be heard: one who is asked answers sooner. It ends before an attempt does.
const PATIENCE: Duration = Duration::from_millis(2500);
