//! What a status is made of, as it was seen at one moment.

use kube::Client;
use kube::api::ListParams;
use metallb_k8s::crd::GROUP;
use metallb_k8s::facts::objects;
use serde::Deserialize;

use crate::cluster::{Wanted, every_as};
use crate::connect::ConnectArgs;
use crate::exit::Trouble;
use crate::sessions::gather_events;
use crate::snapshot::Snapshot;
use crate::voices::{Voices, daemons};

/// Objects of a cluster; of the kinds that there may be thousands of, only the fields that are needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Configuration, pods, events, and what could not be seen.
    pub(crate) snapshot: Snapshot,
    pub(crate) services: Vec<objects::Service>,
    pub(crate) nodes: Vec<objects::Node>,
    /// What speakers say that they announce by Layer 2.
    pub(crate) layer2: Vec<Said>,
    /// What speakers say that they advertise by BGP.
    pub(crate) bgp: Vec<Said>,
}

/// One speaker's word about one service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Said {
    pub(crate) node: String,
    pub(crate) service_name: String,
    pub(crate) service_namespace: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidObject {
    status: Said,
}

const KINDS: [Wanted; 8] = [
    (GROUP, "v1beta1", "IPAddressPool", "ipaddresspools", false),
    (GROUP, "v1beta1", "L2Advertisement", "l2advertisements", false),
    (GROUP, "v1beta1", "BGPAdvertisement", "bgpadvertisements", false),
    (GROUP, "v1beta2", "BGPPeer", "bgppeers", false),
    (GROUP, "v1beta1", "Community", "communities", true),
    (GROUP, "v1beta1", "BFDProfile", "bfdprofiles", true),
    (GROUP, "v1beta1", "ConfigurationState", "configurationstates", true),
    ("", "v1", "Pod", "pods", true),
];
const SERVICES: Wanted = ("", "v1", "Service", "services", false);
const NODES: Wanted = ("", "v1", "Node", "nodes", false);
const LAYER2: Wanted = (GROUP, "v1beta1", "ServiceL2Status", "servicel2statuses", true);
const BGP: Wanted = (GROUP, "v1beta1", "ServiceBGPStatus", "servicebgpstatuses", true);

impl Facts {
    /// Lists everything, page by page. What the asker may not see is noted, and no error. With a namespace, only its
    /// services.
    pub(crate) async fn gather(
        client: &Client,
        args: &ConnectArgs,
        namespace: Option<&str>,
    ) -> Result<Self, Trouble> {
        let mut facts = Self { snapshot: Snapshot::of_kinds(client, args, &KINDS).await?, ..Self::default() };
        let ours = facts.snapshot.namespace.clone();
        let all = ListParams::default;
        let (group, version, kind, plural, _) = SERVICES;
        let services = (group, version, kind, plural, namespace.is_some());
        let listed =
            every_as(client, namespace.unwrap_or_default(), services, all(), |it| facts.services.push(it));
        let listed = listed.await;
        facts.snapshot.note(SERVICES, listed)?;
        let listed = every_as(client, &ours, NODES, all(), |it| facts.nodes.push(it)).await;
        facts.snapshot.note(NODES, listed)?;
        let take = |it: SaidObject| facts.layer2.push(it.status);
        let listed = every_as(client, &ours, LAYER2, all(), take).await;
        facts.snapshot.note(LAYER2, listed)?;
        let take = |it: SaidObject| facts.bgp.push(it.status);
        let listed = every_as(client, &ours, BGP, all(), take).await;
        facts.snapshot.note(BGP, listed)?;
        let asked = facts.asked();
        facts.snapshot.voices = Voices::hear(client, &ours, &asked).await;
        gather_events(client, &mut facts.snapshot).await?;
        Ok(facts)
    }

    /// The daemons whose word is needed: the controllers, and the speakers where there are peers.
    fn asked(&self) -> Vec<crate::daemon::Daemon> {
        let has_peers = self.snapshot.of("BGPPeer").next().is_some();
        let mut daemons = daemons(&self.snapshot);
        daemons.retain(|daemon| has_peers || daemon.component == "controller");
        daemons
    }
}
