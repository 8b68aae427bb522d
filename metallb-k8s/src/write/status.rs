//! Status of MetalLB's own resources.

use std::{collections::BTreeSet, fmt, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::{ApiResource, GroupVersionKind};
use metallb_core::{
    config::Kind,
    ipam::Usage,
    keys::{InterfaceName, NodeName, PeerName, ServiceKey},
};
use serde_json::{Value, json};

use super::{
    Identity, Write,
    conditions::{self, Verdict},
    rewritten_by, short_hash,
};
use crate::{
    convert::Judgement,
    crd::{
        Condition, ConditionStatus, ConfigurationResult, ConfigurationStateStatus, GROUP,
        IPAddressPoolStatus, InterfaceInfo, ServiceBGPStatus, ServiceBGPStatusStatus, ServiceL2Status,
        ServiceL2StatusStatus,
    },
    watch::{StatusTarget, Tracked},
};

/// Label with the node that a status resource is about.
pub const NODE_LABEL: &str = "metallb.io/node";
/// Label with the name of the Service that a status resource is about.
pub const SERVICE_NAME_LABEL: &str = "metallb.io/service-name";
/// Label with the namespace of the Service that a status resource is about.
pub const SERVICE_NAMESPACE_LABEL: &str = "metallb.io/service-namespace";
/// Label with the component that a `ConfigurationState` is about.
pub const COMPONENT_LABEL: &str = "metallb.io/component-type";
/// Label with the node of the speaker that a `ConfigurationState` is about.
pub const NODE_NAME_LABEL: &str = "metallb.io/node-name";

/// What the status of a pool says about its use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct PoolUse {
    /// How many addresses are in use.
    pub usage: Usage,
    /// The first services by name that use it, [`MOST_USERS`] at most.
    pub users: Vec<ServiceKey>,
    /// How many services use it.
    pub services: usize,
}

/// How many services are named in the status of a pool.
pub const MOST_USERS: usize = 20;

/// What to write so that the status of a configuration object tells the verdict: nothing when it
/// does already. A pool's `usage` must be given, and no other object's: its schema wants the counters
/// in every write.
pub fn plan_object_status(
    target: &StatusTarget,
    verdict: &Verdict,
    usage: Option<PoolUse>,
    now: Timestamp,
) -> Option<Write> {
    let before = conditions_of(&target.status);
    let merged = conditions::merged(&before, std::slice::from_ref(verdict), target.generation, now);
    let status = match usage {
        Some(usage) => json!(pool_status(usage, merged.unwrap_or(before))),
        None => json!({ "conditions": merged? }),
    };
    (!contains(&target.status, &status)).then(|| Write::ObjectStatus {
        kind: target.kind,
        name: target.name.clone(),
        based_on: target.identity.clone(),
        rewritten_by: target.rewritten_by.clone(),
        status,
    })
}

/// Numbers that do not fit become the largest.
fn pool_status(
    PoolUse { usage, users, services }: PoolUse,
    conditions: Vec<Condition>,
) -> IPAddressPoolStatus {
    let fit = |count: u128| i64::try_from(count).unwrap_or(i64::MAX);
    IPAddressPoolStatus {
        assigned_ipv4: fit(usage.assigned_v4),
        assigned_ipv6: fit(usage.assigned_v6),
        available_ipv4: fit(usage.available_v4),
        available_ipv6: fit(usage.available_v6),
        services: Some(i64::try_from(services).unwrap_or(i64::MAX)),
        used_by: users.iter().map(ToString::to_string).collect(),
        conditions,
    }
}

