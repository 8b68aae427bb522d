//! What a status is made of, as it was seen at one moment.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kube::Client;
use kube::api::ListParams;
use metallb_k8s::facts::{ApiServerRecord, objects};
use serde::Deserialize;

use crate::cluster::every_as;
use crate::connect::ConnectArgs;
use crate::exit::Trouble;
use crate::kinds::{self, Wanted};
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
    /// Where the API server is reached.
    pub(crate) api_server: BTreeSet<IpAddr>,
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
    kinds::POOLS,
    kinds::L2_ADVERTISEMENTS,
    kinds::BGP_ADVERTISEMENTS,
    kinds::PEERS,
    kinds::COMMUNITIES,
    kinds::BFD_PROFILES,
    kinds::STATES,
    kinds::PODS,
];

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
        let services = if namespace.is_some() { kinds::in_one(kinds::SERVICES) } else { kinds::SERVICES };
        let listed =
            every_as(client, namespace.unwrap_or_default(), services, all(), |it| facts.services.push(it));
        let listed = listed.await;
        facts.snapshot.note(kinds::SERVICES, listed)?;
        let listed = every_as(client, &ours, kinds::NODES, all(), |it| facts.nodes.push(it)).await;
        facts.snapshot.note(kinds::NODES, listed)?;
        facts.api_server(client).await?;
        let take = |it: SaidObject| facts.layer2.push(it.status);
        let listed = every_as(client, &ours, kinds::L2_STATUSES, all(), take).await;
        facts.snapshot.note(kinds::L2_STATUSES, listed)?;
        let take = |it: SaidObject| facts.bgp.push(it.status);
        let listed = every_as(client, &ours, kinds::BGP_STATUSES, all(), take).await;
        facts.snapshot.note(kinds::BGP_STATUSES, listed)?;
        let asked = facts.asked();
        facts.snapshot.voices = Voices::hear(client, &ours, &asked).await;
        gather_events(client, &mut facts.snapshot).await?;
        Ok(facts)
    }

    /// Where the API server is reached: no service must get these addresses.
    async fn api_server(&mut self, client: &Client) -> Result<(), Trouble> {
        let only = ListParams::default().fields("metadata.name=kubernetes");
        let take = |slice: objects::AddressSlice| {
            self.api_server.extend(ApiServerRecord::cut(&slice).addresses);
        };
        let listed = every_as(client, "default", kinds::in_one(kinds::SLICES), only, take).await;
        self.snapshot.note(kinds::SLICES, listed)
    }

    /// The daemons whose word is needed: the controllers, and the speakers where there are peers.
    fn asked(&self) -> Vec<crate::daemon::Daemon> {
        let has_peers = self.snapshot.of("BGPPeer").next().is_some();
        let mut daemons = daemons(&self.snapshot);
        daemons.retain(|daemon| has_peers || daemon.component == "controller");
        daemons
    }
}
