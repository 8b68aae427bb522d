//! From custom resources to the configuration that is in force.
//!
//! The only way from YAML to a [`Config`]; controller, speakers and checks all take it, so they
//! agree on what is valid. [`input`] translates field by field without judging; judging is
//! [`Config::build`]'s.

use std::{collections::BTreeMap, sync::Arc};

use metallb_core::{
    config::{Built, Config, Input, Kind, Meta, Secret, SecretProblem, UnreadableInput},
    keys::Created,
};

use crate::{
    crd::{BFDProfile, BGPAdvertisement, BGPPeer, Community, DecodeError, IPAddressPool, L2Advertisement},
    watch::ConfigObject,
};

mod advertisement;
mod frr;
mod judgement;
mod objects;
mod peer;
pub(crate) mod selector;
pub mod versions;

pub use frr::{FrrNeighbors, frr_configuration_name, held_back};
pub use judgement::Judgement;
pub use peer::{PasswordRecord, warnings};

/// All configuration objects there are, readable or not.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Resources {
    /// Address pools.
    pub pools: Vec<Object<IPAddressPool>>,
    /// Layer 2 advertisements.
    pub l2_advertisements: Vec<Object<L2Advertisement>>,
    /// BGP advertisements.
    pub bgp_advertisements: Vec<Object<BGPAdvertisement>>,
    /// BGP peers.
    pub peers: Vec<Object<BGPPeer>>,
    /// Names for communities.
    pub communities: Vec<Object<Community>>,
    /// BFD profiles.
    pub bfd_profiles: Vec<Object<BFDProfile>>,
    /// The Secrets of MetalLB's namespace that peers may refer to, by name.
    pub passwords: BTreeMap<String, Result<Secret, SecretProblem>>,
}

/// One configuration object, or the reason why it cannot be read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Object<K> {
    /// Name and age.
    pub meta: Meta,
    /// The object.
    pub object: Result<Arc<K>, DecodeError>,
}

impl<K: kube::Resource> Object<K> {
    /// A readable object, taking name and age from its metadata.
    pub fn new(object: K) -> Self {
        let meta = object.meta();
        let created = meta.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_second());
        let name = meta.name.clone().unwrap_or_default();
        Self { meta: Meta::new(name, Created(created)), object: Ok(Arc::new(object)) }
    }
}

impl<K> Object<K> {
    /// An object that cannot be read.
    pub fn unreadable(name: impl Into<String>, created: Created, error: DecodeError) -> Self {
        Self { meta: Meta::new(name, created), object: Err(error) }
    }
}

impl<K> From<&ConfigObject<K>> for Object<K> {
    fn from(watched: &ConfigObject<K>) -> Self {
        Self {
            meta: Meta::new(watched.name.clone(), Created(watched.created)),
            object: watched.object.clone(),
        }
    }
}

/// Judges all objects. What is wrong with one leaves the others alone, and keeps that object's last
/// good version from `previous` in force.
pub fn configure(resources: &Resources, previous: &Config) -> Built {
    Config::build(&input(resources), previous)
}

/// The objects as plain values, field by field, nothing judged. Objects that cannot be read are
/// passed on as such.
pub fn input(resources: &Resources) -> Input {
    let mut unreadable = Vec::new();
    let lost = &mut unreadable;
    Input {
        pools: readable(&resources.pools, Kind::Pool, lost, objects::pool),
        l2_advertisements: readable(
            &resources.l2_advertisements,
            Kind::L2Advertisement,
            lost,
            advertisement::l2,
        ),
        bgp_advertisements: readable(
            &resources.bgp_advertisements,
            Kind::BgpAdvertisement,
            lost,
            advertisement::bgp,
        ),
        peers: readable(&resources.peers, Kind::Peer, lost, |meta, object| {
            peer::peer(meta, object, &resources.passwords)
        }),
        communities: readable(&resources.communities, Kind::Community, lost, objects::community),
        bfd_profiles: readable(&resources.bfd_profiles, Kind::BfdProfile, lost, objects::bfd_profile),
        unreadable,
    }
}

fn readable<K, I>(
    objects: &[Object<K>],
    kind: Kind,
    unreadable: &mut Vec<UnreadableInput>,
    translate: impl Fn(Meta, &K) -> Result<I, DecodeError>,
) -> Vec<I> {
    let mut inputs = Vec::with_capacity(objects.len());
    for Object { meta, object } in objects {
        let translated = match object {
            Ok(object) => translate(meta.clone(), object),
            Err(error) => Err(error.clone()),
        };
        match translated {
            Ok(input) => inputs.push(input),
            Err(DecodeError { field, message }) => {
                unreadable.push(UnreadableInput { kind, meta: meta.clone(), field, message });
            }
        }
    }
    inputs
}

/// A number that the schema bounds, checked again for objects stored before the bound.
fn bounded<T: TryFrom<i64>>(value: i64, field: &str) -> Result<T, DecodeError> {
    T::try_from(value)
        .map_err(|_| DecodeError { field: field.to_owned(), message: format!("{value} is out of range") })
}
