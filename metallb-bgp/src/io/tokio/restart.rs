//! Which sessions say that this program has just started.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::session::{PeerConfig, PeerKey};

/// The R bit (RFC 4724 §4.2) belongs to the first sessions after a start. Sessions come and go with what is configured,
/// and with every connection of a peer of a range; so this is not theirs to know.
pub(super) struct Restart {
    started: Instant,
    /// Peers that have had their End-of-RIB and whose session is gone.
    done: BTreeSet<PeerKey>,
}

impl Restart {
    pub(super) const fn new(started: Instant) -> Self {
        Self { started, done: BTreeSet::new() }
    }

    /// Whether a new session says it until its End-of-RIB: as long as the peer may still have routes from before the
    /// start.
    pub(super) fn is_said(&self, peer: &PeerKey, config: &PeerConfig, now: Instant) -> bool {
        let restart_time = config.graceful_restart.unwrap_or_default().restart_time;
        now.saturating_duration_since(self.started) < restart_time && !self.done.contains(peer)
    }

    /// A session that was established and has had its End-of-RIB goes. Others need no note, so that strangers in a range
    /// leave none.
    pub(super) fn note(&mut self, peer: &PeerKey, now: Instant) {
        if now.saturating_duration_since(self.started) > LONGEST {
            self.done.clear();
        } else {
            self.done.insert(peer.clone());
        }
    }
}

/// The longest restart time that can be said, and so the longest time a name is kept.
const LONGEST: Duration = Duration::from_secs(4095);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::GracefulRestart;
    use crate::types::{Asn, RemoteAs};

    fn mk_config() -> PeerConfig {
        let mut config =
            PeerConfig::new("192.0.2.1:179".parse().unwrap(), Asn::new(64513), RemoteAs::External, 0);
        config.graceful_restart = Some(GracefulRestart::default());
        config
    }

    // req: G2, !G2
    #[test]
    fn a_peer_is_told_of_a_restart_within_its_restart_time_and_until_its_end_of_rib() {
        let start = crate::io::tokio::engine::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut restart = Restart::new(start);
        let said =
            |restart: &Restart, key: &str, seconds| restart.is_said(&key.into(), &mk_config(), at(seconds));
        assert!(said(&restart, "a", 0) && said(&restart, "a", 119) && !said(&restart, "a", 120));
        restart.note(&"a".into(), at(3));
        assert!(!said(&restart, "a", 4) && said(&restart, "b", 4));
        let mut longer = mk_config();
        longer.graceful_restart =
            Some(GracefulRestart { restart_time: Duration::from_secs(4095), ..GracefulRestart::default() });
        assert!(restart.is_said(&"b".into(), &longer, at(4000)));
        assert!(!restart.is_said(&"a".into(), &longer, at(4000)), "nor later");
        restart.note(&"c".into(), at(4096));
        assert!(restart.done.is_empty(), "nobody says it any more");
    }
}
