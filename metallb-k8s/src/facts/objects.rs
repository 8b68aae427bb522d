//! Kubernetes' own objects with only the fields that are needed; everything else is skipped while
//! decoding.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use k8s_openapi::{
    api::core::v1 as core,
    api::discovery::v1 as discovery,
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, OwnerReference, Time},
};
use kube::{Resource, core::ObjectMeta};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

macro_rules! object {
    ($(#[$doc:meta])* $name:ident is $full:ty { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Deserialize, Clone, Debug, Default)]
        #[serde(default, rename_all = "camelCase")]
        #[expect(clippy::exhaustive_structs, reason = "as the cluster's API has them")]
        pub struct $name {
            /// Name, namespace, identity, age, version, labels and annotations.
            #[serde(deserialize_with = "metadata")]
            pub metadata: ObjectMeta,
            $($(#[$field_doc])* #[serde(deserialize_with = "null_is_default")] pub $field: $type,)*
        }

        impl Resource for $name {
            type DynamicType = ();
            type Scope = <$full as Resource>::Scope;

            fn kind(dt: &()) -> Cow<'_, str> {
                <$full as Resource>::kind(dt)
            }
            fn group(dt: &()) -> Cow<'_, str> {
                <$full as Resource>::group(dt)
            }
            fn version(dt: &()) -> Cow<'_, str> {
                <$full as Resource>::version(dt)
            }
            fn plural(dt: &()) -> Cow<'_, str> {
                <$full as Resource>::plural(dt)
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

macro_rules! part {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident $(as $rename:literal)?: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
        #[serde(default, rename_all = "camelCase")]
        #[expect(clippy::exhaustive_structs, reason = "as the cluster's API has them")]
        pub struct $name {
            $($(#[$field_doc])* #[serde(deserialize_with = "null_is_default" $(, rename = $rename)?)] pub $field: $type,)*
        }
    };
}

object! {
    /// A Service.
    Service is core::Service {
        /// What is wanted.
        spec: ServiceSpec,
        /// What it has.
        status: ServiceStatus,
    }
}

part! {
    /// `spec` of a [`Service`].
    ServiceSpec {
        /// ClusterIP, NodePort, LoadBalancer or ExternalName.
        type_ as "type": String,
        /// The class of load balancer that shall serve it.
        load_balancer_class: Option<String>,
        /// The first cluster IP.
        cluster_ip as "clusterIP": Option<String>,
        /// All cluster IPs.
        cluster_ips as "clusterIPs": Vec<String>,
        /// SingleStack, PreferDualStack or RequireDualStack.
        ip_family_policy: Option<String>,
        /// A wanted address, the old way.
        load_balancer_ip as "loadBalancerIP": Option<String>,
        /// Cluster or Local.
        external_traffic_policy: Option<String>,
        /// The pods behind it.
        selector: BTreeMap<String, String>,
        /// The ports it listens on.
        ports: Vec<ServicePort>,
    }
}

part! {
    /// A port of a [`Service`].
    ServicePort {
        /// TCP, UDP or SCTP; absent means TCP.
        protocol: Option<String>,
        /// The number.
        port: i32,
    }
}

part! {
    /// `status` of a [`Service`].
    ServiceStatus {
        /// Its addresses.
        load_balancer: LoadBalancerStatus,
    }
}

part! {
    /// `status.loadBalancer` of a [`Service`].
    LoadBalancerStatus {
        /// One entry for each address.
        ingress: Vec<Ingress>,
    }
}

part! {
    /// An entry of `status.loadBalancer.ingress`.
    Ingress {
        /// The address, unless the load balancer goes by name.
        ip: Option<String>,
    }
}

object! {
    /// A Node.
    Node is core::Node {
        /// Taints.
        spec: NodeSpec,
        /// Conditions and addresses.
        status: NodeStatus,
    }
}

part! {
    /// `spec` of a [`Node`].
    NodeSpec {
        /// What repels pods.
        taints: Vec<Taint>,
        /// Cordoned: no new pods come here.
        unschedulable: bool,
    }
}

part! {
    /// A taint of a [`Node`].
    Taint {
        /// Its key.
        key: String,
    }
}

part! {
    /// `status` of a [`Node`].
    NodeStatus {
        /// Its health.
        conditions: Vec<NodeCondition>,
        /// Its addresses.
        addresses: Vec<NodeAddress>,
    }
}

part! {
    /// A condition of a [`Node`].
    NodeCondition {
        /// What it speaks of.
        type_ as "type": String,
        /// True, False or Unknown.
        status: String,
    }
}

part! {
    /// An address of a [`Node`].
    NodeAddress {
        /// InternalIP, ExternalIP, Hostname, ...
        type_ as "type": String,
        /// The address.
        address: String,
    }
}

object! {
    /// Some of the endpoints of a Service.
    EndpointSlice is discovery::EndpointSlice {
        /// IPv4, IPv6 or FQDN.
        address_type: String,
        /// The endpoints.
        endpoints: Vec<Endpoint>,
    }
}

part! {
    /// One endpoint of an [`EndpointSlice`].
    Endpoint {
        /// Its state.
        conditions: EndpointConditions,
        /// The node it runs on.
        node_name: Option<String>,
    }
}

part! {
    /// The state of an [`Endpoint`].
    EndpointConditions {
        /// Takes new connections; absent counts as true.
        ready: Option<bool>,
        /// Still answers, even while it is being ended.
        serving: Option<bool>,
    }
}

object! {
    /// Some of the endpoints of a Service, with their addresses.
    AddressSlice is discovery::EndpointSlice {
        /// The endpoints.
        endpoints: Vec<AddressedEndpoint>,
    }
}

part! {
    /// One endpoint of an [`AddressSlice`].
    AddressedEndpoint {
        /// Where it is reached.
        addresses: Vec<String>,
    }
}

object! {
    /// A Namespace.
    Namespace is core::Namespace {}
}

object! {
    /// A Pod.
    Pod is core::Pod {
        /// Where it runs.
        spec: PodSpec,
        /// Its state.
        status: PodStatus,
    }
}

part! {
    /// `spec` of a [`Pod`].
    PodSpec {
        /// The node it runs on.
        node_name: Option<String>,
    }
}

part! {
    /// `status` of a [`Pod`].
    PodStatus {
        /// Pending, Running, ...
        phase: String,
        /// All its addresses.
        pod_ips as "podIPs": Vec<PodIp>,
        /// The first of them.
        pod_ip as "podIP": Option<String>,
        /// Its health.
        conditions: Vec<NodeCondition>,
    }
}

part! {
    /// An address of a [`Pod`].
    PodIp {
        /// The address.
        ip: String,
    }
}

object! {
    /// A Secret that may hold a password.
    Secret is core::Secret {
        /// What kind of secret it is.
        r#type: Option<String>,
        /// Its content; only the password is kept.
        data: SecretData,
    }
}

/// `data` of a [`Secret`].
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "as the cluster's API has it")]
pub struct SecretData {
    /// The password, decoded.
    pub password: Option<Vec<u8>>,
}

impl<'de> Deserialize<'de> for SecretData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            password: Option<k8s_openapi::ByteString>,
        }
        let raw = Raw::deserialize(deserializer)?;
        Ok(Self { password: raw.password.map(|password| password.0) })
    }
}

