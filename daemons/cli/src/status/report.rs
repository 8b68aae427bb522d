//! What a status says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use metallb_core::config::{Built, Config};
use metallb_k8s::convert::configure;
use metallb_k8s::facts;
use metallb_k8s::facts::{ClassFilter, annotations, objects};
use serde::Serialize;
use serde_json::Value;

use super::facts::{Facts, Said};
use super::problems::{Problem, problems};
use crate::daemon::Daemon;
use crate::sessions::Witness;
use crate::snapshot::text;
use crate::voices::daemons;

/// How MetalLB is in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Where MetalLB is.
    pub(crate) namespace: String,
    /// What is wrong, the worst first.
    pub(crate) problems: Vec<Problem>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) controllers: Vec<Controller>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) sessions: Vec<Session>,
    /// Services of type LoadBalancer that are MetalLB's.
    pub(crate) services: Vec<Service>,
    /// What the asker may not see.
    pub(crate) not_seen: Vec<NotSeen>,
}

/// An IPAddressPool, with its own word on how full it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) auto_assign: bool,
    /// Whether it is in force as written.
    pub(crate) in_force: bool,
    pub(crate) ipv4: Option<Usage>,
    pub(crate) ipv6: Option<Usage>,
}

/// Addresses of one family of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Usage {
    pub(crate) assigned: u64,
    pub(crate) available: u64,
}

impl Usage {
    pub(crate) const fn total(self) -> u64 {
        self.assigned.saturating_add(self.available)
    }
}

/// A pod of the controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Controller {
    pub(crate) pod: String,
    pub(crate) node: String,
    pub(crate) ready: bool,
    /// `null` when nobody says.
    pub(crate) leads: Option<bool>,
    pub(crate) version: String,
    pub(crate) restarts: u64,
}

/// A node, and its speaker.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) ready: bool,
    /// Labelled to be left out by load balancers.
    pub(crate) excluded: bool,
    /// `null` when none runs there.
    pub(crate) speaker: Option<Speaker>,
    /// Services that it says it announces by Layer 2.
    pub(crate) layer2_services: usize,
    /// Services that it says it advertises by BGP.
    pub(crate) bgp_services: usize,
}

/// A pod of the speaker.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Speaker {
    pub(crate) pod: String,
    pub(crate) ready: bool,
    pub(crate) version: String,
    pub(crate) restarts: u64,
}

/// A session that a node should have.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Session {
    pub(crate) node: String,
    pub(crate) peer: String,
    /// Address or interface of the peer.
    pub(crate) endpoint: String,
    /// As RFC 4271 calls it, `None` where the speaker has no such session; `null` when nobody says.
    pub(crate) state: Option<String>,
    pub(crate) prefixes: Option<u64>,
    pub(crate) bfd: Option<bool>,
    /// Why it is not established, or why nobody says.
    pub(crate) why: Option<String>,
}

/// A service, and who announces it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Service {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) pools: Vec<String>,
    /// Nodes that say that they announce it by Layer 2.
    pub(crate) layer2: Vec<String>,
    /// Nodes that say that they advertise it by BGP.
    pub(crate) bgp: Vec<String>,
}

/// Something that the asker may not see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct NotSeen {
    pub(crate) what: String,
    /// The server's words.
    pub(crate) why: String,
}

/// A status by these facts, with what more is known of the configuration.
pub(crate) fn report(seen: &Facts) -> Report {
    let snapshot = &seen.snapshot;
    let built = configure(&snapshot.world().resources, &Config::default());
    let daemons = daemons(snapshot);
    let mut report = Report {
        namespace: snapshot.namespace.clone(),
        pools: pools(seen, &built),
        controllers: daemons.iter().filter_map(|daemon| controller(seen, daemon)).collect(),
        nodes: nodes(seen, &daemons),
        sessions: sessions(seen, &built.config),
        services: services(seen),
        not_seen: not_seen(seen),
        problems: Vec::new(),
    };
    report.problems = problems(seen, &built, &report);
    report
}

fn pools(seen: &Facts, built: &Built) -> Vec<Pool> {
    let ours = seen.snapshot.namespace.as_str();
    let pools = seen.snapshot.of("IPAddressPool").filter(|pool| text(pool, "/metadata/namespace") == ours);
    let mut pools: Vec<Pool> = pools
        .map(|pool| {
            let name = text(pool, "/metadata/name");
            let addresses = pool.pointer("/spec/addresses").and_then(Value::as_array);
            Pool {
                name: name.to_owned(),
                addresses: addresses
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
                auto_assign: pool.pointer("/spec/autoAssign").and_then(Value::as_bool).unwrap_or(true),
                in_force: built.config.pools().keys().any(|known| known.as_str() == name),
                ipv4: usage(pool, "IPv4"),
                ipv6: usage(pool, "IPv6"),
            }
        })
        .collect();
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    pools
}

/// How full a family of a pool is by its status; `None` before the controller has written it, and for a family that it
/// does not have.
fn usage(pool: &Value, family: &str) -> Option<Usage> {
    let number = |what: &str| pool.pointer(&format!("/status/{what}{family}"))?.as_u64();
    let usage = Usage { assigned: number("assigned")?, available: number("available")? };
    (usage.total() > 0).then_some(usage)
}

/// What a daemon says about its version, or else its image.
fn version(seen: &Facts, daemon: &Daemon) -> String {
    let said = seen.snapshot.voices.of(&daemon.pod).and_then(|voice| voice.version.clone());
    said.unwrap_or_else(|| daemon.tag().trim_start_matches('v').to_owned())
}