fn conditions_of(status: &Value) -> Vec<Condition> {
    let conditions = status.get("conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        // A condition of another form is not one of ours.
        .filter_map(|condition| serde_json::from_value(condition.clone()).ok())
        .collect()
}

/// Whether every entry of `wanted` stands in `found`, which may have others beside.
pub(super) fn contains(found: &Value, wanted: &Value) -> bool {
    let mut entries = wanted.as_object().into_iter().flatten();
    entries.all(|(key, value)| found.get(key) == Some(value))
}

/// A status without the times of its conditions.
pub(super) fn timeless(status: &Value) -> Value {
    let mut status = status.clone();
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
        condition.remove("lastTransitionTime");
    }
    status
}

/// Plural name and API version of a kind of configuration object.
pub fn resource(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Pool => ("ipaddresspools", "v1beta1"),
        Kind::L2Advertisement => ("l2advertisements", "v1beta1"),
        Kind::BgpAdvertisement => ("bgpadvertisements", "v1beta1"),
        Kind::Peer => ("bgppeers", "v1beta2"),
        Kind::Community => ("communities", "v1beta1"),
        Kind::BfdProfile => ("bfdprofiles", "v1beta1"),
    }
}

/// Which component a `ConfigurationState` is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two components")]
pub enum Component {
    /// The controller.
    Controller,
    /// The speaker on a node.
    Speaker(NodeName),
}

impl Component {
    /// Name of the `ConfigurationState`.
    pub fn state_name(&self) -> String {
        match self {
            Self::Controller => "controller".to_owned(),
            Self::Speaker(node) => format!("speaker-{node}"),
        }
    }

    /// Type of the condition that the component writes.
    pub const fn condition(&self) -> &'static str {
        match self {
            Self::Controller => "poolReconcilerValid",
            Self::Speaker(_) => "configReconcilerValid",
        }
    }

    /// Field manager of the status: MetalLB's part of the component that writes it, which checks of its users ask for.
    pub const fn manager(&self) -> &'static str {
        match self {
            Self::Controller => "poolReconciler",
            Self::Speaker(_) => "configReconciler",
        }
    }

    pub(super) fn labels(&self) -> Value {
        match self {
            Self::Controller => json!({ COMPONENT_LABEL: "controller" }),
            Self::Speaker(node) => {
                json!({ COMPONENT_LABEL: "speaker", NODE_NAME_LABEL: label_value(node.as_str()) })
            }
        }
    }
}

/// The content of a `ConfigurationState`: valid, when the component judges nothing to be wrong. Warnings stand in the
/// condition's message only. `before` is what it said last; its time is kept where the verdict has not changed.
pub fn configuration_state(
    component: &Component,
    judgement: &Judgement,
    before: Option<&ConfigurationStateStatus>,
    now: Timestamp,
) -> ConfigurationStateStatus {
    let summary = judgement.errors.join("\n");
    let (result, status, reason) = if judgement.is_valid() {
        (ConfigurationResult::Valid, ConditionStatus::True, "Reconciled")
    } else {
        (ConfigurationResult::Invalid, ConditionStatus::False, "ConfigurationError")
    };
    let warnings = judgement.warnings.iter().map(|warning| format!("warning: {warning}"));
    let message: Vec<String> = judgement.errors.iter().cloned().chain(warnings).collect();
    let verdict = Verdict::new(component.condition(), status, reason, &message.join("\n"));
    let known = before.map(|before| before.conditions.clone()).unwrap_or_default();
    let merged = conditions::merged(&known, &[verdict], None, now);
    ConfigurationStateStatus {
        result: Some(result),
        error_summary: summary,
        conditions: merged.unwrap_or(known),
    }
}

/// The conditions that stay when `state` takes the place of `before`, if some of MetalLB's have to go: of parts that its
/// component has and ours has not, which nobody would ever update again.
pub(super) fn without_leftovers(
    before: &ConfigurationStateStatus,
    state: &ConfigurationStateStatus,
) -> Option<Vec<Condition>> {
    let is_ours = |condition: &Condition| state.conditions.iter().any(|ours| ours.kind == condition.kind);
    let is_left = |condition: &Condition| condition.kind.ends_with("ReconcilerValid") && !is_ours(condition);
    let kept: Vec<Condition> =
        before.conditions.iter().filter(|condition| !is_left(condition)).cloned().collect();
    (kept.len() < before.conditions.len()).then_some(kept)
}

