//! Peers of this node that have no session, and why.

use std::collections::BTreeMap;

use metallb_core::keys::PeerName;

/// Why peers have no session. What is wrong with a peer and what stands in its way come and go on their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shortfalls {
    /// What of a peer cannot be done.
    own: BTreeMap<PeerName, String>,
    /// The older peer with the same neighbour.
    conflicts: BTreeMap<PeerName, PeerName>,
}

impl Shortfalls {
    /// What a peer asks for cannot be done.
    pub(crate) fn refuse(&mut self, peer: PeerName, reason: String) {
        self.own.insert(peer, reason);
    }

    /// What it asks for can be done, or nobody asks for it any more.
    pub(crate) fn clear(&mut self, peer: &PeerName) {
        self.own.remove(peer);
    }

    /// A peer has an older one in its way, or none any more; what to say of it.
    pub(crate) fn set_conflict(&mut self, peer: &PeerName, with: Option<PeerName>) -> Option<String> {
        let Some(with) = with else {
            self.conflicts.remove(peer);
            return None;
        };
        let reason = conflict(&with);
        self.conflicts.insert(peer.clone(), with);
        Some(reason)
    }

    /// Whether a peer has a session as far as it is about itself.
    pub(crate) fn refuses(&self, peer: &PeerName) -> bool {
        self.own.contains_key(peer)
    }

    /// All peers with what there is to say of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&PeerName, String)> {
        let conflicts = self.conflicts.iter().map(|(peer, with)| (peer, conflict(with)));
        self.own.iter().map(|(peer, reason)| (peer, reason.clone())).chain(conflicts)
    }
}

fn conflict(with: &PeerName) -> String {
    format!("BGPPeer \"{with}\" is the same neighbour and older")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_conflict_leaves_what_is_wrong_with_the_peer_itself() {
        let (mut shortfalls, peer) = (Shortfalls::default(), PeerName::new("young"));
        let said = |shortfalls: &Shortfalls| shortfalls.all().map(|(_, reason)| reason).collect::<Vec<_>>();
        let conflict = "BGPPeer \"old\" is the same neighbour and older";
        assert_eq!(shortfalls.set_conflict(&peer, Some(PeerName::new("old"))).as_deref(), Some(conflict));
        assert_eq!(said(&shortfalls), [conflict]);
        // The session is to be again, and cannot; that comes before the end of the conflict.
        shortfalls.refuse(peer.clone(), "spec.holdTime".to_owned());
        assert_eq!(shortfalls.set_conflict(&peer, None), None);
        assert_eq!(said(&shortfalls), ["spec.holdTime"]);
        shortfalls.clear(&peer);
        assert_eq!(shortfalls, Shortfalls::default());
    }
}
