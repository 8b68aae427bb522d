//! What the controller watches.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use kube::Client;
use metallb_core::config::Kind;
use metallb_core::facts::{AddressOwner, Namespace, Node};
use metallb_core::keys::NodeName;
use metallb_k8s::facts::{ApiServerRecord, ClassFilter, SeenService, SpeakerNode};
use metallb_k8s::queue::Queue;
use metallb_k8s::retry::Retries;
use metallb_k8s::watch::{self, Configuration, ObjectKey, Options, Store, Touched};
use metallb_k8s::write::state::StateRecord;
use metallb_k8s::write::status::Component;
use metallb_k8s::write::{Contest, Stats};

/// What has to be looked at again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A Service that changed.
    Service(ObjectKey),
    /// A Service that has to be decided on again, whether it is seen to have changed or not.
    Outdated(ObjectKey),
    /// A Namespace.
    Namespace(ObjectKey),
    /// A Node.
    Node(ObjectKey),
    /// Where the API server is reached.
    ApiServer,
    /// The configuration as a whole.
    Configuration,
    /// The status of a configuration object.
    Status(Kind, ObjectKey),
    /// The controller's own `ConfigurationState`.
    State,
    /// Somebody else undoes what is written.
    Contest(Contest),
}

/// The watches, and the queue of what changed.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// MetalLB's namespace.
    pub namespace: String,
    /// Services that are ours, and those of others with addresses.
    pub services: Store<SeenService>,
    /// Namespaces.
    pub namespaces: Store<Namespace>,
    /// Nodes, for their addresses, and for what those that are gone leave behind.
    pub nodes: Store<Node>,
    /// Where the API server is reached.
    pub api_server: Store<ApiServerRecord>,
    /// The address under which this controller reaches it, when it knows one.
    server: Option<IpAddr>,
    /// Configuration resources.
    pub configuration: Configuration,
    /// The controller's own `ConfigurationState`.
    pub state: Store<StateRecord>,
    /// Where speakers are, where Pods may be listed.
    pub speakers: Store<SpeakerNode>,
    /// What changed.
    pub queue: Queue<Key>,
}

impl Inputs {
    /// Starts all watches.
    pub(crate) fn start(
        (client, server): (&Client, Option<IpAddr>),
        namespace: &str,
        class: ClassFilter,
        stats: &Arc<Stats>,
        retries: &Retries,
    ) -> Self {
        let queue = Queue::new();
        let options = Options::new(Arc::clone(stats), retries.clone());
        let (services, namespaces) = (queue.clone(), queue.clone());
        let (configuration, state) = (queue.clone(), queue.clone());
        let (nodes, api_server) = (queue.clone(), queue.clone());
        Self {
            namespace: namespace.to_owned(),
            services: watch::all_services(client.clone(), class, options.clone(), move |key| {
                services.push(Key::Service(key));
            }),
            namespaces: watch::namespaces(client.clone(), options.clone(), move |key| {
                namespaces.push(Key::Namespace(key));
            }),
            nodes: watch::nodes(client.clone(), options.clone().extra(), move |key| {
                nodes.push(Key::Node(key));
            }),
            api_server: watch::api_server(client.clone(), options.clone(), move |_| {
                api_server.push(Key::ApiServer);
            }),
            server,
            configuration: Configuration::spawn(client, namespace, &options, move |touched| {
                configuration.push(match touched {
                    Touched::Configuration => Key::Configuration,
                    Touched::Status(kind, key) => Key::Status(kind, key),
                });
            }),
            state: watch::configuration_state(
                client.clone(),
                namespace,
                &Component::Controller,
                options.clone().extra(),
                move |_| state.push(Key::State),
            ),
            speakers: watch::speaker_nodes(client.clone(), namespace, options.extra()),
            queue,
        }
    }

    /// The addresses of everybody who has some of their own, except for the BGP peers'.
    pub(crate) fn owners(&self) -> Vec<(AddressOwner, BTreeSet<IpAddr>)> {
        let nodes = self.nodes.all().into_iter();
        let nodes = nodes.map(|(_, node)| (AddressOwner::Node(node.name.clone()), node.own_addresses()));
        nodes.chain([self.api_server()]).collect()
    }

    /// A node that changed, with its addresses; none when it is gone.
    pub(crate) fn node(&self, key: &ObjectKey) -> (AddressOwner, BTreeSet<IpAddr>) {
        let addresses = self.nodes.get(key).map(|node| node.own_addresses());
        (AddressOwner::Node(NodeName::new(&*key.name)), addresses.unwrap_or_default())
    }

    /// The API server with its addresses.
    pub(crate) fn api_server(&self) -> (AddressOwner, BTreeSet<IpAddr>) {
        let told = self.api_server.all().into_iter().flat_map(|(_, record)| record.addresses.clone());
        (AddressOwner::ApiServer, told.chain(self.server).collect())
    }

    /// Waits until everything that addresses depend on has been listed once.
    pub(crate) async fn synced(&self) {
        self.services.synced().await;
        self.namespaces.synced().await;
        // Without these, addresses that are visibly somebody's may be given out; the rest of the work is done.
        self.nodes.settled().await;
        self.api_server.settled().await;
        self.configuration.settled().await;
    }
}
