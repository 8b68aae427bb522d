//! The link of pools and addresses: the controller's own decision.

use std::sync::Arc;
use std::time::Instant;

use metallb_core::config::{Built, Config, Kind};
use metallb_core::facts::Service;
use metallb_core::ipam::{AllocationError, Assigner, Explanation, Options, Outcome, SharingOrder};
use serde_json::Value;

use super::chain::{Chain, Step};
use super::remedy::Subject;
use crate::check::split_remedy;
use crate::kinds::CONFIGURATION;
use crate::snapshot::{Snapshot, text};
use crate::world::World;

/// Pools and advertisements that nobody reads, or that are not in force.
pub(super) fn configuration(chain: &mut Chain, subject: Subject<'_>, built: &Built) {
    let ours = subject.snapshot.namespace.as_str();
    for kind in CONFIGURATION {
        let strayed = subject.snapshot.of(kind).filter(|object| text(object, "/metadata/namespace") != ours);
        for object in strayed {
            let (name, namespace) = (text(object, "/metadata/name"), text(object, "/metadata/namespace"));
            let message = format!(
                "{kind} {name:?} is in namespace {namespace:?}, where nobody reads it; MetalLB is in {ours:?}"
            );
            let singular = kind.to_lowercase();
            chain.push(Step::note("configuration", message).remedy(format!(
                "kubectl get {singular} {name} -n {namespace} -o yaml | sed 's/namespace: {namespace}/namespace: {ours}/; /uid:/d; /resourceVersion:/d' | kubectl apply -f -"
            )));
        }
    }
    for error in &built.errors {
        if matches!(error.object.kind, Kind::Community | Kind::BfdProfile) {
            continue;
        }
        chain.push(Step::note("configuration", error.to_string()).remedy(subject.check()));
    }
}

/// Whether anybody gives out addresses.
pub(super) fn controller(chain: &mut Chain, subject: Subject<'_>, fact: &Service) {
    let Subject { snapshot, .. } = subject;
    if !snapshot.sees("Pod") {
        chain.push(Step::note("controller", "the pods of MetalLB cannot be seen"));
        return;
    }
    let all = snapshot.pods("controller").count();
    let ready = snapshot.pods("controller").filter(|pod| is_ready(pod)).count();
    let text = match (all, ready) {
        (_, 1..) => {
            chain.push(Step::good("controller", format!("{ready} of {all} pods ready")));
            return;
        }
        (0, _) => format!("no controller runs in namespace {:?}", snapshot.namespace),
        _ => format!("none of the controller's {all} pods is ready"),
    };
    let remedy = if all == 0 {
        "metallb manifests | kubectl apply -f -".to_owned()
    } else {
        subject.look_at("controller")
    };
    let step = if fact.assigned.is_empty() {
        Step::broken("controller", "no_controller", format!("{text}, so that nobody assigns an address"))
    } else {
        Step::note("controller", format!("{text}; addresses stay, and none is given out"))
    };
    chain.push(step.remedy(remedy));
}

pub(super) fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|found| found["type"] == "Ready" && found["status"] == "True")
}

/// Lets the allocator decide on what was seen.
pub(super) fn decide(
    now: Instant,
    snapshot: &Snapshot,
    world: &World,
    config: &Arc<Config>,
    fact: &Service,
) -> Option<Explanation> {
    let mut assigner = Assigner::new(options(snapshot));
    assigner.set_config(now, Arc::clone(config));
    for namespace in &world.namespaces {
        assigner.apply_namespace(namespace.clone());
    }
    for (owner, addresses) in world.owners() {
        assigner.reserve(now, &owner, &addresses);
    }
    for service in &world.services {
        assigner.apply_service(now, service.clone());
    }
    assigner.start(now);
    while assigner.poll_action().is_some() {}
    assigner.explain(&fact.key)
}

/// How the controller was started, as far as its choice depends on it.
fn options(snapshot: &Snapshot) -> Options {
    let Some(controller) = snapshot.daemons("controller").next() else { return Options::default() };
    let order = if controller.flag("sharing-order") == Some("first-free") {
        SharingOrder::FirstFree
    } else {
        SharingOrder::SharedFirst
    };
    Options {
        dual_stack_two_pools: controller.is_set("dual-stack-two-pools"),
        sharing_order: order,
        ..Options::default()
    }
}

/// Each pool's verdict, and the address.
pub(super) fn pools(chain: &mut Chain, subject: Subject<'_>, fact: &Service, explanation: &Explanation) {
    if let Some(kind) = ["IPAddressPool", "Namespace"].into_iter().find(|kind| !subject.snapshot.sees(kind)) {
        chain.push(Step::unknown(
            "pools",
            format!("objects of kind {kind} cannot be seen, so that the choice is not known"),
        ));
    } else {
        let verdicts = explanation.pools.iter().map(|(pool, verdict)| format!("pool {pool} {verdict}"));
        let verdicts: Vec<String> = verdicts.collect();
        if let Outcome::Failed(error) = &explanation.outcome {
            let (mut message, help) = split_remedy(&error.to_string());
            let strayed = subject.snapshot.of("IPAddressPool").next();
            if let (AllocationError::NoPool, Some(pool)) = (error, strayed) {
                let (name, namespace) = (text(pool, "/metadata/name"), text(pool, "/metadata/namespace"));
                if namespace != subject.snapshot.namespace {
                    message = format!(
                        "the only pool {name:?} is in namespace {namespace:?}, where nobody reads it"
                    );
                }
            }
            let verdicts = help.into_iter().chain(verdicts);
            let step = Step::broken("pools", error.reason(), message).details(verdicts);
            chain.push(step.remedy(subject.of_allocation(error)));
        } else {
            let held = explanation.allocation.iter().flat_map(|allocation| &allocation.pools);
            let held: Vec<&str> = held.map(metallb_core::keys::PoolName::as_str).collect();
            chain.push(Step::good("pools", held.join(", ")).details(verdicts));
        }
        let missing = explanation.allocation.as_ref().and_then(|allocation| allocation.missing.as_ref());
        if let Some(error) = missing {
            let step = Step::note("pools", format!("only one of its two families: {error}"));
            chain.push(step.remedy(subject.of_allocation(error)));
        }
    }
    address(chain, subject, fact, explanation);
}

fn address(chain: &mut Chain, subject: Subject<'_>, fact: &Service, explanation: &Explanation) {
    let list = |addresses: &[std::net::IpAddr]| {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let decided = explanation.allocation.as_ref().map(|allocation| allocation.addresses.as_slice());
    let decided = decided.unwrap_or_default();
    if fact.assigned.is_empty() {
        if chain.first_break().is_none() && subject.snapshot.sees("IPAddressPool") {
            let message = format!(
                "the controller has not assigned {}, though nothing stands in the way",
                list(decided)
            );
            let step = Step::broken("address", "not_assigned", message);
            chain.push(step.remedy(subject.logs("controller")));
        } else {
            chain.push(Step::broken("address", "no_address", "none: EXTERNAL-IP is <pending>"));
        }
        return;
    }
    let step = Step::good("address", list(&fact.assigned));
    let differs = !decided.is_empty() && decided.iter().any(|address| !fact.assigned.contains(address));
    let details =
        differs.then(|| format!("the configuration would have {}: the controller is behind", list(decided)));
    chain.push(step.details(details));
}
