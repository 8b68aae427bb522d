//! What people are told: events and log lines.

use std::time::Instant;

use jiff::Timestamp;
use metallb_arp::wire::MacAddr;
use metallb_core::keys::ServiceKey;
use metallb_core::speaker::{Claim, Report};
use metallb_k8s::write::events::{Event, Regarding, Severity};
use metallb_k8s::write::status::{OwnKind, StatusKind};
use metallb_k8s::write::{CONTESTED, Contest, Target, Write};

use super::Announcer;

impl Announcer {
    pub(super) fn report(&mut self, report: &Report) {
        let reason = report.reason();
        match report {
            Report::AnnounceFailed { service, .. } => {
                self.tell(service, Severity::Warning, reason, report.to_string());
            }
            Report::AnnouncedAgain { service, .. } => {
                tracing::info!(%service, "announced as it should be again");
            }
            Report::AddressConflict { address, services, interface, mac, .. } => {
                for service in services {
                    self.tell(service, Severity::Warning, reason, report.to_string());
                }
                let mac = MacAddr::new(*mac);
                tracing::warn!(protocol = "layer2", ip = %address, %interface, %mac, error = "address conflict",
                    "another machine claims the address");
            }
            Report::ManyConflicts { untold, last: Claim { address, interface, mac }, .. } => {
                let mac = MacAddr::new(*mac);
                tracing::warn!(protocol = "layer2", untold, last = %address, %interface, %mac, error = "address conflict",
                    "other machines claim more addresses than are told one by one");
                self.tell_node(Severity::Warning, reason, report.to_string());
            }
            Report::SpeakersApart { speaker, address, .. } => {
                tracing::warn!(protocol = "layer2", ip = %address, node = %speaker, error = %report,
                    "speakers do not hear each other");
                self.tell_node(Severity::Warning, reason, report.to_string());
            }
            Report::ExclusionIgnored => {
                tracing::warn!(error = %report, "exclude label");
                self.tell_node(Severity::Warning, reason, report.to_string());
            }
            Report::ExclusionCounts => tracing::info!("the exclude label of nodes counts again"),
            Report::Settled => tracing::info!("membership has settled"),
            Report::Members { members, .. } => tracing::info!(?members, "members"),
            Report::Reunited => tracing::info!("reunited with speakers that lived apart"),
            Report::NoSuccessor { addresses, .. } => {
                tracing::info!(protocol = "layer2", addresses, "nobody took these addresses over yet");
            }
            other => tracing::debug!(?other, reason, "report"),
        }
    }

    /// Services that were made anew and are announced as before.
    pub(super) fn tell_renewed(&mut self) {
        for (kind, service) in std::mem::take(&mut self.renewed) {
            if self.drivers.statuses.is_wanted(kind, &service) {
                self.tell_assigned(&service, kind);
            }
        }
    }

    pub(super) fn tell_assigned(&mut self, service: &ServiceKey, kind: StatusKind) {
        let protocol = match kind {
            StatusKind::Layer2 => "layer2",
            StatusKind::Bgp => "bgp",
        };
        let message = format!("announcing from node \"{}\" with protocol \"{protocol}\"", self.node);
        self.tell(service, Severity::Normal, "nodeAssigned", message);
    }

    fn tell(&mut self, service: &ServiceKey, severity: Severity, reason: &str, message: String) {
        match severity {
            Severity::Normal => tracing::info!(%service, reason, message),
            Severity::Warning => tracing::warn!(%service, reason, error = message, "service"),
        }
        let Some(record) = self.records.get(service) else { return };
        let regarding = Regarding::service(service.namespace(), service.name(), record.uid.as_str());
        let event = Event { regarding, severity, reason: reason.to_owned(), message };
        self.write_event(event);
    }

    /// Somebody else undoes what this node writes: told where the status is looked for, on the service if there is one.
    pub(super) fn contested(&mut self, contest: &Contest) {
        let service = match &contest.object {
            Target::Own(OwnKind::Service(kind), name) => self.drivers.statuses.service(*kind, name),
            _ => None,
        };
        if let Some(service) = service {
            self.tell(&service, Severity::Warning, CONTESTED, contest.to_string());
        } else {
            tracing::warn!(error = %contest, "contested");
            self.tell_node(Severity::Warning, CONTESTED, contest.to_string());
        }
    }

    /// Tells about a session on this node's object.
    pub(crate) fn tell_node(&mut self, severity: Severity, reason: &str, message: String) {
        let regarding = Regarding::node(self.node.as_str());
        self.write_event(Event { regarding, severity, reason: reason.to_owned(), message });
    }

    fn write_event(&mut self, event: Event) {
        if let Some(write) = self.events.record(Instant::now(), Timestamp::now(), event) {
            self.drivers.writer.submit(Write::Event(write));
        }
    }
}
