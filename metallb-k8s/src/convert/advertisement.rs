//! Advertisements.

use metallb_core::config::{BgpAdvertisementInput, L2AdvertisementInput, Meta, PreferenceInput};

use super::{
    bounded,
    selector::{selector, selectors},
};
use crate::crd::{BGPAdvertisement, DecodeError, L2Advertisement};

#[expect(clippy::unnecessary_wraps, reason = "one shape for all kinds")]
pub(super) fn l2(meta: Meta, object: &L2Advertisement) -> Result<L2AdvertisementInput, DecodeError> {
    let spec = &object.spec;
    let preferred = spec.preferred_node_selectors.iter().map(|preferred| PreferenceInput {
        weight: preferred.weight,
        preference: selector(&preferred.preference),
    });
    Ok(L2AdvertisementInput {
        meta,
        pools: spec.ip_address_pools.clone(),
        pool_selectors: selectors(&spec.ip_address_pool_selectors),
        node_selectors: selectors(&spec.node_selectors),
        service_selectors: selectors(&spec.service_selectors),
        interfaces: spec.interfaces.clone(),
        preferred_nodes: preferred.collect(),
    })
}

pub(super) fn bgp(meta: Meta, object: &BGPAdvertisement) -> Result<BgpAdvertisementInput, DecodeError> {
    let spec = &object.spec;
    Ok(BgpAdvertisementInput {
        meta,
        aggregation_length: spec.aggregation_length,
        aggregation_length_v6: spec.aggregation_length_v6,
        local_pref: spec.local_pref.map(|preference| bounded(preference, "spec.localPref")).transpose()?,
        communities: spec.communities.clone(),
        pools: spec.ip_address_pools.clone(),
        pool_selectors: selectors(&spec.ip_address_pool_selectors),
        node_selectors: selectors(&spec.node_selectors),
        service_selectors: selectors(&spec.service_selectors),
        peers: spec.peers.clone(),
    })
}
