//! The review of one change.

use std::{collections::BTreeSet, sync::Arc};

use kube::core::{
    DynamicObject,
    admission::{AdmissionRequest, AdmissionResponse, Operation},
};
use metallb_core::{
    config::{Built, Config, ConfigError, Kind, ObjectId},
    facts::{AddressOwner, Node},
    ipam::owned_addresses,
    keys::PeerName,
    quote::quoted,
};

use super::{
    change::{AnyObject, Change, is_deprecated, kind},
    introduced::introduced,
    needs::needs,
    scope::related,
    words::explained,
};
use crate::{
    convert::{Resources, configure, warnings},
    watch::Source,
};

/// What is known when a change is reviewed.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct State<'a> {
    /// MetalLB's namespace.
    pub namespace: &'a str,
    /// The configuration objects in it, as they are now.
    pub resources: &'a Resources,
    /// The nodes, whose addresses no pool should contain.
    pub nodes: &'a [Arc<Node>],
    /// What may not be listed, or is not known to the API server, so that it is not in `resources`.
    pub unlisted: BTreeSet<Source>,
}

impl<'a> State<'a> {
    /// These objects, all of which are known, and no nodes.
    pub const fn new(namespace: &'a str, resources: &'a Resources) -> Self {
        Self { namespace, resources, nodes: &[], unlisted: BTreeSet::new() }
    }
}

/// Allows or refuses a change of a configuration object.
///
/// Refused are: what would be wrong because of the change, in the object or in another one; an object that
/// is created outside of MetalLB's namespace, where nobody reads it; and the removal of a `BFDProfile`
/// that a peer uses. What cannot be compared with what it refers to because that may not be listed is refused
/// with the code 503. An object on its way out is never held up. Depends on the order of nothing, and
/// changes nothing.
pub fn review(request: &AdmissionRequest<DynamicObject>, state: &State<'_>) -> AdmissionResponse {
    let Some(kind) = kind(&request.kind) else {
        let reason =
            format!("{} {} is not reviewed here", quoted(&request.kind.group), quoted(&request.kind.kind));
        return respond(request, Verdict { refusals: vec![reason], warnings: Vec::new() });
    };
    let missing: Vec<Source> = needs(request, state).intersection(&state.unlisted).copied().collect();
    if !missing.is_empty() {
        return unjudged(request, &missing);
    }
    let verdict = match request.operation {
        _ if is_subresource(request) => Verdict::default(),
        Operation::Create | Operation::Update => changed(kind, request, state),
        Operation::Delete if kind == Kind::BfdProfile => removed_profile(request, state),
        Operation::Delete | Operation::Connect => Verdict::default(),
    };
    respond(request, verdict)
}

/// What comes of a review.
#[derive(Debug, Default)]
struct Verdict {
    /// Reasons to refuse; none: allowed.
    refusals: Vec<String>,
    warnings: Vec<String>,
}

pub(super) fn is_subresource(request: &AdmissionRequest<DynamicObject>) -> bool {
    request.sub_resource.as_deref().is_some_and(|name| !name.is_empty())
}

/// Whether the object is on its way out.
pub(super) fn is_ended(request: &AdmissionRequest<DynamicObject>) -> bool {
    request.object.as_ref().is_some_and(|object| object.metadata.deletion_timestamp.is_some())
}

fn changed(kind: Kind, request: &AdmissionRequest<DynamicObject>, state: &State<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if request.object.is_none() {
        verdict.refusals.push("the request has no object".to_owned());
        return verdict;
    }
    if is_ended(request) {
        return verdict;
    }
    if is_deprecated(request) {
        verdict.warnings.push("metallb.io/v1beta1 BGPPeer is deprecated, use v1beta2".to_owned());
    }
    if request.namespace.as_deref() != Some(state.namespace) {
        outside(request, state, &mut verdict);
        return verdict;
    }
    if let Some(change) = Change::of(kind, request) {
        compare(&change, state, &mut verdict);
    }
    verdict
}

/// An object where nobody reads it. One that is there already may be changed: it does no harm.
fn outside(request: &AdmissionRequest<DynamicObject>, state: &State<'_>, verdict: &mut Verdict) {
    let namespace = state.namespace;
    let reason = format!("resource must be created in {namespace} namespace: MetalLB reads no other");
    match request.operation {
        Operation::Create => verdict.refusals.push(reason),
        _ => verdict.warnings.push(reason),
    }
}

