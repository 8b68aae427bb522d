//! What is wrong, with what would help.

use std::collections::{BTreeMap, BTreeSet};

use metallb_core::config::{Built, Config, Problem as Fault};
use metallb_core::facts::AddressOwner;
use metallb_core::ipam::owned_addresses;
use metallb_k8s::facts;
use serde::Serialize;
use serde_json::json;

use super::facts::Facts;
use super::report::{Node, Pool, Report, Service, Usage};
use crate::check::split_remedy;
use crate::daemon::Daemon;
use crate::kinds::CONFIGURATION;
use crate::snapshot::text;
use crate::voices::{ESTABLISHED, daemons};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Problem {
    pub(crate) severity: Severity,
    /// A stable word for what is wrong.
    pub(crate) reason: &'static str,
    /// The object concerned, as kubectl takes it; empty when it is none in particular.
    pub(crate) object: String,
    pub(crate) text: String,
    /// A command that helps.
    pub(crate) remedy: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Something does not work.
    Error,
    /// It works, and deserves attention.
    Warning,
}

/// Everything that is wrong by a report, the worst first.
pub(super) fn problems(seen: &Facts, built: &Built, report: &Report) -> Vec<Problem> {
    let mut found = Found { namespace: &report.namespace, problems: Vec::new() };
    if found.definitions(seen) {
        found.controllers(seen, report);
        found.speakers(seen, report);
        found.configuration(seen, built);
        found.states(seen);
        found.pools(report);
        found.services(seen, report);
        found.sessions(report);
        found.silence(seen);
        found.versions(seen);
    }
    found.problems.sort_by_key(|problem| problem.severity);
    found.problems
}

