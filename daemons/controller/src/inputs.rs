//! What the controller watches.

use std::sync::Arc;

use kube::Client;
use metallb_core::facts::Namespace;
use metallb_k8s::facts::{ClassFilter, ServiceRecord};
use metallb_k8s::queue::Queue;
use metallb_k8s::retry::Retries;
use metallb_k8s::watch::{self, Configuration, ObjectKey, Options, Store};
use metallb_k8s::write::Stats;

/// What has to be looked at again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A Service that changed.
    Service(ObjectKey),
    /// A Service that has to be decided on again, whether it is seen to have changed or not.
    Outdated(ObjectKey),
    /// A Namespace.
    Namespace(ObjectKey),
    /// The configuration as a whole.
    Configuration,
}

/// The watches, and the queue of what changed.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// MetalLB's namespace.
    pub namespace: String,
    /// Services that are ours.
    pub services: Store<ServiceRecord>,
    /// Namespaces.
    pub namespaces: Store<Namespace>,
    /// Configuration resources.
    pub configuration: Configuration,
    /// What changed.
    pub queue: Queue<Key>,
}

impl Inputs {
    /// Starts all watches.
    pub(crate) fn start(
        client: &Client,
        namespace: &str,
        class: ClassFilter,
        stats: &Arc<Stats>,
        retries: &Retries,
    ) -> Self {
        let queue = Queue::new();
        let options = Options::new(Arc::clone(stats), retries.clone());
        let (services, namespaces, configuration) = (queue.clone(), queue.clone(), queue.clone());
        Self {
            namespace: namespace.to_owned(),
            services: watch::services(client.clone(), class, options.clone(), move |key| {
                services.push(Key::Service(key));
            }),
            namespaces: watch::namespaces(client.clone(), options.clone(), move |key| {
                namespaces.push(Key::Namespace(key));
            }),
            configuration: Configuration::spawn(client, namespace, &options, move || {
                configuration.push(Key::Configuration);
            }),
            queue,
        }
    }

    /// Waits until everything that addresses depend on has been listed once.
    pub(crate) async fn synced(&self) {
        self.services.synced().await;
        self.namespaces.synced().await;
        self.configuration.settled().await;
    }
}