/// The configuration with the change against the one without it.
fn compare(change: &Change, state: &State<'_>, verdict: &mut Verdict) {
    let object = ObjectId::new(change.kind, change.name.as_str());
    let Outcome { without, with, resources } = evaluate(change, related(state.resources, change));
    let new = introduced(&object, &without.errors, &with.errors);
    verdict.refusals.extend(new.iter().map(|error| explained(error, &resources)));
    let own = |error: &&ConfigError| error.object == object;
    let old =
        with.errors.iter().filter(own).filter(|error| !new.iter().any(|new| std::ptr::eq(*new, *error)));
    verdict.warnings.extend(old.map(ToString::to_string));
    verdict.warnings.extend(with.warnings.iter().filter(own).map(ToString::to_string));
    if change.kind == Kind::Pool {
        verdict.warnings.extend(owned(&object, &with.config, state).iter().map(ToString::to_string));
    }
    if let AnyObject::Peer(peer) = &change.after
        && let Ok(peer) = &peer.object
    {
        let remarks =
            warnings(peer).into_iter().map(|(field, remark)| format!("{object}: {field}: {remark}"));
        verdict.warnings.extend(remarks);
    }
}

/// What is to be said about a pool that contains addresses of nodes or peers.
fn owned(pool: &ObjectId, config: &Config, state: &State<'_>) -> Vec<ConfigError> {
    let nodes = state.nodes.iter().map(|node| (AddressOwner::Node(node.name.clone()), node.own_addresses()));
    let peers = state.resources.peers.iter().filter_map(|peer| {
        let address = peer.object.as_ref().ok()?.spec.peer_address.as_deref()?.parse().ok()?;
        Some((AddressOwner::Peer(PeerName::new(peer.meta.name.as_str())), BTreeSet::from([address])))
    });
    let mut warnings = owned_addresses(config, nodes.chain(peers));
    warnings.retain(|warning| warning.object == *pool);
    warnings
}

/// Both configurations, and the objects of the one with the change.
struct Outcome {
    without: Built,
    with: Built,
    resources: Resources,
}

fn evaluate(change: &Change, related: Resources) -> Outcome {
    let nothing = Config::default();
    let mut before = related.clone();
    if let Some(object) = change.before.clone() {
        object.add_to(&mut before);
    }
    let mut after = related;
    change.after.clone().add_to(&mut after);
    Outcome { without: configure(&before, &nothing), with: configure(&after, &nothing), resources: after }
}

fn removed_profile(request: &AdmissionRequest<DynamicObject>, state: &State<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if request.namespace.as_deref() != Some(state.namespace) {
        return verdict;
    }
    let uses = |peer: &&crate::convert::Object<crate::crd::BGPPeer>| {
        let spec = peer.object.as_ref().map(|peer| &peer.spec);
        spec.is_ok_and(|spec| spec.bfd_profile.as_deref() == Some(request.name.as_str()))
    };
    let mut users: Vec<&str> =
        state.resources.peers.iter().filter(uses).map(|peer| peer.meta.name.as_str()).collect();
    users.sort_unstable();
    if let Some(first) = users.first() {
        let others = match users.len().saturating_sub(1) {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        verdict.refusals.push(format!(
            "failed to delete BFDProfile {}, used by BGPPeer {first}{others}: give the peer another profile or none \
             first",
            request.name
        ));
    }
    verdict
}

/// The answer when it cannot be said whether a change is right.
fn unjudged(request: &AdmissionRequest<DynamicObject>, missing: &[Source]) -> AdmissionResponse {
    let (names, rules): (Vec<String>, Vec<String>) =
        missing.iter().map(|source| (source.to_string(), source.rule())).unzip();
    let reason = format!(
        "it cannot be said whether this is right: {} cannot be listed by the controller; allow it to list and watch {} in \
         {} (Role), or install the definition",
        names.join(", "),
        rules.join(", "),
        quoted(request.namespace.as_deref().unwrap_or_default()),
    );
    let mut response = AdmissionResponse::from(request).deny(reason);
    response.result.code = UNAVAILABLE;
    "ServiceUnavailable".clone_into(&mut response.result.reason);
    response
}

fn respond(request: &AdmissionRequest<DynamicObject>, verdict: Verdict) -> AdmissionResponse {
    let mut response = AdmissionResponse::from(request);
    let Verdict { refusals, warnings } = verdict;
    if !warnings.is_empty() {
        response.warnings = Some(bounded(warnings));
    }
    if !refusals.is_empty() {
        response = response.deny(bounded(refusals).join(" | "));
        response.result.code = FORBIDDEN;
        "Forbidden".clone_into(&mut response.result.reason);
    }
    response
}

/// The first sentences, and how many there are besides.
fn bounded(mut sentences: Vec<String>) -> Vec<String> {
    let others = sentences.len().saturating_sub(MOST_SENTENCES);
    if others > 0 {
        sentences.truncate(MOST_SENTENCES);
        sentences.push(format!("and {others} more"));
    }
    sentences
}

const FORBIDDEN: u16 = 403;

const UNAVAILABLE: u16 = 503;

/// Most errors and most warnings that are told at once; the API server cuts after 4 KiB of warnings.
const MOST_SENTENCES: usize = 10;

#[cfg(test)]
#[path = "review_tests.rs"]
pub(super) mod tests;
