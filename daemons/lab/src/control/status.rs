//! How everything in a lab is, asked of everything in it.

use std::collections::BTreeMap;

use super::{NodeStatus, RouterStatus, ServiceStatus, Status};
use crate::cluster;
use crate::error::Error;
use crate::lab::Lab;
use crate::router;

/// Asks processes, API, router and kernel.
pub(crate) async fn of(lab: &Lab) -> Result<Status, Error> {
    let mut nodes = BTreeMap::new();
    for (name, node) in &lab.nodes {
        let addresses = node.host.place.addresses().map(|(address, _)| address.to_string()).to_vec();
        let (link_up, speaker) = (node.link_up().await, node.speaker_state().await);
        let sessions = lab.speaker_sessions(node).await?;
        nodes.insert(name.clone(), NodeStatus { addresses, link_up, speaker, sessions });
    }
    let services = cluster::services(&lab.api).await?;
    let owners = cluster::layer2_owners(&lab.api).await?;
    let speakers = cluster::bgp_speakers(&lab.api).await?;
    let services = services.into_iter().map(|service| {
        let status = ServiceStatus {
            addresses: service.addresses.iter().map(ToString::to_string).collect(),
            layer2: owners.get(&service.key).cloned(),
            bgp: speakers.get(&service.key).cloned().unwrap_or_default(),
        };
        (service.key.to_string(), status)
    });
    let kernel = router::kernel_routes(&lab.router_room).await?;
    let texts = |(prefix, hops): (_, std::collections::BTreeSet<std::net::IpAddr>)| {
        let prefix: ipnetwork::IpNetwork = prefix;
        (prefix.to_string(), hops.iter().map(ToString::to_string).collect())
    };
    Ok(Status {
        name: lab.options.name.to_string(),
        kubeconfig: lab.dir.kubeconfig().display().to_string(),
        api: lab.api_url.clone(),
        logs: lab.dir.path().join("log").display().to_string(),
        controller: lab.controller_state().await,
        nodes,
        services: services.collect(),
        router: RouterStatus {
            kind: lab.router.kind().to_string(),
            sessions: lab.router.sessions().await?,
            received: lab.router.received().await?,
            kernel: kernel.into_iter().map(texts).collect(),
        },
    })
}