/// A `ServiceL2Status` or `ServiceBGPStatus`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// The Service it is about.
    pub service: ServiceKey,
    /// The node it is about.
    pub node: NodeName,
    /// What it says.
    pub content: ServiceStatusContent,
}

/// What a [`ServiceStatus`] says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there are two kinds")]
pub enum ServiceStatusContent {
    /// The interfaces that the node answers on.
    Layer2(BTreeSet<InterfaceName>),
    /// The peers that the node advertises to.
    Bgp(BTreeSet<PeerName>),
}

impl ServiceStatus {
    /// A `ServiceL2Status`: the node answers for the Service on these interfaces.
    pub fn layer2(service: ServiceKey, node: NodeName, interfaces: BTreeSet<InterfaceName>) -> Self {
        Self { service, node, content: ServiceStatusContent::Layer2(interfaces) }
    }

    /// A `ServiceBGPStatus`: the node advertises the Service to these peers.
    pub fn bgp(service: ServiceKey, node: NodeName, peers: BTreeSet<PeerName>) -> Self {
        Self { service, node, content: ServiceStatusContent::Bgp(peers) }
    }

    /// Name of the object; the same for the same Service and node.
    pub fn object_name(&self) -> String {
        status_name(self.content.prefix(), &self.service, &self.node)
    }

    pub(super) fn labels(&self) -> Value {
        json!({
            NODE_LABEL: label_value(self.node.as_str()),
            SERVICE_NAME_LABEL: self.service.name(),
            SERVICE_NAMESPACE_LABEL: self.service.namespace(),
        })
    }

    pub(super) fn status(&self) -> Value {
        let (node, name) = (self.node.to_string(), self.service.name().to_owned());
        let namespace = self.service.namespace().to_owned();
        match &self.content {
            ServiceStatusContent::Layer2(interfaces) => json!(ServiceL2StatusStatus {
                node,
                service_name: name,
                service_namespace: namespace,
                interfaces: interfaces
                    .iter()
                    .map(|interface| InterfaceInfo { name: interface.to_string() })
                    .collect(),
            }),
            ServiceStatusContent::Bgp(peers) => json!(ServiceBGPStatusStatus {
                node,
                service_name: name,
                service_namespace: namespace,
                peers: peers.iter().map(ToString::to_string).collect(),
            }),
        }
    }
}

impl ServiceStatusContent {
    /// Which of the two kinds it is.
    pub const fn kind(&self) -> StatusKind {
        match self {
            Self::Layer2(_) => StatusKind::Layer2,
            Self::Bgp(_) => StatusKind::Bgp,
        }
    }

    const fn prefix(&self) -> &'static str {
        match self {
            Self::Layer2(_) => "l2",
            Self::Bgp(_) => "bgp",
        }
    }
}

/// Names by hash: Services and nodes may have names that are too long to join.
fn status_name(prefix: &str, service: &ServiceKey, node: &NodeName) -> String {
    format!("{prefix}-{}", short_hash(&format!("{service}#{node}")))
}

/// A node's name as the value of a label, which must not be longer than 63 characters.
pub fn label_value(node: &str) -> String {
    if node.len() <= 63 {
        return node.to_owned();
    }
    let head: String = node.chars().take(42).collect();
    format!("{}-{}", head.trim_end_matches(['-', '.', '_']), short_hash(node))
}

/// An owner reference without blocking deletion: what it owns goes when the owner goes.
pub fn owner_reference(api_version: &str, kind: &str, name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    }
}

/// What stands in a `ServiceL2Status` or `ServiceBGPStatus` in the cluster.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServiceStatusRecord {
    identity: Identity,
    labels: Value,
    status: Value,
    rewritten_by: Option<Arc<str>>,
}

