//! What a change is judged against.

use std::collections::BTreeSet;

use kube::core::{
    DynamicObject,
    admission::{AdmissionRequest, Operation},
};
use metallb_core::config::{Community, Kind};

use super::{
    change::{AnyObject, Change, kind},
    review::{State, is_ended, is_subresource},
};
use crate::{
    convert::{Object, Resources},
    crd::{BGPAdvertisement, BGPPeer},
    watch::Source,
};

/// What has to be known for the review of a change. What it does not refer to is none of that.
pub fn needs(request: &AdmissionRequest<DynamicObject>, state: &State<'_>) -> BTreeSet<Source> {
    let Some(kind) = kind(&request.kind).filter(|_| !is_subresource(request)) else { return BTreeSet::new() };
    if request.namespace.as_deref() != Some(state.namespace) {
        return BTreeSet::new();
    }
    match request.operation {
        Operation::Create | Operation::Update if !is_ended(request) => {
            Change::of(kind, request).map(|change| of_change(&change, state.resources)).unwrap_or_default()
        }
        Operation::Delete if kind == Kind::BfdProfile => [Source::Objects(Kind::Peer)].into(),
        _ => BTreeSet::new(),
    }
}

/// In step with [`related`](super::scope::related).
fn of_change(change: &Change, resources: &Resources) -> BTreeSet<Source> {
    let versions = || change.before.iter().chain([&change.after]);
    let kinds: BTreeSet<Kind> = match change.kind {
        Kind::BfdProfile => BTreeSet::new(),
        Kind::L2Advertisement => versions().any(names_pools).then_some(Kind::Pool).into_iter().collect(),
        Kind::Peer => return versions().flat_map(of_peer).collect(),
        Kind::Pool => announced(resources, versions()),
        Kind::Community => &announced(resources, versions()) | &[Kind::Community].into(),
        Kind::BgpAdvertisement => {
            let peers = versions().any(|any| advertises(any, |spec| !spec.spec.peers.is_empty()));
            announced(resources, versions()).into_iter().chain(peers.then_some(Kind::Peer)).collect()
        }
    };
    kinds.into_iter().map(Source::Objects).collect()
}

/// What decides how pools are announced by BGP.
fn announced<'a>(resources: &Resources, mut versions: impl Iterator<Item = &'a AnyObject>) -> BTreeSet<Kind> {
    // A value refers to nobody, an alias to the object that defines it.
    let is_alias = |text: &String| Community::parse(text).is_none();
    let uses = |advertisement: &BGPAdvertisement| advertisement.spec.communities.iter().any(is_alias);
    let named = versions.any(|any| advertises(any, uses))
        || resources
            .bgp_advertisements
            .iter()
            .filter_map(|object| object.object.as_ref().ok())
            .any(|a| uses(a));
    [Kind::Pool, Kind::BgpAdvertisement].into_iter().chain(named.then_some(Kind::Community)).collect()
}

/// A peer, and what it names.
fn of_peer(any: &AnyObject) -> impl Iterator<Item = Source> + use<> {
    let refers = |to: fn(&BGPPeer) -> bool| match any {
        AnyObject::Peer(Object { object: Ok(peer), .. }) => to(peer),
        _ => false,
    };
    let profile = refers(|peer| peer.spec.bfd_profile.as_deref().is_some_and(|name| !name.is_empty()));
    let secret = refers(|peer| peer.spec.password_secret.is_some());
    [Source::Objects(Kind::Peer)]
        .into_iter()
        .chain(profile.then_some(Source::Objects(Kind::BfdProfile)))
        .chain(secret.then_some(Source::Secrets))
}

fn names_pools(any: &AnyObject) -> bool {
    matches!(
        any,
        AnyObject::L2Advertisement(Object { object: Ok(object), .. }) if !object.spec.ip_address_pools.is_empty()
    )
}

