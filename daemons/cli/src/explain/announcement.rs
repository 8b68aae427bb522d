//! The links between the address and the network: the speakers' own decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metallb_core::announce::{
    AddressExplanation, AnnounceProblem, Engine, Explanation, Liveness, NodeVerdict, Options, Rejection,
};
use metallb_core::config::Config;
use metallb_core::facts::{Endpoints, Service, Serving, TrafficPolicy};
use metallb_core::keys::{Family, NodeName, ServiceKey};
use metallb_k8s::facts::{self, SliceRecord};

use super::chain::{Chain, Step};
use super::remedy::Subject;
use super::sessions::{self, Routes};
use super::statuses::{Words, members, statuses};
use crate::snapshot::Snapshot;
use crate::world::World;

pub(super) const NODES_SHOWN: usize = 20;

/// Everything from the speakers to the peers, for a service that has addresses.
pub(super) fn announcement(
    chain: &mut Chain,
    subject: Subject<'_>,
    world: &World,
    config: &Arc<Config>,
    fact: &Service,
) {
    let snapshot = subject.snapshot;
    let members = members(snapshot);
    let words = Words::of(snapshot, fact.key.namespace(), fact.key.name());
    speakers(chain, subject, world, members.as_ref());
    endpoints(chain, subject, world, fact);
    let unseen = ["L2Advertisement", "BGPAdvertisement", "Node", "EndpointSlice", "IPAddressPool"];
    if let Some(kind) = unseen.into_iter().find(|kind| !snapshot.sees(kind)) {
        let message = format!("objects of kind {kind} cannot be seen, so that who announces it is not known");
        chain.push(Step::unknown("announcement", message));
        statuses(chain, subject, &words, None);
        return;
    }
    let engine = engine(snapshot, world, config, members.clone());
    let Some(explanation) = engine.explain(&fact.key) else { return };
    let lives = |(node, _): &(NodeName, Routes)| members.as_ref().is_none_or(|alive| alive.contains(node));
    let (advertised, away): (Vec<_>, Vec<_>) =
        sessions::advertised(&engine, world, &fact.key).into_iter().partition(lives);
    for address in &explanation.addresses {
        advertisements(chain, subject, address);
        layer2(chain, subject, address, !advertised.is_empty());
    }
    for (node, routes) in advertised.iter().take(NODES_SHOWN) {
        let prefixes: Vec<String> = routes.keys().map(ToString::to_string).collect();
        let step = Step::good("prefixes", format!("{node} advertises {} by BGP", prefixes.join(", ")));
        chain.push(step.details(sessions::details(routes)));
    }
    verdict(chain, subject, &engine, &explanation, &advertised, &away);
    let owner = explanation.addresses.iter().find_map(|address| address.layer2.owner.clone());
    sessions::sessions(chain, subject, config, (&advertised, &words), owner.is_some());
    statuses(chain, subject, &words, owner.as_ref());
}

fn engine(
    snapshot: &Snapshot,
    world: &World,
    config: &Arc<Config>,
    members: Option<BTreeSet<NodeName>>,
) -> Engine {
    let this = world.nodes.first().map_or_else(|| NodeName::new(""), |node| node.name.clone());
    let liveness = if members.is_some() { Liveness::Members } else { Liveness::Everyone };
    let ignore_exclude = snapshot.daemons("speaker").any(|it| it.is_set("ignore-exclude-lb"));
    let options = Options::default().with_liveness(liveness).with_ignore_exclude(ignore_exclude);
    let mut engine = Engine::new(this, options);
    engine.set_config(Arc::clone(config));
    engine.set_members(members.unwrap_or_default());
    for node in &world.nodes {
        engine.apply_node(node.clone());
    }
    for service in &world.services {
        engine.apply_service(service.clone());
    }
    let mut slices: BTreeMap<&ServiceKey, Vec<&SliceRecord>> = BTreeMap::new();
    for slice in &world.slices {
        slices.entry(&slice.service).or_default().push(slice);
    }
    for (key, slices) in slices {
        if let Some(endpoints) = facts::endpoints(key, slices) {
            engine.apply_endpoints(endpoints);
        }
    }
    // The differences are of no interest, the state is asked for.
    drop(engine.evaluate());
    engine
}

fn speakers(chain: &mut Chain, subject: Subject<'_>, world: &World, members: Option<&BTreeSet<NodeName>>) {
    let Some(members) = members else {
        chain.push(Step::note(
            "speakers",
            "the pods of MetalLB cannot be seen; a speaker is taken to run on every node",
        ));
        return;
    };
    let text = format!("ready on {} of {} nodes", members.len(), world.nodes.len());
    if members.is_empty() {
        let message = format!("{text}: nobody announces anything");
        let step = Step::broken("speakers", "no_speaker", message);
        chain.push(step.remedy(subject.look_at("speaker")));
        return;
    }
    chain.push(Step::good("speakers", text));
}

