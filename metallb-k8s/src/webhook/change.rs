//! What a request wants to change.

use std::sync::Arc;

use kube::core::{DynamicObject, admission::AdmissionRequest, gvk::GroupVersionKind};
use metallb_core::config::Kind;

use crate::{
    convert::{Object, Resources, versions::to_v1beta2},
    crd::{BFDProfile, BGPAdvertisement, BGPPeer, Community, GROUP, IPAddressPool, L2Advertisement, v1beta1},
    watch::ConfigObject,
};

/// A configuration object of any kind.
#[derive(Clone, Debug)]
pub(super) enum AnyObject {
    Pool(Object<IPAddressPool>),
    L2Advertisement(Object<L2Advertisement>),
    BgpAdvertisement(Object<BGPAdvertisement>),
    Peer(Object<BGPPeer>),
    Community(Object<Community>),
    BfdProfile(Object<BFDProfile>),
}

impl AnyObject {
    fn read(kind: Kind, version: &str, object: DynamicObject) -> Self {
        match kind {
            Kind::Pool => Self::Pool(Object::from(&ConfigObject::read(object))),
            Kind::L2Advertisement => Self::L2Advertisement(Object::from(&ConfigObject::read(object))),
            Kind::BgpAdvertisement => Self::BgpAdvertisement(Object::from(&ConfigObject::read(object))),
            Kind::Peer if version == OLD => Self::Peer(old_peer(object)),
            Kind::Peer => Self::Peer(Object::from(&ConfigObject::read(object))),
            Kind::Community => Self::Community(Object::from(&ConfigObject::read(object))),
            Kind::BfdProfile => Self::BfdProfile(Object::from(&ConfigObject::read(object))),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Pool(object) => &object.meta.name,
            Self::L2Advertisement(object) => &object.meta.name,
            Self::BgpAdvertisement(object) => &object.meta.name,
            Self::Peer(object) => &object.meta.name,
            Self::Community(object) => &object.meta.name,
            Self::BfdProfile(object) => &object.meta.name,
        }
    }

    /// Adds the object to others, none of which has its name.
    pub(super) fn add_to(self, resources: &mut Resources) {
        match self {
            Self::Pool(object) => resources.pools.push(object),
            Self::L2Advertisement(object) => resources.l2_advertisements.push(object),
            Self::BgpAdvertisement(object) => resources.bgp_advertisements.push(object),
            Self::Peer(object) => resources.peers.push(object),
            Self::Community(object) => resources.communities.push(object),
            Self::BfdProfile(object) => resources.bfd_profiles.push(object),
        }
    }
}

/// One object before and after a change.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) before: Option<AnyObject>,
    pub(super) after: AnyObject,
}

impl Change {
    /// From a request to create or update; `None` when it has no object.
    pub(super) fn of(kind: Kind, request: &AdmissionRequest<DynamicObject>) -> Option<Self> {
        let read = |object: &DynamicObject| AnyObject::read(kind, &request.kind.version, object.clone());
        let after = read(request.object.as_ref()?);
        let before = request.old_object.as_ref().map(read);
        Some(Self { kind, name: after.name().to_owned(), before, after })
    }
}

/// The kind of a request, `None` when it is none of ours.
pub(super) fn kind(of: &GroupVersionKind) -> Option<Kind> {
    if of.group != GROUP {
        return None;
    }
    KINDS.into_iter().find(|kind| kind.to_string() == of.kind)
}

/// Whether the request speaks of a peer in its old form.
pub(super) fn is_deprecated(request: &AdmissionRequest<DynamicObject>) -> bool {
    let written = request.request_kind.as_ref().unwrap_or(&request.kind);
    kind(written) == Some(Kind::Peer) && written.version == OLD
}

fn old_peer(object: DynamicObject) -> Object<BGPPeer> {
    let ConfigObject { name, created, object, .. } = ConfigObject::<v1beta1::BGPPeer>::read(object);
    let converted = object.and_then(|old| to_v1beta2(Arc::unwrap_or_clone(old))).map(Arc::new);
    Object {
        meta: metallb_core::config::Meta::new(name, metallb_core::keys::Created(created)),
        object: converted,
    }
}

const OLD: &str = "v1beta1";

const KINDS: [Kind; 6] = [
    Kind::Pool,
    Kind::L2Advertisement,
    Kind::BgpAdvertisement,
    Kind::Peer,
    Kind::Community,
    Kind::BfdProfile,
];