fn advertises(any: &AnyObject, what: impl Fn(&BGPAdvertisement) -> bool) -> bool {
    matches!(any, AnyObject::BgpAdvertisement(Object { object: Ok(object), .. }) if what(object))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::review::{
            review,
            tests::{NAMESPACE, existing, mk, mk_request, peer, pool},
        },
        *,
    };

    const SECRETS: Source = Source::Secrets;

    fn of(kind: Kind) -> Source {
        Source::Objects(kind)
    }

    fn needed(request: &AdmissionRequest<DynamicObject>, objects: &[Value]) -> BTreeSet<Source> {
        let resources = existing(objects);
        needs(request, &State::new(NAMESPACE, &resources))
    }

    #[test]
    fn only_what_a_change_refers_to_is_needed() {
        let spec = json!({ "communities": ["64500:1", "ours"], "peers": ["router"] });
        let advertisement = mk("BGPAdvertisement", "a", spec);
        let plain = mk(
            "BGPAdvertisement",
            "b",
            json!({ "communities": ["64500:1", "large:64500:1:2", "no-export"] }),
        );
        let profiled = peer("r", json!({ "bfdProfile": "fast" }));
        let secret = peer("r", json!({ "passwordSecret": { "name": "s" } }));
        let pools = [Kind::Pool, Kind::BgpAdvertisement].map(of);
        let cases: [(Value, &[Value], Vec<Source>); 8] = [
            (mk("BFDProfile", "p", json!({})), &[], vec![]),
            (mk("L2Advertisement", "l", json!({})), &[], vec![]),
            (mk("L2Advertisement", "l", json!({ "ipAddressPools": ["a"] })), &[], vec![of(Kind::Pool)]),
            (peer("r", json!({})), &[], vec![of(Kind::Peer)]),
            (profiled, &[], vec![of(Kind::Peer), of(Kind::BfdProfile)]),
            (secret, &[], vec![of(Kind::Peer), SECRETS]),
            (pool("p", &["192.0.2.0/24"]), std::slice::from_ref(&plain), pools.to_vec()),
            (advertisement.clone(), &[], [pools.as_slice(), &[of(Kind::Peer), of(Kind::Community)]].concat()),
        ];
        for (object, objects, expected) in cases {
            let found = needed(&mk_request("CREATE", &object, None), objects);
            assert_eq!(found, expected.into_iter().collect(), "{object}");
            let found = needed(&mk_request("DELETE", &Value::Null, Some(&object)), objects);
            let expected = (object["kind"] == "BFDProfile").then_some(of(Kind::Peer));
            assert_eq!(found, expected.into_iter().collect(), "{object}");
        }
        let found = needed(&mk_request("CREATE", &pool("p", &["192.0.2.0/24"]), None), &[advertisement]);
        assert!(found.contains(&of(Kind::Community)), "the advertisement of the pool names one");
    }

    #[test]
    fn a_kind_that_may_not_be_listed_is_named_by_the_reviews_that_need_it_and_touches_no_other() {
        let resources = existing(&[]);
        let unlisted = BTreeSet::from([of(Kind::Community), of(Kind::Peer), SECRETS]);
        let state = State { unlisted, ..State::new(NAMESPACE, &resources) };
        let allowed = [pool("p", &["192.0.2.0/24"]), mk("BGPAdvertisement", "b", json!({}))];
        for object in allowed {
            assert!(review(&mk_request("CREATE", &object, None), &state).allowed, "{object}");
        }
        let refused = [(peer("r", json!({})), "BGPPeer"), (mk("Community", "c", json!({})), "Community")];
        for (object, kind) in refused {
            let answer = review(&mk_request("CREATE", &object, None), &state);
            assert_eq!((answer.allowed, answer.result.code), (false, 503), "{object}");
            for words in [kind, "list", "Role"] {
                assert!(answer.result.message.contains(words), "{}", answer.result.message);
            }
        }
    }
}