/// A status resource that a write changes, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Its version.
    pub identity: Identity,
    /// Whether its labels are as they should be, so that only its status is written.
    pub is_labelled: bool,
    /// The field manager that wrote it last, where that was not us.
    pub rewritten_by: Option<Arc<str>>,
}

impl ServiceStatusRecord {
    /// What a `ServiceL2Status` says.
    pub fn layer2(object: &ServiceL2Status) -> Self {
        Self::new(&object.metadata, json!(object.status))
    }

    /// What a `ServiceBGPStatus` says.
    pub fn bgp(object: &ServiceBGPStatus) -> Self {
        Self::new(&object.metadata, json!(object.status))
    }

    fn new(metadata: &ObjectMeta, status: Value) -> Self {
        let (identity, labels) = (Identity::of(metadata), json!(metadata.labels));
        Self { identity, labels, status, rewritten_by: rewritten_by(metadata) }
    }

    /// Its version.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether the object has been made and its status not been written yet, as between the two requests of a write.
    pub fn is_bare(&self) -> bool {
        self.status.is_null()
    }
}

impl Tracked for ServiceStatusRecord {
    fn differs(&self, previous: &Self) -> bool {
        self != previous
    }
}

/// What to write so that the status resource `name` says what it shall: nothing when it does already.
///
/// `wanted` is `None` for one that shall not exist, `found` is `None` for one that does not exist.
pub fn plan_service_status(
    name: &str,
    kind: StatusKind,
    wanted: Option<&ServiceStatus>,
    found: Option<&ServiceStatusRecord>,
) -> Option<Write> {
    match (wanted, found) {
        (None, None) => None,
        (None, Some(found)) => Some(Write::Remove {
            kind: OwnKind::Service(kind),
            name: name.to_owned(),
            based_on: Some(found.identity.clone()),
        }),
        (Some(wanted), found) => {
            let is_labelled = found.is_some_and(|found| contains(&found.labels, &wanted.labels()));
            if is_labelled && found.is_some_and(|found| wanted.status() == found.status) {
                return None;
            }
            let based_on = found.map(|found| Found {
                identity: found.identity.clone(),
                is_labelled,
                rewritten_by: found.rewritten_by.clone(),
            });
            Some(Write::ServiceStatus { status: wanted.clone(), based_on })
        }
    }
}

/// The kinds of which we alone make the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "all there are")]
pub enum OwnKind {
    /// The status resources of Services.
    Service(StatusKind),
    /// `ConfigurationState`.
    Configuration,
}

impl OwnKind {
    /// All of them.
    pub const ALL: [Self; 3] =
        [Self::Service(StatusKind::Layer2), Self::Service(StatusKind::Bgp), Self::Configuration];

    /// Plural name, as in paths and rules of RBAC.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Service(StatusKind::Layer2) => "servicel2statuses",
            Self::Service(StatusKind::Bgp) => "servicebgpstatuses",
            Self::Configuration => "configurationstates",
        }
    }

    /// How it is asked for.
    pub fn resource(self) -> ApiResource {
        let gvk = GroupVersionKind::gvk(GROUP, "v1beta1", &self.to_string());
        ApiResource::from_gvk_with_plural(&gvk, self.plural())
    }

    /// Label with the node that wrote an object.
    pub const fn node_label(self) -> &'static str {
        match self {
            Self::Service(_) => NODE_LABEL,
            Self::Configuration => NODE_NAME_LABEL,
        }
    }
}

impl fmt::Display for OwnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service(StatusKind::Layer2) => "ServiceL2Status",
            Self::Service(StatusKind::Bgp) => "ServiceBGPStatus",
            Self::Configuration => "ConfigurationState",
        })
    }
}

/// Which of the two status resources of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there are two kinds")]
pub enum StatusKind {
    /// `ServiceL2Status`.
    Layer2,
    /// `ServiceBGPStatus`.
    Bgp,
}
