//! The status resources of this node: what they should say, against what stands in the cluster.

use std::collections::{BTreeMap, BTreeSet};

use kube::Client;
use metallb_core::keys::{NodeName, ServiceKey};
use metallb_k8s::retry::Retries;
use metallb_k8s::watch::ObjectKey;
use metallb_k8s::write::status::{OwnKind, ServiceStatus, StatusKind, plan_service_status};
use metallb_k8s::write::{Target, Write, Writer};
use tokio::sync::mpsc;

use crate::inputs::Inputs;
use crate::sweep::{self, Page, Place, Sweep};

/// A status resource by kind and name.
type Slot = (StatusKind, String);

/// What this node's status resources should say.
///
/// Announcements do not wait for what stands in the cluster: it is read meanwhile, and then compared.
pub(crate) struct Statuses {
    place: Place,
    client: Client,
    writer: Writer,
    retries: Retries,
    wanted: BTreeMap<Slot, ServiceStatus>,
    /// Kinds of which is known what stands in the cluster; nothing is compared before.
    listed: BTreeSet<StatusKind>,
    /// What a former run of this speaker left, and nothing was decided about yet.
    inherited: BTreeSet<Slot>,
    /// Kinds of which what is not wanted is not wanted indeed: nothing is while nobody counts as alive yet, or while
    /// sessions come up.
    decided: BTreeSet<StatusKind>,
    sweep: Sweep,
    /// Where goes what it finds.
    pages: mpsc::Sender<Page>,
}

impl Statuses {
    /// Nothing is wanted yet. What is found of earlier owners goes to `pages`, and comes back by [`Statuses::swept`].
    pub(crate) const fn new(
        place: Place,
        client: Client,
        writer: Writer,
        retries: Retries,
        pages: mpsc::Sender<Page>,
    ) -> Self {
        Self {
            place,
            client,
            writer,
            retries,
            wanted: BTreeMap::new(),
            listed: BTreeSet::new(),
            inherited: BTreeSet::new(),
            decided: BTreeSet::new(),
            sweep: Sweep::new(),
            pages,
        }
    }

    /// A service's status is wanted with this content. Returns whether it is a new one: none was wanted before, and a former
    /// run left none. Before that is known, [`Statuses::listed`] tells later.
    pub(crate) fn want(&mut self, inputs: &Inputs, status: &ServiceStatus) -> bool {
        let slot = (status.content.kind(), status.object_name());
        let before = self.wanted.insert(slot.clone(), status.clone());
        if !self.listed.contains(&slot.0) {
            return false;
        }
        // What was wanted before is written or being written.
        if before.as_ref() != Some(status) {
            self.settle(inputs, slot.0, &slot.1);
        }
        !self.inherited.remove(&slot) && before.is_none()
    }

    /// A service's status is not wanted any more.
    pub(crate) fn unwant(&mut self, inputs: &Inputs, status: &ServiceStatus) {
        let slot = (status.content.kind(), status.object_name());
        if !self.listed.contains(&slot.0) {
            self.wanted.remove(&slot);
            return;
        }
        self.inherited.remove(&slot);
        let was_wanted = self.wanted.remove(&slot).is_some();
        let (kind, name) = slot;
        let found = inputs.status(kind, &ObjectKey::namespaced(self.place.namespace.as_str(), name.as_str()));
        if was_wanted || found.is_some() {
            // The watch may not show yet what was written; what it shows later is removed then.
            let based_on = found.map(|found| found.identity().clone());
            self.writer.submit(Write::Remove { kind: OwnKind::Service(kind), name, based_on });
        }
    }

    /// All of a kind that stand in the cluster are known now: compares them with what is wanted. Returns the new ones, as
    /// [`Statuses::want`] does later.
    pub(crate) fn listed(&mut self, inputs: &Inputs, kind: StatusKind) -> Vec<ServiceStatus> {
        if !self.listed.insert(kind) {
            return Vec::new();
        }
        self.inherited.extend(inputs.statuses(kind).into_iter().map(|name| (kind, name)));
        let mut new = Vec::new();
        for (slot, status) in self.wanted.iter().filter(|(slot, _)| slot.0 == kind) {
            self.settle(inputs, kind, &slot.1);
            if !self.inherited.remove(slot) {
                new.push(status.clone());
            }
        }
        self.remove_inherited(inputs, kind);
        new
    }

    /// Whether it is known which of a kind stand in the cluster.
    pub(crate) fn is_listed(&self, kind: StatusKind) -> bool {
        self.listed.contains(&kind)
    }

    /// From now on what is not wanted of a kind is removed.
    pub(crate) fn decided(&mut self, inputs: &Inputs, kind: StatusKind) {
        if self.decided.insert(kind) {
            self.remove_inherited(inputs, kind);
        }
    }