fn endpoints(chain: &mut Chain, subject: Subject<'_>, world: &World, fact: &Service) {
    if !subject.snapshot.sees("EndpointSlice") {
        return;
    }
    let found =
        facts::endpoints(&fact.key, &world.slices).unwrap_or_else(|| Endpoints::none(fact.key.clone()));
    for family in Family::BOTH {
        if !fact.assigned.iter().any(|address| Family::of(*address) == family) {
            continue;
        }
        let of = found.of(family);
        let nodes: BTreeSet<&str> = of.nodes().map(NodeName::as_str).collect();
        let nodes = nodes.into_iter().collect::<Vec<_>>().join(", ");
        let local = fact.traffic_policy == TrafficPolicy::Local;
        let policy = if local { "; externalTrafficPolicy Local: only these nodes" } else { "" };
        chain.push(match of.anywhere() {
            Serving::Not => {
                let message = format!("no {family} endpoint is ready, so that nothing would answer");
                Step::broken("endpoints", "no_ready_endpoint", message).remedy(subject.pods())
            }
            Serving::Terminating => {
                Step::note("endpoints", format!("{family}: all on their way out, on {nodes}{policy}"))
            }
            Serving::Ready => Step::good("endpoints", format!("{family}: on {nodes}{policy}")),
        });
    }
}

fn advertisements(chain: &mut Chain, subject: Subject<'_>, address: &AddressExplanation) {
    let Some(pool) = &address.pool else {
        let message = format!("{} is in no pool that is in force", address.address);
        chain.push(Step::broken("advertisements", "address_not_in_pool", message).remedy(subject.check()));
        return;
    };
    let named = |kind: &str, found: &[metallb_core::announce::AdvertisementExplanation]| {
        let words = |ad: &metallb_core::announce::AdvertisementExplanation| {
            let not = if ad.selects_service { "" } else { ": its serviceSelectors leave the service out" };
            format!("{kind} {}{not}", ad.name)
        };
        found.iter().map(words).collect::<Vec<_>>()
    };
    let mut all = named("L2Advertisement", &address.layer2.advertisements);
    all.extend(named("BGPAdvertisement", &address.bgp.advertisements));
    let every = address.layer2.advertisements.iter().chain(&address.bgp.advertisements);
    if every.clone().any(|ad| ad.selects_service) {
        chain.push(Step::good("advertisements", format!("of pool {pool}")).details(all));
        return;
    }
    let existing = address.layer2.advertisements.first().map(|ad| ad.name.as_str());
    let message = if all.is_empty() {
        format!(
            "no L2Advertisement or BGPAdvertisement is for pool {pool}, so that nobody announces {}",
            address.address
        )
    } else {
        format!("no advertisement of pool {pool} selects the service")
    };
    let step = Step::broken("advertisements", "no_advertisement", message).details(all);
    chain.push(step.remedy(subject.advertise(pool.as_str(), existing)));
}

fn layer2(chain: &mut Chain, subject: Subject<'_>, address: &AddressExplanation, by_bgp: bool) {
    let layer2 = &address.layer2;
    if layer2.group.is_empty() {
        return;
    }
    let rejected = |verdict: &NodeVerdict| {
        let rule = verdict.rejection?;
        Some(format!("not {}: {rule}", verdict.node))
    };
    let others: Vec<String> = layer2.nodes.iter().filter_map(rejected).take(NODES_SHOWN).collect();
    let shared = address.shared_with.iter().map(|other| format!("shared with {other}"));
    if let (Some(owner), decision) = (&layer2.owner, &layer2.decision) {
        let why = decision.map(|decision| format!(", because {decision}")).unwrap_or_default();
        let step = Step::good("election", format!("{owner} announces {} by layer2{why}", address.address));
        chain.push(step.details(others.into_iter().chain(shared)));
        return;
    }
    let closest = layer2.nodes.iter().filter_map(|verdict| Some((verdict.rejection?, &verdict.node))).max();
    let (rule, node) = closest.map_or((Rejection::UnknownNode, "NODE"), |(rule, node)| (rule, node.as_str()));
    let message = format!("no node can announce {} by layer2: {rule}", address.address);
    let advertisement = layer2.advertisements.first().map(|ad| ad.name.as_str());
    let step = if by_bgp {
        Step::note("election", message)
    } else {
        Step::broken("election", rule.reason(), message)
    };
    let remedy = subject.of_rejection(rule, node, advertisement);
    chain.push(step.details(others).remedy(remedy));
}

/// Whether anything leads to the service at all, and conflicts. Of the nodes that advertise it by the facts, some may have
/// no speaker that is ready: those are `away`.
fn verdict(
    chain: &mut Chain,
    subject: Subject<'_>,
    engine: &Engine,
    explanation: &Explanation,
    advertised: &[(NodeName, Routes)],
    away: &[(NodeName, Routes)],
) {
    if let Some(problem @ AnnounceProblem::LocalPrefConflict { .. }) = engine.problem(&explanation.service) {
        chain.push(Step::note("prefixes", problem.to_string()).remedy(subject.check()));
    }
    let owned = explanation.addresses.iter().any(|address| address.layer2.owner.is_some());
    if owned || chain.first_break().is_some() {
        return;
    }
    if !advertised.is_empty() {
        return;
    }
    if away.is_empty() {
        let rule = explanation.addresses.iter().find_map(|address| address.bgp.rejection);
        let message = "no node advertises it by BGP".to_owned();
        let message =
            rule.map_or_else(|| format!("{message}: no peer is for it"), |rule| format!("{message}: {rule}"));
        let peers =
            format!("kubectl get bgppeers,bgpadvertisements -n {} -o yaml", subject.snapshot.namespace);
        chain.push(Step::broken("prefixes", "not_advertised", message).remedy(peers));
        return;
    }
    let nodes: Vec<&str> = away.iter().take(NODES_SHOWN).map(|(node, _)| node.as_str()).collect();
    let message = format!("no speaker is ready where it is advertised by BGP: on {}", nodes.join(", "));
    chain.push(Step::broken("prefixes", "no_speaker", message).remedy(subject.look_at("speaker")));
}
