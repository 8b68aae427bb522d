//! Has the drivers carry out what the machine has decided.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use metallb_arp::wire::MacAddr;
use metallb_core::announce::{Change, InterfaceScope};
use metallb_core::keys::{PeerName, ServiceKey};
use metallb_core::speaker::Output;
use metallb_k8s::write::status::{ServiceStatus, StatusKind};

use crate::inputs::Inputs;
use crate::translate;

use super::Announcer;

impl Announcer {
    /// Carries out what the machine has decided.
    pub(super) fn carry_out(&mut self, inputs: &Inputs) {
        while let Some(output) = self.machine.poll_output() {
            self.perform(inputs, output);
        }
        self.drivers.statuses.begin_sweep();
    }

    fn perform(&mut self, inputs: &Inputs, output: Output) {
        match output {
            Output::Change(change) => self.change(inputs, change),
            Output::Started => {
                let peers = self.engine().peers().filter(|peer| !self.shortfalls.refuses(peer));
                let peers: Vec<PeerName> = peers.cloned().collect();
                self.deliveries.start(Instant::now(), peers);
                self.report_configuration();
            }
            Output::Decided => {
                self.decided = true;
                // Not before: which routes there are may depend on who lives, and routers that kept those of an earlier run
                // drop what is missing then.
                self.drivers.bgp.table_complete();
                self.drivers.statuses.decided(inputs, StatusKind::Layer2);
                if let Some(membership) = &self.drivers.membership {
                    membership.take_part();
                }
            }
            Output::Partners(macs) => {
                self.drivers.layer2.set_partners(macs.into_iter().map(MacAddr::new).collect());
            }
            Output::Metadata(metadata) => {
                if let Some(membership) = &self.drivers.membership {
                    membership.set_metadata(metadata);
                }
            }
            Output::Defend(address) => self.drivers.layer2.defend(address),
            Output::AnnounceAgain(address) => self.drivers.layer2.announce_again(address),
            Output::Reannounce => self.drivers.layer2.reannounce(),
            Output::Gone(node) => self.drivers.statuses.look_for_left_by(&node),
            Output::Report(report) => self.report(&report),
            Output::Leave => {
                let membership = self.drivers.membership.clone();
                let goodbye =
                    membership.map(|membership| tokio::spawn(async move { membership.leave().await }));
                self.drain.goodbye = goodbye;
            }
            Output::AskDeparture => self.drain.asks_departure = true,
            Output::Silence => self.drivers.layer2.shutdown(),
            Output::Close(close) => self.drain.close = Some(close),
        }
    }

    fn change(&mut self, inputs: &Inputs, change: Change) {
        match change {
            Change::L2 { address, state: Some(scope) } => self.announce(address, &scope),
            Change::L2 { address, state: None } => {
                tracing::info!(protocol = "layer2", ip = %address, "withdrawing");
                self.drivers.layer2.withdraw(address);
            }
            Change::Bgp { prefix, routes } => {
                tracing::info!(protocol = "bgp", %prefix, routes = routes.len(), "routes changed");
                self.drivers.bgp.set_prefix(prefix, translate::announcements(&routes));
            }
            Change::Peer { name, peer } => self.peer(name, peer),
            Change::PeerConflict { name, with } => {
                if let Some(reason) = self.shortfalls.set_conflict(&name, with) {
                    self.deliveries.remove(&name);
                    tracing::error!(protocol = "bgp", peer = %name, error = reason, "no session with the peer");
                }
            }
            Change::Layer2Owner { service, interfaces } => {
                self.layer2_owner(inputs, &service, interfaces.as_ref());
            }
            Change::BgpPeers { service, peers } if self.deliveries.is_settled() => {
                // What was kept back before is older.
                self.waiting.remove(&service);
                self.bgp_peers(inputs, &service, peers);
            }
            Change::BgpPeers { service, peers } => drop(self.waiting.insert(service, peers)),
            // They come as reports.
            Change::ExclusionIgnored { .. } | Change::Problem { .. } => {}
        }
    }

    fn announce(&self, address: IpAddr, scope: &InterfaceScope) {
        tracing::info!(protocol = "layer2", ip = %address, interfaces = ?translate::listed(scope), "announcing");
        if let Err(error) = self.drivers.layer2.announce(address, translate::scope(scope)) {
            tracing::error!(protocol = "layer2", ip = %address, %error, "cannot announce");
        }
    }

    fn layer2_owner(&mut self, inputs: &Inputs, service: &ServiceKey, interfaces: Option<&InterfaceScope>) {
        let listed = interfaces.map(translate::listed);
        let status =
            ServiceStatus::layer2(service.clone(), self.node.clone(), listed.clone().unwrap_or_default());
        if listed.is_none() {
            self.drivers.statuses.unwant(inputs, &status);
            return;
        }
        if self.drivers.statuses.want(inputs, &status) {
            self.began(service, StatusKind::Layer2);
        }
    }

    pub(super) fn bgp_peers(&mut self, inputs: &Inputs, service: &ServiceKey, peers: BTreeSet<PeerName>) {
        let none = peers.is_empty();
        let status = ServiceStatus::bgp(service.clone(), self.node.clone(), peers);
        if none {
            self.drivers.statuses.unwant(inputs, &status);
            // Where it is only that no peer has it for now, that was told and will not be again.
            if !self.engine().is_advertised(service) {
                self.advertised.remove(service);
            }
            return;
        }
        let is_new = self.drivers.statuses.want(inputs, &status);
        if self.drivers.statuses.is_listed(StatusKind::Bgp)
            && self.advertised.insert(service.clone())
            && is_new
        {
            self.began(service, StatusKind::Bgp);
        }
    }

    /// This node announces a service that it did not announce before, nor in an earlier run.
    pub(super) fn began(&mut self, service: &ServiceKey, kind: StatusKind) {
        if kind == StatusKind::Layer2 {
            self.drivers.statuses.look_for_earlier(service);
        }
        self.tell_assigned(service, kind);
    }
}
