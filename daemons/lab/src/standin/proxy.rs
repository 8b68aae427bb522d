//! In place of kube-proxy and pods: every node holds the service addresses on its loopback and
//! answers HTTP on their ports with its own name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::{Host, World};
use crate::http::{self, Backend};
use crate::net::links;

/// Label of an EndpointSlice with the name of its service.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// All nodes' addresses and backends, as they are now.
#[derive(Debug)]
pub(super) struct Proxy {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    host: Host,
    addresses: BTreeSet<IpAddr>,
    backends: BTreeMap<SocketAddr, (Backend, AbortHandle)>,
}

/// What a node should have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    addresses: BTreeSet<IpAddr>,
    backends: BTreeMap<SocketAddr, Backend>,
}

impl Proxy {
    pub(super) fn new(hosts: Vec<Host>) -> Self {
        let node = |host| Node { host, addresses: BTreeSet::new(), backends: BTreeMap::new() };
        Self { nodes: hosts.into_iter().map(node).collect() }
    }

    pub(super) async fn update(&mut self, world: &World) {
        for node in &mut self.nodes {
            let wanted = wanted(world, &node.host.place.name);
            node.turn_into(wanted).await;
        }
    }
}

impl Node {
    async fn turn_into(&mut self, wanted: Wanted) {
        let gone: Vec<_> = self
            .backends
            .iter()
            .filter(|(at, (backend, _))| wanted.backends.get(*at) != Some(backend))
            .map(|(at, _)| *at)
            .collect();
        for at in gone {
            if let Some((_, task)) = self.backends.remove(&at) {
                task.abort();
            }
        }
        for address in self.addresses.difference(&wanted.addresses).copied().collect::<Vec<_>>() {
            match links::remove_address(&self.host.room, "lo", address).await {
                Ok(()) => drop(self.addresses.remove(&address)),
                Err(error) => tracing::warn!(error = %error.report(), "layer2 stand-in"),
            }
        }
        for address in wanted.addresses.difference(&self.addresses).copied().collect::<Vec<_>>() {
            let length = if address.is_ipv4() { 32 } else { 128 };
            match links::add_address(&self.host.room, "lo", address, length).await {
                Ok(()) => drop(self.addresses.insert(address)),
                Err(error) => tracing::warn!(error = %error.report(), "layer2 stand-in"),
            }
        }
        for (at, backend) in wanted.backends {
            if !self.backends.contains_key(&at) {
                self.open(at, backend).await;
            }
        }
    }

    async fn open(&mut self, at: SocketAddr, backend: Backend) {
        let serving = backend.clone();
        let opened = self
            .host
            .room
            .run(async move {
                let listener = TcpListener::bind(at).await?;
                Ok::<_, std::io::Error>(tokio::spawn(http::serve(listener, serving)).abort_handle())
            })
            .await;
        match opened {
            Ok(Ok(task)) => drop(self.backends.insert(at, (backend, task))),
            Ok(Err(error)) => tracing::warn!(%error, %at, "the backend cannot listen"),
            Err(error) => tracing::warn!(error = %error.report(), %at, "the backend cannot listen"),
        }
    }
}

fn wanted(world: &World, node: &str) -> Wanted {
    let mut wanted = Wanted::default();
    for ((namespace, name), service) in &world.services {
        let addresses = addresses(service);
        wanted.addresses.extend(&addresses);
        let slices = world.slices.iter().filter(|((ns, _), slice)| ns == namespace && serves(slice, name));
        if !reachable(service, slices.map(|(_, slice)| slice), node) {
            continue;
        }
        for address in addresses {
            for port in tcp_ports(service) {
                let backend = Backend { node: node.to_owned(), service: format!("{namespace}/{name}") };
                wanted.backends.insert((address, port).into(), backend);
            }
        }
    }
    wanted
}

/// The addresses that the load balancer gave.
fn addresses(service: &Service) -> Vec<IpAddr> {
    service
        .status
        .iter()
        .filter_map(|status| status.load_balancer.as_ref())
        .flat_map(|balancer| balancer.ingress.iter().flatten())
        .filter_map(|ingress| ingress.ip.as_ref()?.parse().ok())
        .collect()
}

fn tcp_ports(service: &Service) -> Vec<u16> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
        .filter_map(|port| u16::try_from(port.port).ok())
        .collect()
}

fn serves(slice: &EndpointSlice, service: &str) -> bool {
    slice
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(SERVICE_NAME))
        .is_some_and(|name| name == service)
}

/// Whether kube-proxy on this node would pass a packet on: to any endpoint, or with
/// `externalTrafficPolicy: Local` to one on the node.
fn reachable<'a>(service: &Service, slices: impl Iterator<Item = &'a EndpointSlice>, node: &str) -> bool {
    let local =
        service.spec.as_ref().and_then(|spec| spec.external_traffic_policy.as_deref()) == Some("Local");
    slices
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true))
        .any(|endpoint| !local || endpoint.node_name.as_deref() == Some(node))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn mk_world(policy: &str, endpoint_node: &str) -> World {
        let service: Service = from(json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"externalTrafficPolicy": policy, "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.100"}]}},
        }));
        let slice: EndpointSlice = from(json!({
            "metadata": {"name": "web-x", "namespace": "default", "labels": {SERVICE_NAME: "web"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": endpoint_node}],
        }));
        let mut world = World::default();
        world.services.insert(("default".into(), "web".into()), service);
        world.slices.insert(("default".into(), "web-x".into()), slice);
        world
    }

    fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_node_answers_with_policy_cluster() {
        let wanted = wanted(&mk_world("Cluster", "node1"), "node2");
        let at: SocketAddr = "192.0.2.100:80".parse().unwrap();
        assert_eq!(wanted.backends.keys().collect::<Vec<_>>(), [&at]);
    }

    #[test]
    fn only_the_endpoints_node_answers_with_policy_local() {
        let world = mk_world("Local", "node1");
        assert_eq!(wanted(&world, "node1").backends.len(), 1);
        assert_eq!(wanted(&world, "node2").backends.len(), 0);
        assert_eq!(wanted(&world, "node2").addresses.len(), 1);
    }

    #[test]
    fn without_endpoints_nobody_answers() {
        let mut world = mk_world("Cluster", "node1");
        world.slices.clear();
        assert_eq!(wanted(&world, "node1").backends.len(), 0);
    }
}
