//! The watches that controller and speakers need.

use std::{collections::BTreeMap, fmt, sync::Arc};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
};
use metallb_core::{
    config::{Kind, ObjectId},
    facts::{Namespace, Node},
};

use super::{Change, ConfigObject, ObjectKey, Options, Store, spawn, spawn_config};
use crate::{
    convert::{FrrNeighbors, Object, PasswordRecord, Resources, frr_configuration_name},
    crd::{
        BFDProfile, BGPAdvertisement, BGPPeer, Community, ConfigurationState, GROUP, IPAddressPool,
        L2Advertisement, ServiceBGPStatus, ServiceL2Status,
    },
    facts::{
        self, ApiServerRecord, ClassFilter, SeenService, ServiceRecord, SliceRecord, SpeakerNode, SpeakerPod,
        objects,
    },
    write::{
        Identity,
        state::StateRecord,
        status::{Component, NODE_LABEL, ServiceStatusRecord, label_value, resource},
    },
};

/// Who is told. A function that is generic is compiled for each of its users; what stands behind a watch is large, and should
/// be in a program once.
type Listener = Box<dyn Fn(ObjectKey) + Send>;

/// Watches the Services that are ours. Speakers ask for `spec.type=LoadBalancer` only
/// ([`Options::fields`]).
pub fn services(
    client: Client,
    class: ClassFilter,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<ServiceRecord> {
    fn start(
        client: Client,
        class: ClassFilter,
        options: Options,
        changed: Listener,
    ) -> Store<ServiceRecord> {
        let cut = move |object: objects::Service, _: Option<&_>| ServiceRecord::cut(&object, &class);
        spawn(Api::all(client), options, cut, changed)
    }
    start(client, class, options, Box::new(changed))
}

/// Watches the Services that are ours, and those of others with addresses.
pub fn all_services(
    client: Client,
    class: ClassFilter,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<SeenService> {
    fn start(client: Client, class: ClassFilter, options: Options, changed: Listener) -> Store<SeenService> {
        let cut = move |object: objects::Service, _: Option<&_>| SeenService::cut(&object, &class);
        spawn(Api::all(client), options, cut, changed)
    }
    start(client, class, options, Box::new(changed))
}

/// Watches EndpointSlices; a change is reported with the slice's own key, see
/// [`SliceIndex`](facts::SliceIndex).
pub fn endpoint_slices(
    client: Client,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<SliceRecord> {
    fn start(client: Client, options: Options, changed: Listener) -> Store<SliceRecord> {
        let cut = |object: objects::EndpointSlice, _: Option<&_>| SliceRecord::cut(&object);
        spawn(Api::all(client), options, cut, changed)
    }
    start(client, options, Box::new(changed))
}

/// Watches Nodes.
pub fn nodes(client: Client, options: Options, changed: impl Fn(ObjectKey) + Send + 'static) -> Store<Node> {
    fn start(client: Client, options: Options, changed: Listener) -> Store<Node> {
        spawn(Api::all(client), options, |object: objects::Node, _: Option<&_>| facts::node(&object), changed)
    }
    start(client, options, Box::new(changed))
}

/// Watches the EndpointSlice that says where the API server is reached. It need not be readable.
pub fn api_server(
    client: Client,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<ApiServerRecord> {
    fn start(client: Client, options: Options, changed: Listener) -> Store<ApiServerRecord> {
        let options = options.optional().fields("metadata.name=kubernetes");
        let cut = |object: objects::AddressSlice, _: Option<&_>| Some(ApiServerRecord::cut(&object));
        spawn(Api::namespaced(client, "default"), options, cut, changed)
    }
    start(client, options, Box::new(changed))
}

/// Watches Namespaces.
pub fn namespaces(
    client: Client,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<Namespace> {
    fn start(client: Client, options: Options, changed: Listener) -> Store<Namespace> {
        let cut = |object: objects::Namespace, _: Option<&_>| facts::namespace(&object);
        spawn(Api::all(client), options, cut, changed)
    }
    start(client, options, Box::new(changed))
}

/// Watches the Pods of speakers, chosen by the labels in `options`.
pub fn speaker_pods(
    client: Client,
    namespace: &str,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<SpeakerPod> {
    fn start(client: Client, namespace: &str, options: Options, changed: Listener) -> Store<SpeakerPod> {
        let cut = |object: objects::Pod, _: Option<&_>| SpeakerPod::cut(&object);
        spawn(Api::namespaced(client, namespace), options, cut, changed)
    }
    start(client, namespace, options, Box::new(changed))
}

/// Watches on which nodes there are Pods of MetalLB's namespace that may be speakers.
pub fn speaker_nodes(client: Client, namespace: &str, options: Options) -> Store<SpeakerNode> {
    let cut = |object: objects::Pod, _: Option<&_>| SpeakerNode::cut(&object);
    spawn(Api::namespaced(client, namespace), options, cut, |_| {})
}

/// Watches the Layer 2 statuses that the speaker on `node` wrote.
pub fn layer2_statuses(
    client: Client,
    namespace: &str,
    node: &str,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<ServiceStatusRecord> {
    fn start(
        client: Client,
        namespace: &str,
        options: Options,
        changed: Listener,
    ) -> Store<ServiceStatusRecord> {
        let cut = |object: ServiceL2Status, _: Option<&_>| Some(ServiceStatusRecord::layer2(&object));
        spawn(Api::namespaced(client, namespace), options, cut, changed)
    }
    let options = options.labels(format!("{NODE_LABEL}={}", label_value(node)));
    start(client, namespace, options, Box::new(changed))
}

/// Watches the BGP statuses that the speaker on `node` wrote.
pub fn bgp_statuses(
    client: Client,
    namespace: &str,
    node: &str,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<ServiceStatusRecord> {
    fn start(
        client: Client,
        namespace: &str,
        options: Options,
        changed: Listener,
    ) -> Store<ServiceStatusRecord> {
        let cut = |object: ServiceBGPStatus, _: Option<&_>| Some(ServiceStatusRecord::bgp(&object));
        spawn(Api::namespaced(client, namespace), options, cut, changed)
    }
    let options = options.labels(format!("{NODE_LABEL}={}", label_value(node)));
    start(client, namespace, options, Box::new(changed))
}

/// Watches the `ConfigurationState` of a component.
pub fn configuration_state(
    client: Client,
    namespace: &str,
    component: &Component,
    options: Options,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<StateRecord> {
    fn start(client: Client, namespace: &str, options: Options, changed: Listener) -> Store<StateRecord> {
        let cut = |object: ConfigurationState, _: Option<&_>| Some(StateRecord::cut(&object));
        spawn(Api::namespaced(client, namespace), options, cut, changed)
    }
    let options = options.fields(format!("metadata.name={}", component.state_name()));
    start(client, namespace, options, Box::new(changed))
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
    fn start(api: Api<DynamicObject>, options: Options, changed: Listener) -> Store<FrrNeighbors> {
        spawn(api, options, |object: DynamicObject, _: Option<&_>| Some(FrrNeighbors::cut(&object)), changed)
    }
    let gvk = GroupVersionKind::gvk("frrk8s.metallb.io", "v1beta1", "FRRConfiguration");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "frrconfigurations");
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
    let options = options.optional().fields(format!("metadata.name={}", frr_configuration_name(node)));
    start(api, options, Box::new(changed))
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
    /// MetalLB's namespace.
    pub fn spawn(
        client: &Client,
        namespace: &str,
        options: &Options,
        changed: impl Fn(Touched) + Send + Sync + 'static,
    ) -> Self {
        let changed: Arc<dyn Fn(Touched) + Send + Sync> = Arc::new(changed);
        Self::start(client, namespace, options, &changed)
    }

    fn start(
        client: &Client,
        namespace: &str,
        options: &Options,
        changed: &Arc<dyn Fn(Touched) + Send + Sync>,
    ) -> Self {
        let notify = |kind: Kind| {
            let changed = Arc::clone(changed);
            move |key: ObjectKey, change: Change| match change {
                Change::Content => changed(Touched::Configuration),
                Change::Aside => changed(Touched::Status(kind, key)),
            }
        };
        let cut = |object: objects::Secret, _: Option<&_>| Some(PasswordRecord::cut(&object));
        let secrets = Arc::clone(changed);
        let secrets = move |_| secrets(Touched::Configuration);
        let (client, options) = (|| client.clone(), || options.clone());
        Self {
            pools: spawn_config(client(), namespace, options(), notify(Kind::Pool)),
            l2_advertisements: spawn_config(client(), namespace, options(), notify(Kind::L2Advertisement)),
            bgp_advertisements: spawn_config(client(), namespace, options(), notify(Kind::BgpAdvertisement)),
            peers: spawn_config(client(), namespace, options(), notify(Kind::Peer)),
            communities: spawn_config(client(), namespace, options(), notify(Kind::Community)),
            bfd_profiles: spawn_config(client(), namespace, options(), notify(Kind::BfdProfile)),
            passwords: spawn(Api::namespaced(client(), namespace), options(), cut, secrets),
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

    /// What has not been listed so far, and whether that is because it may not be or is not known to the API server.
    pub fn unlisted(&self) -> BTreeMap<Source, Unlisted> {
        let [pool, layer2, bgp] = [Kind::Pool, Kind::L2Advertisement, Kind::BgpAdvertisement];
        let sources = [
            (Source::Objects(pool), state(&self.pools)),
            (Source::Objects(layer2), state(&self.l2_advertisements)),
            (Source::Objects(bgp), state(&self.bgp_advertisements)),
            (Source::Objects(Kind::Peer), state(&self.peers)),
            (Source::Objects(Kind::Community), state(&self.communities)),
            (Source::Objects(Kind::BfdProfile), state(&self.bfd_profiles)),
            (Source::Secrets, state(&self.passwords)),
        ];
        sources.into_iter().filter_map(|(source, state)| Some((source, state?))).collect()
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

    /// The object of this kind and name with what is needed to write its status.
    pub fn status_target(&self, kind: Kind, key: &ObjectKey) -> Option<StatusTarget> {
        match kind {
            Kind::Pool => target(kind, self.pools.get(key)?.as_ref()),
            Kind::L2Advertisement => target(kind, self.l2_advertisements.get(key)?.as_ref()),
            Kind::BgpAdvertisement => target(kind, self.bgp_advertisements.get(key)?.as_ref()),
            Kind::Peer => target(kind, self.peers.get(key)?.as_ref()),
            Kind::Community => target(kind, self.communities.get(key)?.as_ref()),
            Kind::BfdProfile => target(kind, self.bfd_profiles.get(key)?.as_ref()),
        }
        .into()
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

/// Something that the configuration is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "all there are")]
pub enum Source {
    /// Configuration objects of a kind.
    Objects(Kind),
    /// The Secrets that peers refer to.
    Secrets,
}

impl Source {
    /// The resource, as rules of RBAC name it.
    pub fn rule(self) -> String {
        match self {
            Self::Objects(kind) => format!("{}.{GROUP}", resource(kind).0),
            Self::Secrets => "secrets".to_owned(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Objects(kind) => kind.fmt(f),
            Self::Secrets => f.write_str("Secret"),
        }
    }
}

/// Why something has not been listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing between")]
pub enum Unlisted {
    /// It is on its way.
    Waiting,
    /// It may not be listed, or the API server does not know it.
    Barred,
}

fn state<T>(store: &Store<T>) -> Option<Unlisted> {
    let waiting = if store.is_settled() { Unlisted::Barred } else { Unlisted::Waiting };
    (!store.is_synced()).then_some(waiting)
}

/// What changed of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever watches must know all")]
pub enum Touched {
    /// Something that counts: the configuration has to be judged anew.
    Configuration,
    /// Nothing but the status, or other things that we do not read, of one object.
    Status(Kind, ObjectKey),
}

/// A configuration object whose status may have to be written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StatusTarget {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Which version of which object it is.
    pub identity: Identity,
    /// Generation of its spec.
    pub generation: Option<i64>,
    /// Its status as it stands in the cluster.
    pub status: serde_json::Value,
    /// The field manager that wrote that, where it was not us.
    pub rewritten_by: Option<Arc<str>>,
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
        identity: object.identity.clone(),
        generation: object.generation,
        status: object.status.clone(),
        rewritten_by: object.rewritten_by.clone(),
    }
}

fn objects<K>(store: &Store<ConfigObject<K>>) -> Vec<Object<K>> {
    store.all().iter().map(|(_, object)| Object::from(object.as_ref())).collect()
}
