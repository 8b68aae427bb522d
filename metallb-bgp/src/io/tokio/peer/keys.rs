//! Authentication of a peer's connections.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use tokio::net::TcpStream;

use super::super::authenticate;
use super::{LinkKind, Peer};
use crate::session::{
    AuthenticationError, ConnectionId, PeerConfig, Reconfigured, SocketError, SocketStep, StopReason,
};
use crate::table::AdvTable;

impl Peer {
    /// Takes a new configuration; keys of open connections roll over, or the session starts again.
    pub(in super::super) fn reconfigure(&mut self, now: Instant, config: PeerConfig, table: &mut AdvTable) {
        let change = self.session.reconfigure(now, config, table);
        if change != Reconfigured::Live {
            return;
        }
        if let Err(error) = self.ensure_keys() {
            tracing::warn!(peer = %self.session.key(), %error, "keys cannot roll over, the session starts again");
            self.session.stop(now, &StopReason::ConfigChanged, table);
        }
    }

    /// A connection cannot be had because of its keys.
    pub(in super::super) fn refuse(&mut self, now: Instant, error: AuthenticationError) {
        if let Some(untold) = self.refusals.tell(now) {
            tracing::warn!(peer = %self.session.key(), %error, untold, "connection refused");
        }
        self.session.handle_unauthenticated(now, None, error);
    }

    /// Tells the session that an attempt failed.
    pub(super) fn dial_failed(&mut self, now: Instant, id: ConnectionId, error: &io::Error) {
        let inner = error.get_ref();
        if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<AuthenticationError>()) {
            return self.session.handle_unauthenticated(now, Some(id), *error);
        }
        let known = inner.and_then(|inner| inner.downcast_ref::<SocketError>()).copied();
        let error = known.unwrap_or_else(|| SocketError::new(SocketStep::Connect, error));
        self.session.handle_failed(now, id, error);
    }

    /// Sees to it that a new connection is authenticated as configured now.
    pub(super) fn ensure(&self, stream: &TcpStream) -> Result<(), AuthenticationError> {
        let remote = self.session.config().remote.ip();
        authenticate::ensure(stream.as_fd(), remote, &self.session.config().authentication)
    }

    fn ensure_keys(&self) -> Result<(), AuthenticationError> {
        let open = self.links.iter().filter_map(|link| match &link.kind {
            LinkKind::Open(open) => Some(&open.stream),
            LinkKind::Dialing(_) | LinkKind::Waiting(_) => None,
        });
        open.into_iter().try_for_each(|stream| self.ensure(stream))
    }
}