struct Found<'a> {
    namespace: &'a str,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn add(&mut self, severity: Severity, reason: &'static str, object: &str, text: String, remedy: String) {
        let remedy = Some(remedy).filter(|remedy| !remedy.is_empty());
        self.problems.push(Problem { severity, reason, object: object.to_owned(), text, remedy });
    }

    /// False when MetalLB is not installed.
    fn definitions(&mut self, seen: &Facts) -> bool {
        let missing = &seen.snapshot.undefined;
        let needed = ["IPAddressPool", "L2Advertisement", "BGPAdvertisement", "BGPPeer"];
        let missing: Vec<&str> =
            needed.into_iter().filter(|kind| missing.iter().any(|missing| missing == kind)).collect();
        if missing.is_empty() {
            return true;
        }
        let text = format!("the cluster does not know {}: MetalLB is not installed", missing.join(", "));
        let install = "metallb manifests | kubectl apply -f -";
        self.add(Severity::Error, "no_definitions", "", text, install.to_owned());
        false
    }

    fn describe(&self, component: &str) -> String {
        format!("kubectl describe pods -n {} -l component={component}", self.namespace)
    }

    fn controllers(&mut self, seen: &Facts, report: &Report) {
        if !seen.snapshot.sees("Pod") {
            return;
        }
        let all = report.controllers.len();
        let ready = report.controllers.iter().filter(|controller| controller.ready).count();
        if all == 0 {
            let text =
                format!("no controller runs in namespace {:?}: no service gets an address", self.namespace);
            let install = "metallb manifests | kubectl apply -f -";
            self.add(Severity::Error, "no_controller", "", text, install.to_owned());
        } else if ready == 0 {
            let text = format!("none of {all} pods of the controller is ready: no service gets an address");
            self.add(Severity::Error, "no_controller", "", text, self.describe("controller"));
        } else if report.controllers.iter().all(|controller| controller.leads == Some(false)) {
            let text = "no controller leads: no service gets an address".to_owned();
            let lease = format!("kubectl get lease metallb-controller -n {} -o yaml", self.namespace);
            self.add(Severity::Error, "no_leader", "", text, lease);
        } else if ready < all {
            let text = format!("{ready} of {all} pods of the controller are ready");
            self.add(Severity::Warning, "controller_not_ready", "", text, self.describe("controller"));
        }
    }

    fn speakers(&mut self, seen: &Facts, report: &Report) {
        if !seen.snapshot.sees("Pod") {
            return;
        }
        let without: Vec<&str> = report
            .nodes
            .iter()
            .filter(|node| node.ready && !node.speaker.as_ref().is_some_and(|speaker| speaker.ready))
            .map(|node| node.name.as_str())
            .collect();
        if without.is_empty() {
            return;
        }
        let text = format!(
            "no speaker is ready on {} of {} nodes: {}",
            without.len(),
            report.nodes.len(),
            some(&without)
        );
        let is_none = without.len() == report.nodes.len();
        let severity = if is_none { Severity::Error } else { Severity::Warning };
        let object = if without.len() == 1 { format!("node/{}", some(&without)) } else { String::new() };
        self.add(severity, "no_speaker", &object, text, self.describe("speaker"));
    }

    /// What the daemons' own reader says about the objects.
    fn configuration(&mut self, seen: &Facts, built: &Built) {
        for kind in CONFIGURATION {
            let strayed = seen.snapshot.of(kind);
            let ours = self.namespace;
            for object in strayed.filter(|object| text(object, "/metadata/namespace") != ours) {
                let (name, namespace) = (text(object, "/metadata/name"), text(object, "/metadata/namespace"));
                let singular = kind.to_lowercase();
                let text = format!(
                    "{kind} {name:?} is in namespace {namespace:?}, where nobody reads it; MetalLB is in {:?}",
                    self.namespace
                );
                let remedy = format!("kubectl get {singular} {name} -n {namespace} -o yaml");
                let object = format!("{singular}/{name} -n {namespace}");
                self.add(Severity::Error, "other_namespace", &object, text, remedy);
            }
        }
        let errors = built.errors.iter().map(|error| (error, Severity::Error));
        for (error, severity) in errors.chain(built.warnings.iter().map(|error| (error, Severity::Warning))) {
            let (message, _) = split_remedy(&error.to_string());
            let kind = error.object.kind.to_string().to_lowercase();
            let object = format!("{kind}/{} -n {}", error.object.name, self.namespace);
            let check = format!("metallb check --cluster --namespace {}", self.namespace);
            self.add(severity, error.reason(), &object, message, check);
        }
        self.owned(seen, &built.config);
    }

    /// Pools with addresses that visibly are somebody's.
    fn owned(&mut self, seen: &Facts, config: &Config) {
        let nodes = seen.nodes.iter().filter_map(facts::node);
        let nodes = nodes.map(|node| (AddressOwner::Node(node.name.clone()), node.own_addresses()));
        let api_server = (AddressOwner::ApiServer, seen.api_server.clone());
        for warning in owned_addresses(config, nodes.chain([api_server])) {
            let (pool, ours) = (&warning.object.name, self.namespace);
            let (message, _) = split_remedy(&warning.to_string());
            let object = format!("ipaddresspool/{pool} -n {ours}");
            let known = seen.snapshot.find("IPAddressPool", ours, pool);
            let excluded = known.and_then(|pool| pool.pointer("/spec/excludeAddresses")?.as_array());
            let mut excluded = excluded.cloned().unwrap_or_default();
            let remedy = match &warning.problem {
                Fault::Owned { first, more: 0 } => {
                    excluded.extend(first.iter().map(|(address, _)| json!(address.to_string())));
                    let patch = json!({ "spec": { "excludeAddresses": excluded } });
                    format!("kubectl patch ipaddresspool {pool} -n {ours} --type merge -p '{patch}'")
                }
                // Not all of them are known here.
                _ => format!("kubectl edit ipaddresspool {pool} -n {ours}"),
            };
            self.add(Severity::Warning, warning.reason(), &object, message, remedy);
        }
    }

    /// What the daemons say about the configuration: where they hold an object at an earlier version, say.
    fn states(&mut self, seen: &Facts) {
        let mut says: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for state in seen.snapshot.of("ConfigurationState") {
            if text(state, "/status/result") == "Invalid" {
                let summary = text(state, "/status/errorSummary");
                says.entry(summary).or_default().push(text(state, "/metadata/name"));
            }
        }
        for (summary, names) in says {
            let object = names.first().map(|name| format!("configurationstate/{name} -n {}", self.namespace));
            let message =
                format!("{} {}: {summary}", some(&names), if names.len() == 1 { "says" } else { "say" });
            let object = object.unwrap_or_default();
            let remedy = format!("kubectl get configurationstates -n {}", self.namespace);
            self.add(Severity::Error, "configuration", &object, message, remedy);
        }
    }

    fn pools(&mut self, report: &Report) {
        for pool in &report.pools {
            let families = [("IPv4", pool.ipv4), ("IPv6", pool.ipv6)];
            for (family, usage) in families.into_iter().filter_map(|(family, usage)| Some((family, usage?))) {
                self.pool(pool, family, usage);
            }
        }
    }

    fn pool(&mut self, pool: &Pool, family: &str, usage: Usage) {
        let Usage { assigned, available } = usage;
        let percent = u128::from(assigned).saturating_mul(100) / u128::from(usage.total()).max(1);
        let name = &pool.name;
        let object = format!("ipaddresspool/{name} -n {}", self.namespace);
        let edit = format!("kubectl edit ipaddresspool {name} -n {}", self.namespace);
        let total = usage.total();
        if available == 0 {
            let text = format!("pool {name:?} has no free {family} address: all {total} are assigned");
            self.add(Severity::Warning, "pool_full", &object, text, edit);
        } else if percent >= NEARLY_FULL {
            let text = format!(
                "pool {name:?} is nearly full: {assigned} of {total} {family} addresses are assigned"
            );
            self.add(Severity::Warning, "pool_nearly_full", &object, text, edit);
        }
    }

    fn services(&mut self, seen: &Facts, report: &Report) {
        let pending: Vec<&Service> = report.services.iter().filter(|it| it.addresses.is_empty()).collect();
        self.each_service("no_address", &pending, |_| "has no address".to_owned());
        let alive = living(seen, report);
        let sees =
            |kind| seen.snapshot.sees(kind) && !seen.snapshot.undefined.iter().any(|known| known == kind);
        if sees("ServiceL2Status") && sees("ServiceBGPStatus") {
            let is_silent = |it: &&Service| {
                let is_said = |nodes| !of_living(nodes, alive.as_ref()).is_empty();
                !it.addresses.is_empty() && !is_said(&it.layer2) && !is_said(&it.bgp)
            };
            let silent: Vec<&Service> = report.services.iter().filter(is_silent).collect();
            self.each_service("not_announced", &silent, |service| {
                let addresses: Vec<String> = service.addresses.iter().map(ToString::to_string).collect();
                let addresses = addresses.join(", ");
                let gone: BTreeSet<&str> =
                    service.layer2.iter().chain(&service.bgp).map(String::as_str).collect();
                let gone: Vec<&str> = gone.into_iter().collect();
                match gone.len() {
                    0 => format!("has {addresses}, and nobody announces it"),
                    1 => format!(
                        "has {addresses}, and the speaker that announced it, on {}, is not ready",
                        some(&gone)
                    ),
                    _ => format!(
                        "has {addresses}, and the speakers that announced it, on {}, are not ready",
                        some(&gone)
                    ),
                }
            });
        }
        let contested: Vec<&Service> =
            report.services.iter().filter(|it| of_living(&it.layer2, alive.as_ref()).len() > 1).collect();
        self.each_service("several_owners", &contested, |service| {
            let nodes = of_living(&service.layer2, alive.as_ref());
            format!(
                "is announced by Layer 2 from {} nodes at once ({}): their speakers do not hear each other, as when UDP port \
                 7946 is closed between them",
                nodes.len(),
                some(&nodes)
            )
        });
    }

    /// Names the first services, and how many more there are.
    fn each_service(
        &mut self,
        reason: &'static str,
        services: &[&Service],
        what: impl Fn(&Service) -> String,
    ) {
        for service in services.iter().take(SHOWN) {
            let Service { namespace, name, .. } = service;
            let text = format!("service {namespace}/{name} {}", what(service));
            let object = crate::output::service_name(namespace, name);
            self.add(
                Severity::Error,
                reason,
                &object,
                text,
                format!("metallb explain {name} -n {namespace}"),
            );
        }
        if let Some(more) = services.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            let text = match reason {
                "no_address" => format!("{more} more services have no address"),
                "several_owners" => format!("{more} more services are announced from several nodes at once"),
                _ => format!("{more} more services have an address, and nobody announces them"),
            };
            let all = "metallb status -o wide".to_owned();
            self.add(Severity::Error, reason, "", text, all);
        }
    }

    /// One problem for each peer: a router that is away is away for every node.
    fn sessions(&mut self, report: &Report) {
        let mut peers: BTreeMap<&str, (usize, Vec<&super::report::Session>)> = BTreeMap::new();
        for session in &report.sessions {
            let (all, down) = peers.entry(&session.peer).or_default();
            *all = all.saturating_add(1);
            if session.state.as_deref().is_some_and(|state| state != ESTABLISHED) {
                down.push(session);
            }
        }
        for (peer, (all, down)) in peers {
            let Some(first) = down.first() else { continue };
            let nodes: Vec<&str> = down.iter().map(|session| session.node.as_str()).collect();
            let why = first.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let text = format!(
                "BGP session with {peer:?} ({}) is down on {} of {all} nodes ({}){why}",
                first.endpoint,
                down.len(),
                some(&nodes)
            );
            let object = format!("bgppeer/{peer} -n {}", self.namespace);
            let remedy = format!("kubectl get bgppeer {peer} -n {} -o yaml", self.namespace);
            self.add(Severity::Error, "session_down", &object, text, remedy);
        }
    }

    /// Daemons that are ready and do not answer, as on a node that has just failed.
    fn silence(&mut self, seen: &Facts) {
        let silent = &seen.snapshot.voices.silent;
        let has_metrics = |daemon: &Daemon| daemon.metrics_port().is_some();
        let daemons: Vec<Daemon> = daemons(&seen.snapshot).into_iter().filter(has_metrics).collect();
        let away: Vec<&Daemon> = daemons.iter().filter(|daemon| silent.contains_key(&daemon.pod)).collect();
        let Some(first) = away.first() else { return };
        let names: Vec<&str> = away.iter().map(|daemon| daemon.pod.as_str()).collect();
        let why = silent.get(&first.pod).map(String::as_str).unwrap_or_default();
        let text = format!(
            "{} cannot be asked how {}: {why}",
            some(&names),
            if names.len() == 1 { "it is" } else { "they are" }
        );
        let object =
            if names.len() == 1 { format!("pod/{} -n {}", first.pod, self.namespace) } else { String::new() };
        let pods = format!("kubectl get pods -n {} -o wide", self.namespace);
        self.add(Severity::Warning, "no_answer", &object, text, pods);
    }

    /// By the images: not everybody may be asked.
    fn versions(&mut self, seen: &Facts) {
        let daemons = daemons(&seen.snapshot);
        let tags: BTreeSet<&str> = daemons.iter().map(Daemon::tag).collect();
        if tags.len() > 1 {
            let tags: Vec<&str> = tags.into_iter().collect();
            let text = format!("several versions run at once: {}", tags.join(", "));
            self.add(Severity::Warning, "several_versions", "", text, "metallb version".to_owned());
        }
    }
}

