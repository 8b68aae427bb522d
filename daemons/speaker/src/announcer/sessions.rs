//! BGP sessions: what the driver is told of them, and what it tells.

use std::sync::Arc;
use std::time::Instant;

use metallb_bgp::session::{
    CloseReason, NegotiatedSnapshot, PeerConfig, PeerKey, StopReason, WithheldReason,
};
use metallb_bgp::types::Family;
use metallb_core::config::{BfdProfile, Peer};
use metallb_core::keys::PeerName;
use metallb_k8s::write::events::Severity;

use crate::inputs::Inputs;
use crate::translate;

use super::{Announcer, Disagreement};

impl Announcer {
    pub(super) fn peer(&mut self, name: PeerName, peer: Option<Arc<Peer>>) {
        self.watched.remove(&name);
        let key = translate::peer_key(&name);
        let Some(peer) = peer else {
            tracing::info!(protocol = "bgp", peer = %name, "session removed");
            self.shortfalls.clear(&name);
            self.disagreements.remove(&name);
            self.deliveries.remove(&name);
            self.drivers.bgp.remove_peer(&key, StopReason::Deconfigured);
            return;
        };
        let profile = self.profile(&peer);
        match translate::session(&peer, profile.as_deref(), self.drivers.sessions) {
            Ok(session) => {
                tracing::info!(protocol = "bgp", peer = %name, address = %session.remote_name(), "session configured");
                // Of other families, or of another router, is known only what the next session shows.
                let is_other = |found: &Disagreement| {
                    (found.remote, found.families) != (session.remote, session.families)
                };
                if self.disagreements.get(&name).is_some_and(is_other) {
                    self.disagreements.remove(&name);
                }
                self.drivers.bgp.set_peer(key, session);
                self.shortfalls.clear(&name);
                if peer.bfd.is_some() {
                    self.watched.insert(name, (peer, profile));
                }
            }
            Err(error) => {
                self.disagreements.remove(&name);
                self.refuse(name, error.to_string());
                self.drivers.bgp.remove_peer(&key, StopReason::Deconfigured);
            }
        }
    }

    /// A session is established, with what both sides agreed on.
    pub(crate) fn established(&mut self, key: &PeerKey, session: &NegotiatedSnapshot) {
        let families = translate::words(&session.families);
        let capabilities = translate::words(&session.peer_capabilities);
        tracing::info!(protocol = "bgp", peer = %key, families, capabilities, "session established");
        self.tell_node(Severity::Normal, "BGPPeerUp", format!("BGP session {key} is up: {families}"));
        let name = PeerName::new(key.as_str());
        let agreed = session.families.iter().copied().map(translate::family).collect();
        self.deliveries.handle_established(&name, agreed);
        let Some(message) = session.explain_missing(&translate::SETTINGS) else {
            if self.disagreements.remove(&name).is_some() {
                tracing::info!(protocol = "bgp", peer = %key, "every family is agreed on again");
                self.report_configuration();
            }
            return;
        };
        let Some(settings) = self.settings(&name) else { return };
        let found = Disagreement { message, remote: settings.remote, families: settings.families };
        if self.disagreements.get(&name) != Some(&found) {
            let message = found.message.as_str();
            tracing::warn!(protocol = "bgp", peer = %key, error = message, "a family is not agreed on");
            let message = format!("BGP session {key}: {message}");
            self.disagreements.insert(name, found);
            self.tell_node(Severity::Warning, "BGPFamilyNotAgreed", message);
            self.report_configuration();
        }
    }

    /// A session has ended.
    pub(crate) fn ended(&mut self, key: &PeerKey) {
        self.deliveries.handle_ended(Instant::now(), &PeerName::new(key.as_str()));
    }

    /// Routes of a family are withheld from a peer, or are not any more.
    pub(crate) fn withheld(
        &mut self,
        inputs: &Inputs,
        key: &PeerKey,
        family: Family,
        reason: Option<WithheldReason>,
    ) {
        let name = PeerName::new(key.as_str());
        self.deliveries.handle_withheld(&name, translate::family(family), reason.is_some());
        if let Some(reason) = reason {
            tracing::warn!(protocol = "bgp", peer = %key, %family, error = %reason, "no next hop, routes withheld");
            let message = format!("BGP session {key}: {family} routes are not sent: {reason}");
            self.tell_node(Severity::Warning, "BGPRoutesWithheld", message);
        } else {
            tracing::info!(protocol = "bgp", peer = %key, %family, "there is a next hop again, routes are sent");
        }
        self.follow_deliveries(inputs);
    }

    /// A peer has been sent everything there is for it.
    pub(crate) fn advertised(&mut self, inputs: &Inputs, key: &PeerKey) {
        self.deliveries.handle_complete(&PeerName::new(key.as_str()));
        self.follow_deliveries(inputs);
    }

    /// Has the statuses name the peers that have the routes.
    pub(super) fn follow_deliveries(&mut self, inputs: &Inputs) {
        self.machine.set_receipts(Some(self.deliveries.receipts()));
        self.evaluate(inputs);
    }

    fn refuse(&mut self, peer: PeerName, reason: String) {
        self.deliveries.remove(&peer);
        tracing::error!(protocol = "bgp", %peer, error = reason, "no session with the peer");
        self.shortfalls.refuse(peer, reason);
    }

    /// The BFD profile of a peer; one that does not exist (yet) is none.
    fn profile(&self, peer: &Peer) -> Option<Arc<BfdProfile>> {
        self.config.bfd_profiles().get(peer.bfd.as_ref()?).map(Arc::clone)
    }

    /// Has BFD follow the profiles that appeared, changed or went. The sessions go on.
    pub(super) fn follow_profiles(&mut self) {
        let changed = self.watched.iter().filter(|(_, (peer, profile))| self.profile(peer) != *profile);
        let changed: Vec<(PeerName, Arc<Peer>)> =
            changed.map(|(name, (peer, _))| (name.clone(), Arc::clone(peer))).collect();
        for (name, peer) in changed {
            tracing::info!(protocol = "bgp", peer = %name, profile = ?peer.bfd, "BFD profile changed");
            self.peer(name, Some(peer));
        }
    }

    /// Why a session ended or does not come up, in a sentence.
    pub(crate) fn explain(&self, key: &PeerKey, reason: &CloseReason) -> String {
        match self.settings(&PeerName::new(key.as_str())) {
            Some(session) => reason.explain(&session, &translate::SETTINGS).to_string(),
            // The peer is gone from the configuration.
            None => reason.to_string(),
        }
    }

    /// The settings of a peer's session, as far as it is configured.
    fn settings(&self, name: &PeerName) -> Option<PeerConfig> {
        translate::session(self.config.peers().get(name)?, None, self.drivers.sessions).ok()
    }
}
