//! What the API server says: services, their endpoints and the configuration.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use metallb_core::config::ConfigError;
use metallb_core::keys::{PeerName, ServiceKey};
use metallb_k8s::convert::{Judgement, configure, held_back};
use metallb_k8s::watch::ObjectKey;
use metallb_k8s::write::events::Severity;
use metallb_k8s::write::status::StatusKind;

use crate::inputs::Inputs;

use super::Announcer;

impl Announcer {
    /// Takes where speakers are ready, by their Pods.
    pub(super) fn ready_speakers(&mut self, inputs: &Inputs) {
        let Some(pods) = &inputs.speakers else { return };
        let pods = pods.all().into_iter().map(|(_, pod)| pod);
        self.machine.set_ready(pods.filter(|pod| pod.ready).map(|pod| pod.node.clone()).collect());
    }

    pub(super) fn service(&mut self, inputs: &Inputs, key: &ObjectKey) {
        if let Some(record) = inputs.services.get(key) {
            let key = record.fact.key.clone();
            let before = self.records.insert(key.clone(), Arc::clone(&record));
            if before.is_some_and(|before| before.uid != record.uid) {
                self.renew(&key);
            }
            let may_be_announced = !record.fact.assigned.is_empty();
            self.machine.apply_service((*record.fact).clone());
            self.follow(&key, may_be_announced);
        } else {
            let key = ServiceKey::new(key.namespace.as_deref().unwrap_or_default(), &*key.name);
            self.machine.remove_service(&key);
            self.records.remove(&key);
            self.advertised.remove(&key);
            self.follow(&key, false);
        }
    }

    /// A service was deleted and made anew: what was told about the old one is told about the new one, too.
    fn renew(&mut self, service: &ServiceKey) {
        self.machine.remove_service(service);
        let told = [StatusKind::Layer2, StatusKind::Bgp].into_iter();
        let told = told.filter(|kind| self.drivers.statuses.is_wanted(*kind, service));
        self.renewed.extend(told.map(|kind| (kind, service.clone())));
    }

    fn follow(&mut self, service: &ServiceKey, follows: bool) {
        if self.slices.follow(service, follows) {
            self.endpoints(service);
        }
    }

    pub(super) fn endpoints(&mut self, service: &ServiceKey) {
        match self.slices.endpoints(service) {
            Some(endpoints) => self.machine.apply_endpoints(endpoints),
            None => self.machine.remove_endpoints(service),
        }
    }

    pub(super) fn configure(&mut self, inputs: &Inputs) {
        let built = configure(&inputs.configuration.resources(), &self.config);
        let problems: Vec<ConfigError> = built.errors.into_iter().chain(built.warnings).collect();
        for problem in problems.iter().filter(|problem| !self.problems.contains(problem)) {
            tracing::warn!(error = %problem, "configuration");
        }
        self.problems = problems;
        self.config = Arc::new(built.config);
        self.judge(inputs);
        self.hold_back(inputs);
        let held: BTreeSet<PeerName> = self.held_back.keys().cloned().collect();
        let own = if held.is_empty() {
            Arc::clone(&self.config)
        } else {
            Arc::new(self.config.without_peers(&held))
        };
        self.machine.set_config(own);
    }

    /// Leaves peers alone whose sessions the FRR of an earlier installation may still hold.
    fn hold_back(&mut self, inputs: &Inputs) {
        let found = inputs.frr.all();
        let held = held_back(&self.config, found.iter().map(|(_, frr)| frr.as_ref()));
        let before = std::mem::replace(&mut self.held_back, held);
        for (peer, reason) in self.held_back.clone() {
            if !before.contains_key(&peer) {
                tracing::warn!(protocol = "bgp", %peer, error = reason, "peer held back");
                self.tell_node(Severity::Warning, "BGPPeerHeldBack", format!("BGPPeer \"{peer}\": {reason}"));
            }
        }
        for peer in before.keys().filter(|peer| !self.held_back.contains_key(*peer)) {
            tracing::info!(protocol = "bgp", %peer, "peer not held back any more");
        }
    }

    /// Judges what of the configuration concerns this node.
    pub(super) fn judge(&mut self, inputs: &Inputs) {
        let own = inputs.nodes.get(&ObjectKey::cluster(self.node.as_str()));
        let labels = own.as_ref().map(|node| &node.labels);
        self.judged = Judgement::of_speaker(&self.problems, &inputs.configuration.resources(), labels);
    }

    pub(super) fn report_configuration(&mut self) {
        let mut judgement = self.judged.clone();
        let sentence = |(peer, reason): (&PeerName, &String)| format!("BGPPeer \"{peer}\": {reason}");
        judgement.errors.extend(self.shortfalls.all().map(|(peer, reason)| sentence((peer, &reason))));
        judgement.warnings.extend(self.held_back.iter().map(sentence));
        let disagreements = self.disagreements.iter().map(|(peer, found)| (peer, &found.message));
        judgement.warnings.extend(disagreements.map(sentence));
        self.judgement = judgement;
        self.settle_state();
    }

    /// Has this node's `ConfigurationState` say what it should.
    pub(super) fn settle_state(&mut self) {
        if self.is_started() {
            self.state.settle(&self.drivers.writer, &self.judgement, Timestamp::now());
        }
    }

    /// What this node says about the configuration; nothing before it has read it.
    pub(crate) fn judgement(&self) -> Option<&Judgement> {
        self.is_started().then_some(&self.judgement)
    }
}