fn controller(seen: &Facts, daemon: &Daemon) -> Option<Controller> {
    (daemon.component == "controller").then(|| Controller {
        pod: daemon.pod.clone(),
        node: daemon.node.clone(),
        ready: daemon.ready,
        leads: seen.snapshot.voices.of(&daemon.pod).and_then(|voice| voice.leads),
        version: version(seen, daemon),
        restarts: daemon.restarts,
    })
}

fn nodes(seen: &Facts, daemons: &[Daemon]) -> Vec<Node> {
    let speakers: BTreeMap<&str, &Daemon> = daemons
        .iter()
        .filter(|daemon| daemon.component == "speaker")
        .map(|daemon| (daemon.node.as_str(), daemon))
        .collect();
    let (layer2, bgp) = (by_node(&seen.layer2), by_node(&seen.bgp));
    let row = |name: &str, ready: bool, excluded: bool| Node {
        name: name.to_owned(),
        ready,
        excluded,
        speaker: speakers.get(name).map(|daemon| Speaker {
            pod: daemon.pod.clone(),
            ready: daemon.ready,
            version: version(seen, daemon),
            restarts: daemon.restarts,
        }),
        layer2_services: layer2.get(name).map_or(0, BTreeSet::len),
        bgp_services: bgp.get(name).map_or(0, BTreeSet::len),
    };
    let mut nodes: Vec<Node> = seen
        .nodes
        .iter()
        .filter_map(|node| {
            let fact = facts::node(node)?;
            let is_ready = |found: &objects::NodeCondition| found.type_ == "Ready" && found.status == "True";
            // A node without a word on it, as an embedded API server has them, counts as ready.
            let says = node.status.conditions.iter().any(|found| found.type_ == "Ready");
            let ready = !says || node.status.conditions.iter().any(is_ready);
            Some(row(fact.name.as_str(), ready, fact.excluded))
        })
        .collect();
    if nodes.is_empty() {
        // Whoever may not see nodes sees at least those with a speaker.
        nodes = speakers.keys().filter(|node| !node.is_empty()).map(|node| row(node, true, false)).collect();
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes
}

/// The services that each node speaks of.
fn by_node(said: &[Said]) -> BTreeMap<&str, BTreeSet<(&str, &str)>> {
    let mut nodes: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for said in said {
        let service = (said.service_namespace.as_str(), said.service_name.as_str());
        nodes.entry(&said.node).or_default().insert(service);
    }
    nodes
}

fn sessions(seen: &Facts, config: &Config) -> Vec<Session> {
    if config.peers().is_empty() {
        return Vec::new();
    }
    let witness = Witness::new(&seen.snapshot);
    let mut rows = Vec::new();
    for node in seen.nodes.iter().filter_map(facts::node) {
        for peer in config.peers_on(&node.labels).peers.values() {
            let standing = witness.standing(node.name.as_str(), peer);
            rows.push(Session {
                node: node.name.to_string(),
                peer: peer.name.to_string(),
                endpoint: peer.endpoint.to_string(),
                state: standing.state,
                prefixes: standing.prefixes,
                bfd: standing.bfd,
                why: standing.why,
            });
        }
    }
    rows
}

fn services(seen: &Facts) -> Vec<Service> {
    let class = ClassFilter::new(seen.snapshot.served_class());
    let (layer2, bgp) = (by_service(&seen.layer2), by_service(&seen.bgp));
    let row = |object: &objects::Service| {
        let fact = facts::service(object, &class).filter(|_| object.spec.type_ == "LoadBalancer")?;
        let key = (fact.key.namespace(), fact.key.name());
        let nodes = |said: &BTreeMap<(&str, &str), BTreeSet<&str>>| {
            said.get(&key).into_iter().flatten().map(|node| (*node).to_owned()).collect()
        };
        Some(Service {
            layer2: nodes(&layer2),
            bgp: nodes(&bgp),
            pools: recorded(object),
            namespace: key.0.to_owned(),
            name: key.1.to_owned(),
            addresses: fact.assigned.clone(),
        })
    };
    let mut rows: Vec<Service> = seen.services.iter().filter_map(row).collect();
    rows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    rows
}

/// The pools from which the addresses are, as the controller wrote them down.
fn recorded(service: &objects::Service) -> Vec<String> {
    let annotations = service.metadata.annotations.as_ref();
    let pools = annotations.and_then(|all| annotations::get(all, annotations::ALLOCATED_FROM_POOL));
    pools.into_iter().flat_map(|pools| pools.split(',')).map(|pool| pool.trim().to_owned()).collect()
}

/// The nodes that speak of each service.
fn by_service(said: &[Said]) -> BTreeMap<(&str, &str), BTreeSet<&str>> {
    let mut services: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for said in said {
        let service = (said.service_namespace.as_str(), said.service_name.as_str());
        services.entry(service).or_default().insert(&said.node);
    }
    services
}

fn not_seen(seen: &Facts) -> Vec<NotSeen> {
    let kinds = seen.snapshot.refused.iter().map(|(what, why)| (what.clone(), why.clone()));
    let pods =
        seen.snapshot.voices.refused.iter().map(|why| ("what pods say (pods/proxy)".to_owned(), why.clone()));
    let off = daemons(&seen.snapshot).into_iter().filter(|daemon| daemon.metrics_port().is_none());
    let silent = &seen.snapshot.voices.silent;
    let off = off.filter_map(|daemon| {
        let why = silent.get(&daemon.pod)?.clone();
        Some((format!("what {} says", daemon.pod), why))
    });
    kinds.chain(pods).chain(off).map(|(what, why)| NotSeen { what, why }).collect()
}
