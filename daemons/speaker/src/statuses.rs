//! The status resources of this node: what they should say, against what stands in the cluster.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt};
use metallb_core::keys::{NodeName, ServiceKey};
use metallb_k8s::crd::ServiceL2Status;
use metallb_k8s::watch::ObjectKey;
use metallb_k8s::write::status::{
    NODE_LABEL, OwnKind, SERVICE_NAME_LABEL, SERVICE_NAMESPACE_LABEL, ServiceStatus, StatusKind, label_value,
    plan_service_status,
};
use metallb_k8s::write::{Identity, Target, Write, Writer};

use crate::inputs::Inputs;

/// A status resource by kind and name.
type Slot = (StatusKind, String);

/// What this node's status resources should say.
///
/// Announcements do not wait for what stands in the cluster: it is read meanwhile, and then compared.
pub(crate) struct Statuses {
    namespace: String,
    node: NodeName,
    client: Client,
    writer: Writer,
    wanted: BTreeMap<Slot, ServiceStatus>,
    /// Kinds of which is known what stands in the cluster; nothing is compared before.
    listed: BTreeSet<StatusKind>,
    /// What a former run of this speaker left, and nothing was decided about yet.
    inherited: BTreeSet<Slot>,
    /// Kinds of which what is not wanted is not wanted indeed: nothing is while nobody counts as alive yet, or while
    /// sessions come up.
    decided: BTreeSet<StatusKind>,
    /// Services of which other nodes that lived were left what they said.
    left: BTreeMap<NodeName, BTreeSet<ServiceKey>>,
}

impl Statuses {
    /// Nothing is wanted yet.
    pub(crate) const fn new(namespace: String, node: NodeName, client: Client, writer: Writer) -> Self {
        Self {
            namespace,
            node,
            client,
            writer,
            wanted: BTreeMap::new(),
            listed: BTreeSet::new(),
            inherited: BTreeSet::new(),
            decided: BTreeSet::new(),
            left: BTreeMap::new(),
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
        let found = inputs.status(kind, &ObjectKey::namespaced(self.namespace.as_str(), name.as_str()));
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
        let key = ObjectKey::namespaced(self.namespace.as_str(), name);
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
        let key = ObjectKey::namespaced(self.namespace.as_str(), name);
        let found = inputs.status(kind, &key);
        match plan_service_status(name, kind, wanted, found.as_deref()) {
            Some(write) => self.writer.submit(write),
            None => self.writer.cancel(&Target::Own(OwnKind::Service(kind), name.to_owned())),
        }
    }

    /// Removes what other nodes said about a service that this node now owns: one that died cannot do it itself. What
    /// `others` said stays, who live and say that they announce it: they take it away themselves, or are looked at again
    /// when they die ([`Statuses::left_by`]).
    pub(crate) fn sweep(&mut self, service: &ServiceKey, others: &BTreeSet<NodeName>) {
        for node in others {
            self.left.entry(node.clone()).or_default().insert(service.clone());
        }
        let spared: BTreeSet<String> = others.iter().map(|node| label_value(node.as_str())).collect();
        let api: Api<ServiceL2Status> = Api::namespaced(self.client.clone(), &self.namespace);
        let labels = format!(
            "{SERVICE_NAME_LABEL}={},{SERVICE_NAMESPACE_LABEL}={},{NODE_LABEL}!={}",
            label_value(service.name()),
            label_value(service.namespace()),
            label_value(self.node.as_str())
        );
        let (writer, service) = (self.writer.clone(), service.clone());
        tokio::spawn(async move {
            match api.list_metadata(&ListParams::default().labels(&labels)).await {
                Ok(found) => {
                    let stale = |object: &PartialObjectMeta<_>| {
                        !object.labels().get(NODE_LABEL).is_some_and(|node| spared.contains(node))
                    };
                    for object in found.items.into_iter().filter(stale) {
                        let (kind, name) = (OwnKind::Service(StatusKind::Layer2), object.name_any());
                        let based_on = Some(Identity::of(&object.metadata));
                        writer.submit(Write::Remove { kind, name, based_on });
                    }
                }
                Err(error) => {
                    let error = metallb_k8s::retry::describe(&error);
                    tracing::warn!(%service, error, "cannot look for layer2 statuses of earlier owners");
                }
            }
        });
    }

    /// The services of this node about which a node that is gone now may have left something.
    pub(crate) fn left_by(&mut self, gone: &NodeName) -> Vec<ServiceKey> {
        let services = self.left.remove(gone).unwrap_or_default();
        let owned = |service: &ServiceKey| {
            let status = ServiceStatus::layer2(service.clone(), self.node.clone(), BTreeSet::new());
            self.wanted.contains_key(&(StatusKind::Layer2, status.object_name()))
        };
        services.into_iter().filter(owned).collect()
    }
}