    /// Removes what a former run left and nobody wants.
    fn remove_inherited(&mut self, inputs: &Inputs, kind: StatusKind) {
        if self.decided.contains(&kind) {
            let (of_kind, others) =
                std::mem::take(&mut self.inherited).into_iter().partition(|slot| slot.0 == kind);
            self.inherited = others;
            let of_kind: BTreeSet<Slot> = of_kind;
            for (kind, name) in of_kind {
                self.settle(inputs, kind, &name);
            }
        }
    }

    /// A status resource has changed in the cluster: compares it with what it should say.
    pub(crate) fn changed(&self, inputs: &Inputs, kind: StatusKind, name: &str) {
        let is_wanted = self.wanted.contains_key(&(kind, name.to_owned()));
        if !self.listed.contains(&kind) || !(self.decided.contains(&kind) || is_wanted) {
            return;
        }
        let key = ObjectKey::namespaced(self.place.namespace.as_str(), name);
        let is_bare = inputs.status(kind, &key).is_some_and(|found| found.is_bare());
        // One that is wanted and bare is being written.
        if !(is_bare && is_wanted) {
            self.settle(inputs, kind, name);
        }
    }

    /// The service that a status resource is about, if it is wanted.
    pub(crate) fn service(&self, kind: StatusKind, name: &str) -> Option<ServiceKey> {
        Some(self.wanted.get(&(kind, name.to_owned()))?.service.clone())
    }

    /// A write was given up, as the resource is not as it was when that was decided.
    pub(crate) fn outdated(&self, inputs: &Inputs, kind: StatusKind, name: &str) {
        if self.listed.contains(&kind) {
            self.settle(inputs, kind, name);
        }
    }

    /// Compares one status resource with what it should say, and writes the difference.
    fn settle(&self, inputs: &Inputs, kind: StatusKind, name: &str) {
        let wanted = self.wanted.get(&(kind, name.to_owned()));
        let key = ObjectKey::namespaced(self.place.namespace.as_str(), name);
        let found = inputs.status(kind, &key);
        match plan_service_status(name, kind, wanted, found.as_deref()) {
            Some(write) => self.writer.submit(write),
            None => self.writer.cancel(&Target::Own(OwnKind::Service(kind), name.to_owned())),
        }
    }

    /// This node owns a service now: what other nodes said about it is looked for, as one that died cannot take it away
    /// itself.
    pub(crate) fn look_for_earlier(&mut self, service: &ServiceKey) {
        self.sweep.look_for(service);
    }

    /// The same for the services about which a node that is gone now may have left something.
    pub(crate) fn look_for_left_by(&mut self, gone: &NodeName) {
        for service in self.sweep.left_by(gone) {
            if self.is_wanted(StatusKind::Layer2, &service) {
                self.sweep.look_for(&service);
            }
        }
    }

    /// Begins with what waits to be looked for, unless something is looked for already.
    pub(crate) fn begin_sweep(&mut self) {
        if let Some(services) = self.sweep.begin() {
            let (client, retries, pages) = (self.client.clone(), self.retries.clone(), self.pages.clone());
            tokio::spawn(sweep::list(client, self.place.clone(), services, retries, pages));
        }
    }

    /// Removes what was found, by what is known now: what `others` said stays, who live and say that they announce the
    /// service.
    pub(crate) fn swept(&mut self, page: Page, others: impl Fn(&ServiceKey) -> BTreeSet<NodeName>) {
        let wanted = &self.wanted;
        let owns =
            |service: &ServiceKey| wanted.contains_key(&slot(StatusKind::Layer2, service, &self.place.node));
        for found in self.sweep.take(page, owns, others) {
            let (kind, based_on) = (OwnKind::Service(StatusKind::Layer2), Some(found.identity));
            self.writer.submit(Write::Remove { kind, name: found.name, based_on });
        }
        self.begin_sweep();
    }

    /// Whether this node's status of a service is wanted.
    pub(crate) fn is_wanted(&self, kind: StatusKind, service: &ServiceKey) -> bool {
        self.wanted.contains_key(&slot(kind, service, &self.place.node))
    }
}

/// Where this node's status of a service is.
fn slot(kind: StatusKind, service: &ServiceKey, node: &NodeName) -> Slot {
    let (service, node) = (service.clone(), node.clone());
    let status = match kind {
        StatusKind::Layer2 => ServiceStatus::layer2(service, node, BTreeSet::new()),
        StatusKind::Bgp => ServiceStatus::bgp(service, node, BTreeSet::new()),
    };
    (kind, status.object_name())
}