/// The nodes whose speakers are ready, when the pods can be seen. What others said stays until their pods are deleted.
fn living<'a>(seen: &Facts, report: &'a Report) -> Option<BTreeSet<&'a str>> {
    let is_ready = |node: &&Node| node.speaker.as_ref().is_some_and(|speaker| speaker.ready);
    let nodes = report.nodes.iter().filter(is_ready).map(|node| node.name.as_str());
    seen.snapshot.sees("Pod").then(|| nodes.collect())
}

/// Of the nodes that say something, those that live.
fn of_living<'a>(nodes: &'a [String], alive: Option<&BTreeSet<&str>>) -> Vec<&'a str> {
    let nodes = nodes.iter().map(String::as_str);
    nodes.filter(|node| alive.is_none_or(|alive| alive.contains(node))).collect()
}

/// The first of them, and how many more there are.
fn some(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().copied().take(3).collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// From how many percent on a pool is nearly full, as the alert MetalLBIPPoolNearlyExhausted has it.
const NEARLY_FULL: u128 = 80;
/// How many services are named one by one.
const SHOWN: usize = 10;

/// The reasons alone.
#[cfg(test)]
pub(super) fn reasons(problems: &[Problem]) -> Vec<&'static str> {
    problems.iter().map(|problem| problem.reason).collect()
}
