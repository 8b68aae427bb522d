//! The watches that controller and speakers need.

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
};
use metallb_core::{
    config::{Kind, ObjectId},
    facts::{Namespace, Node},
};

use super::{ConfigObject, ObjectKey, Options, Store, spawn, spawn_config};
use crate::{
    convert::{FrrNeighbors, Object, PasswordRecord, Resources, frr_configuration_name},
    crd::{
        BFDProfile, BGPAdvertisement, BGPPeer, Community, IPAddressPool, L2Advertisement, ServiceBGPStatus,
        ServiceL2Status,
    },
    facts::{self, ApiServerRecord, ClassFilter, ServiceRecord, SliceRecord, SpeakerPod, objects},
    write::status::{NODE_LABEL, ServiceStatusRecord, label_value},
};

/// Watches the Services that are ours. Speakers ask for `spec.type=LoadBalancer` only
/// ([`Options::fields`]).
pub fn services(
    client: Client,
    class: ClassFilter,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<ServiceRecord> {
    let cut = move |object: objects::Service, _: Option<&_>| ServiceRecord::cut(&object, &class);
    spawn(Api::all(client), options, cut, changed)
}

/// Watches EndpointSlices; a change is reported with the slice's own key, see
/// [`SliceIndex`](facts::SliceIndex).
pub fn endpoint_slices(
    client: Client,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<SliceRecord> {
    let cut = |object: objects::EndpointSlice, _: Option<&_>| SliceRecord::cut(&object);
    spawn(Api::all(client), options, cut, changed)
}

/// Watches Nodes.
pub fn nodes(client: Client, options: Options, changed: impl Fn(ObjectKey) + Send + 'static) -> Store<Node> {
    spawn(Api::all(client), options, |object: objects::Node, _: Option<&_>| facts::node(&object), changed)
}

/// Watches the EndpointSlice that says where the API server is reached. It need not be readable.
pub fn api_server(
    client: Client,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<ApiServerRecord> {
    let options = options.optional().fields("metadata.name=kubernetes");
    let cut = |object: objects::AddressSlice, _: Option<&_>| Some(ApiServerRecord::cut(&object));
    spawn(Api::namespaced(client, "default"), options, cut, changed)
}

/// Watches Namespaces.
pub fn namespaces(
    client: Client,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<Namespace> {
    let cut = |object: objects::Namespace, _: Option<&_>| facts::namespace(&object);
    spawn(Api::all(client), options, cut, changed)
}

/// Watches the Pods of speakers, chosen by the labels in `options`.
pub fn speaker_pods(
    client: Client,
    namespace: &str,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<SpeakerPod> {
    let cut = |object: objects::Pod, _: Option<&_>| SpeakerPod::cut(&object);
    spawn(Api::namespaced(client, namespace), options, cut, changed)
}

/// Watches the Layer 2 statuses that the speaker on `node` wrote.
pub fn layer2_statuses(
    client: Client,
    namespace: &str,
    node: &str,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<ServiceStatusRecord> {
    let options = options.labels(format!("{NODE_LABEL}={}", label_value(node)));
    let cut = |object: ServiceL2Status, _: Option<&_>| Some(ServiceStatusRecord::layer2(&object));
    spawn(Api::namespaced(client, namespace), options, cut, changed)
}

/// Watches the BGP statuses that the speaker on `node` wrote.
pub fn bgp_statuses(
    client: Client,
    namespace: &str,
    node: &str,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<ServiceStatusRecord> {
    let options = options.labels(format!("{NODE_LABEL}={}", label_value(node)));
    let cut = |object: ServiceBGPStatus, _: Option<&_>| Some(ServiceStatusRecord::bgp(&object));
    spawn(Api::namespaced(client, namespace), options, cut, changed)
}

/// Watches the `FRRConfiguration` that an earlier MetalLB left for `node` in the namespace of frr-k8s. Its kind need not
/// exist.
pub fn frr_configuration(
    client: Client,
    namespace: &str,
    node: &str,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<FrrNeighbors> {
    let gvk = GroupVersionKind::gvk("frrk8s.metallb.io", "v1beta1", "FRRConfiguration");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "frrconfigurations");
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
    let options = options.optional().fields(format!("metadata.name={}", frr_configuration_name(node)));
    spawn(api, options, |object: DynamicObject, _: Option<&_>| Some(FrrNeighbors::cut(&object)), changed)
}

/// All configuration objects, kept current.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Configuration {
    /// Address pools.
    pub pools: Store<ConfigObject<IPAddressPool>>,
    /// Layer 2 advertisements.
    pub l2_advertisements: Store<ConfigObject<L2Advertisement>>,
    /// BGP advertisements.
    pub bgp_advertisements: Store<ConfigObject<BGPAdvertisement>>,
    /// BGP peers.
    pub peers: Store<ConfigObject<BGPPeer>>,
    /// Names for communities.
    pub communities: Store<ConfigObject<Community>>,
    /// BFD profiles.
    pub bfd_profiles: Store<ConfigObject<BFDProfile>>,
    /// Secrets that peers may refer to.
    pub passwords: Store<PasswordRecord>,
}

impl Configuration {
    /// Watches all kinds of configuration objects, and the Secrets that peers may refer to, in
    /// MetalLB's namespace. `changed` tells nothing but that the configuration has to be judged anew.
    pub fn spawn(
        client: &Client,
        namespace: &str,
        options: &Options,
        changed: impl Fn() + Clone + Send + 'static,
    ) -> Self {
        let notify = || {
            let changed = changed.clone();
            move |_key: ObjectKey| changed()
        };
        let cut = |object: objects::Secret, _: Option<&_>| Some(PasswordRecord::cut(&object));
        Self {
            pools: spawn_config(client.clone(), namespace, options.clone(), notify()),
            l2_advertisements: spawn_config(client.clone(), namespace, options.clone(), notify()),
            bgp_advertisements: spawn_config(client.clone(), namespace, options.clone(), notify()),
            peers: spawn_config(client.clone(), namespace, options.clone(), notify()),
            communities: spawn_config(client.clone(), namespace, options.clone(), notify()),
            bfd_profiles: spawn_config(client.clone(), namespace, options.clone(), notify()),
            passwords: spawn(Api::namespaced(client.clone(), namespace), options.clone(), cut, notify()),
        }
    }

    /// Waits until the pools have been listed, and every other kind has been or is [settled](Store::settled): without pools
    /// addresses would be taken away, without the rest less is done.
    pub async fn settled(&self) {
        self.pools.synced().await;
        self.l2_advertisements.settled().await;
        self.bgp_advertisements.settled().await;
        self.peers.settled().await;
        self.communities.settled().await;
        self.bfd_profiles.settled().await;
        self.passwords.settled().await;
    }

    /// The kinds that have not been listed yet, for probes and logs.
    pub fn missing(&self) -> Vec<&'static str> {
        let kinds = [
            (self.pools.is_synced(), "IPAddressPool"),
            (self.l2_advertisements.is_synced(), "L2Advertisement"),
            (self.bgp_advertisements.is_synced(), "BGPAdvertisement"),
            (self.peers.is_synced(), "BGPPeer"),
            (self.communities.is_synced(), "Community"),
            (self.bfd_profiles.is_synced(), "BFDProfile"),
            (self.passwords.is_synced(), "Secret"),
        ];
        kinds.into_iter().filter(|(synced, _)| !synced).map(|(_, kind)| kind).collect()
    }

    /// Everything as it stands now, for [`configure`](crate::convert::configure).
    pub fn resources(&self) -> Resources {
        Resources {
            pools: objects(&self.pools),
            l2_advertisements: objects(&self.l2_advertisements),
            bgp_advertisements: objects(&self.bgp_advertisements),
            peers: objects(&self.peers),
            communities: objects(&self.communities),
            bfd_profiles: objects(&self.bfd_profiles),
            passwords: self
                .passwords
                .all()
                .into_iter()
                .map(|(key, record)| (key.name.to_string(), record.0.clone()))
                .collect(),
        }
    }

    /// Kind and name of every object.
    pub fn object_ids(&self) -> Vec<ObjectId> {
        let mut ids = Vec::new();
        name_all(&self.pools, Kind::Pool, &mut ids);
        name_all(&self.l2_advertisements, Kind::L2Advertisement, &mut ids);
        name_all(&self.bgp_advertisements, Kind::BgpAdvertisement, &mut ids);
        name_all(&self.peers, Kind::Peer, &mut ids);
        name_all(&self.communities, Kind::Community, &mut ids);
        name_all(&self.bfd_profiles, Kind::BfdProfile, &mut ids);
        ids
    }

    /// The pool of this name with what is needed to write its status.
    pub fn pool_target(&self, namespace: &str, name: &str) -> Option<StatusTarget> {
        let pool = self.pools.get(&ObjectKey::namespaced(namespace, name))?;
        Some(target(Kind::Pool, &pool))
    }

    /// Every object with what is needed to write its status.
    pub fn status_targets(&self) -> Vec<StatusTarget> {
        let mut targets = Vec::new();
        collect(&self.pools, Kind::Pool, &mut targets);
        collect(&self.l2_advertisements, Kind::L2Advertisement, &mut targets);
        collect(&self.bgp_advertisements, Kind::BgpAdvertisement, &mut targets);
        collect(&self.peers, Kind::Peer, &mut targets);
        collect(&self.communities, Kind::Community, &mut targets);
        collect(&self.bfd_profiles, Kind::BfdProfile, &mut targets);
        targets
    }
}

/// A configuration object whose status may have to be written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StatusTarget {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: Option<String>,
    /// Generation of its spec.
    pub generation: Option<i64>,
    /// Its status as it stands in the cluster.
    pub status: serde_json::Value,
}

fn name_all<K>(store: &Store<ConfigObject<K>>, kind: Kind, ids: &mut Vec<ObjectId>) {
    ids.extend(store.all().iter().map(|(_, object)| ObjectId::new(kind, object.name.as_str())));
}

fn collect<K>(store: &Store<ConfigObject<K>>, kind: Kind, targets: &mut Vec<StatusTarget>) {
    targets.extend(store.all().into_iter().map(|(_, object)| target(kind, &object)));
}

fn target<K>(kind: Kind, object: &ConfigObject<K>) -> StatusTarget {
    StatusTarget {
        kind,
        name: object.name.clone(),
        uid: object.uid.clone(),
        generation: object.generation,
        status: object.status.clone(),
    }
}

fn objects<K>(store: &Store<ConfigObject<K>>) -> Vec<Object<K>> {
    store.all().iter().map(|(_, object)| Object::from(object.as_ref())).collect()
}
