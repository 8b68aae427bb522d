//! What the speaker watches.

use std::sync::Arc;

use kube::Client;
use metallb_core::facts::Node;
use metallb_core::keys::NodeName;
use metallb_k8s::convert::FrrNeighbors;
use metallb_k8s::facts::{ClassFilter, ServiceRecord, SliceRecord, SpeakerPod};
use metallb_k8s::queue::Queue;
use metallb_k8s::retry::Retries;
use metallb_k8s::watch::{self, Configuration, ObjectKey, Options, Store, Touched};
use metallb_k8s::write::state::StateRecord;
use metallb_k8s::write::status::{Component, ServiceStatusRecord, StatusKind};
use metallb_k8s::write::{Contest, Stats};

/// What has to be looked at again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A Service.
    Service(ObjectKey),
    /// An EndpointSlice.
    Slice(ObjectKey),
    /// A Node.
    Node(ObjectKey),
    /// The Pods of speakers.
    Speakers,
    /// A status resource of this node.
    Status(StatusKind, ObjectKey),
    /// A status resource whose write was given up, as it had changed.
    OutdatedStatus(StatusKind, ObjectKey),
    /// The configuration as a whole.
    Configuration,
    /// This node's `ConfigurationState`.
    State,
    /// Somebody else undoes what is written.
    Contest(Contest),
}

/// What is watched, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// MetalLB's namespace.
    pub namespace: &'a str,
    /// This node.
    pub node: &'a str,
    /// The namespace of frr-k8s, which an earlier MetalLB may have configured.
    pub frr: &'a str,
    /// Labels of the speakers' Pods; `None` without membership.
    pub speakers: Option<&'a str>,
}

/// The watches, and the queue of what changed.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// Services that are ours.
    pub services: Store<ServiceRecord>,
    /// EndpointSlices.
    pub slices: Store<SliceRecord>,
    /// Nodes.
    pub nodes: Store<Node>,
    /// Pods of speakers, with membership.
    pub speakers: Option<Store<SpeakerPod>>,
    /// Layer 2 statuses that this node wrote.
    pub layer2: Store<ServiceStatusRecord>,
    /// BGP statuses that this node wrote.
    pub bgp: Store<ServiceStatusRecord>,
    /// This node's `ConfigurationState`.
    pub state: Store<StateRecord>,
    /// Configuration resources.
    pub configuration: Configuration,
    /// What an earlier MetalLB told frr-k8s about this node.
    pub frr: Store<FrrNeighbors>,
    /// What changed.
    pub queue: Queue<Key>,
}

impl Inputs {
    /// Starts all watches.
    pub(crate) fn start(
        client: &Client,
        scope: Scope<'_>,
        class: ClassFilter,
        stats: &Arc<Stats>,
        retries: &Retries,
    ) -> Self {
        let Scope { namespace, node, frr, speakers } = scope;
        let queue = Queue::new();
        let push = |key: fn(ObjectKey) -> Key| {
            let queue = queue.clone();
            move |object| queue.push(key(object))
        };
        let options = Options::new(Arc::clone(stats), retries.clone());
        let load_balancers = options.clone().fields("spec.type=LoadBalancer");
        let changed = queue.clone();
        let frr_changed = push(|_| Key::Configuration);
        let (l2, bgp): (fn(_) -> _, fn(_) -> _) =
            (|key| Key::Status(StatusKind::Layer2, key), |key| Key::Status(StatusKind::Bgp, key));
        Self {
            services: watch::services(client.clone(), class, load_balancers, push(Key::Service)),
            slices: watch::endpoint_slices(client.clone(), options.clone(), push(Key::Slice)),
            nodes: watch::nodes(client.clone(), options.clone(), push(Key::Node)),
            speakers: speakers.map(|labels| {
                let options = options.clone().labels(labels);
                watch::speaker_pods(client.clone(), namespace, options, push(|_| Key::Speakers))
            }),
            layer2: watch::layer2_statuses(client.clone(), namespace, node, options.clone(), push(l2)),
            bgp: watch::bgp_statuses(client.clone(), namespace, node, options.clone(), push(bgp)),
            state: watch::configuration_state(
                client.clone(),
                namespace,
                &Component::Speaker(NodeName::new(node)),
                options.clone().extra(),
                push(|_| Key::State),
            ),
            configuration: Configuration::spawn(client, namespace, &options, move |touched| {
                // Statuses of configuration objects are the controller's.
                if touched == Touched::Configuration {
                    changed.push(Key::Configuration);
                }
            }),
            frr: watch::frr_configuration(client.clone(), frr, node, options, frr_changed),
            queue,
        }
    }

    /// Waits until everything that announcements depend on has been listed once.
    pub(crate) async fn synced(&self) {
        self.services.synced().await;
        self.slices.synced().await;
        self.nodes.synced().await;
        if let Some(speakers) = &self.speakers {
            speakers.synced().await;
        }
        self.configuration.settled().await;
        self.frr.settled().await;
    }

    /// Waits until the next of this node's kinds of status has been listed; those that `known` says are not waited for.
    /// Ends never when all of them have.
    pub(crate) async fn status_listed(&self, known: impl Fn(StatusKind) -> bool) -> StatusKind {
        tokio::select! {
            () = self.layer2.settled(), if !known(StatusKind::Layer2) => StatusKind::Layer2,
            () = self.bgp.settled(), if !known(StatusKind::Bgp) => StatusKind::Bgp,
            else => std::future::pending().await,
        }
    }

    /// The names of the status resources of a kind that stand in the cluster.
    pub(crate) fn statuses(&self, kind: StatusKind) -> Vec<String> {
        let store = match kind {
            StatusKind::Layer2 => &self.layer2,
            StatusKind::Bgp => &self.bgp,
        };
        store.all().into_iter().map(|(key, _)| key.name.to_string()).collect()
    }

    /// The status resource of a kind as it stands in the cluster.
    pub(crate) fn status(&self, kind: StatusKind, key: &ObjectKey) -> Option<Arc<ServiceStatusRecord>> {
        match kind {
            StatusKind::Layer2 => self.layer2.get(key),
            StatusKind::Bgp => self.bgp.get(key),
        }
    }
}
