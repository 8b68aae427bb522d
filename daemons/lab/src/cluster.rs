//! What the API says: services with their addresses, who announces them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::{Api, Client};
use metallb_core::keys::ServiceKey;
use metallb_core::select::Labels;
use metallb_k8s::crd::{ServiceBGPStatus, ServiceL2Status};

use crate::error::Error;

/// A service of type LoadBalancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) key: ServiceKey,
    pub(crate) labels: Labels,
    pub(crate) addresses: Vec<IpAddr>,
    /// Its first TCP port.
    pub(crate) port: Option<u16>,
    /// Only nodes with an endpoint of their own answer.
    pub(crate) local: bool,
}

/// All services of type LoadBalancer, by name.
pub(crate) async fn services(client: &Client) -> Result<Vec<Shown>, Error> {
    let api: Api<Service> = Api::all(client.clone());
    let list = api.list(&ListParams::default()).await.map_err(Error::api("listing services"))?;
    let mut shown: Vec<_> = list.items.iter().filter_map(show).collect();
    shown.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(shown)
}

fn show(service: &Service) -> Option<Shown> {
    let spec = service.spec.as_ref().filter(|spec| spec.type_.as_deref() == Some("LoadBalancer"))?;
    let ingress = service.status.iter().filter_map(|status| status.load_balancer.as_ref());
    let ports = spec.ports.iter().flatten();
    let tcp = |protocol: Option<&str>| protocol.unwrap_or("TCP") == "TCP";
    Some(Shown {
        key: ServiceKey::new(
            service.metadata.namespace.as_deref().unwrap_or_default(),
            service.metadata.name.as_deref().unwrap_or_default(),
        ),
        labels: service.metadata.labels.clone().unwrap_or_default().into_iter().collect(),
        addresses: ingress
            .flat_map(|balancer| balancer.ingress.iter().flatten())
            .filter_map(|ingress| ingress.ip.as_ref()?.parse().ok())
            .collect(),
        port: ports
            .filter(|port| tcp(port.protocol.as_deref()))
            .find_map(|port| u16::try_from(port.port).ok()),
        local: spec.external_traffic_policy.as_deref() == Some("Local"),
    })
}

/// Per service the node that says it announces it by ARP and NDP.
pub(crate) async fn layer2_owners(client: &Client) -> Result<BTreeMap<ServiceKey, String>, Error> {
    let api: Api<ServiceL2Status> = Api::all(client.clone());
    let list = api.list(&ListParams::default()).await.map_err(Error::api("listing ServiceL2Statuses"))?;
    let statuses = list.items.into_iter().filter_map(|object| object.status);
    Ok(statuses
        .map(|status| (ServiceKey::new(status.service_namespace, status.service_name), status.node))
        .collect())
}

/// Per service and node the peers it is announced to by BGP.
pub(crate) async fn bgp_speakers(
    client: &Client,
) -> Result<BTreeMap<ServiceKey, BTreeMap<String, Vec<String>>>, Error> {
    let api: Api<ServiceBGPStatus> = Api::all(client.clone());
    let list = api.list(&ListParams::default()).await.map_err(Error::api("listing ServiceBGPStatuses"))?;
    let mut speakers: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for status in list.items.into_iter().filter_map(|object| object.status) {
        let key = ServiceKey::new(status.service_namespace, status.service_name);
        speakers.entry(key).or_default().insert(status.node, status.peers);
    }
    Ok(speakers)
}