impl fmt::Debug for SecretData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretData(redacted)")
    }
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The metadata without what other tools keep there (which fields they manage, their annotations).
fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let lean = LeanMeta::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: lean.name,
        namespace: lean.namespace,
        uid: lean.uid,
        resource_version: lean.resource_version,
        creation_timestamp: lean.creation_timestamp,
        deletion_timestamp: lean.deletion_timestamp,
        labels: lean.labels,
        annotations: lean.annotations.map(|Annotations(annotations)| annotations),
        owner_references: lean.owner_references,
        managed_fields: lean.managed_fields.and_then(of_status),
        ..ObjectMeta::default()
    })
}

/// Who wrote to an object, and when; not which fields.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeanManager {
    manager: Option<String>,
    subresource: Option<String>,
    time: Option<Time>,
}

/// Those that wrote the status, if there are any.
fn of_status(managers: Vec<LeanManager>) -> Option<Vec<ManagedFieldsEntry>> {
    let is_of_status = |manager: &LeanManager| manager.subresource.as_deref() == Some("status");
    let found: Vec<_> = managers.into_iter().filter(is_of_status).map(Into::into).collect();
    (!found.is_empty()).then_some(found)
}

impl From<LeanManager> for ManagedFieldsEntry {
    fn from(LeanManager { manager, subresource, time }: LeanManager) -> Self {
        Self { manager, subresource, time, ..Self::default() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeanMeta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    owner_references: Option<Vec<OwnerReference>>,
    managed_fields: Option<Vec<LeanManager>>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<Annotations>,
}

struct Annotations(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnnotationVisitor)
    }
}

struct AnnotationVisitor;

impl<'de> serde::de::Visitor<'de> for AnnotationVisitor {
    type Value = Annotations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of annotations")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut kept = BTreeMap::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if super::annotations::is_ours(&key) {
                kept.insert(key.into_owned(), map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Annotations(kept))
    }
}
