//! Pools, communities and BFD profiles.

use metallb_core::config::{BfdProfileInput, CommunityInput, Meta, PoolInput, ServiceAllocationInput};

use super::{bounded, selector::selectors};
use crate::crd::{BFDProfile, Community, DecodeError, IPAddressPool};

pub(super) fn pool(meta: Meta, object: &IPAddressPool) -> Result<PoolInput, DecodeError> {
    let spec = &object.spec;
    let allocation = spec.service_allocation.as_ref().map(|allocation| {
        Ok(ServiceAllocationInput {
            priority: bounded(allocation.priority.unwrap_or(0), "spec.serviceAllocation.priority")?,
            namespaces: allocation.namespaces.clone(),
            namespace_selectors: selectors(&allocation.namespace_selectors),
            service_selectors: selectors(&allocation.service_selectors),
            max_per_namespace: allocation.max_per_namespace,
            sharing: allocation.sharing.clone(),
        })
    });
    let labels = object.metadata.labels.iter().flatten();
    Ok(PoolInput {
        meta,
        labels: labels.map(|(key, value)| (key.clone(), value.clone())).collect(),
        addresses: spec.addresses.clone(),
        auto_assign: spec.auto_assign,
        avoid_buggy_ips: spec.avoid_buggy_ips,
        exclude_addresses: spec.exclude_addresses.clone(),
        service_allocation: allocation.transpose()?,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "one shape for all kinds")]
pub(super) fn community(meta: Meta, object: &Community) -> Result<CommunityInput, DecodeError> {
    let aliases = object.spec.communities.iter().map(|alias| (alias.name.clone(), alias.value.clone()));
    Ok(CommunityInput { meta, aliases: aliases.collect() })
}

#[expect(clippy::unnecessary_wraps, reason = "one shape for all kinds")]
pub(super) fn bfd_profile(meta: Meta, object: &BFDProfile) -> Result<BfdProfileInput, DecodeError> {
    let spec = &object.spec;
    Ok(BfdProfileInput {
        meta,
        receive_interval: spec.receive_interval,
        transmit_interval: spec.transmit_interval,
        detect_multiplier: spec.detect_multiplier,
        echo_interval: spec.echo_interval,
        echo_mode: spec.echo_mode.unwrap_or(false),
        passive_mode: spec.passive_mode.unwrap_or(false),
        minimum_ttl: spec.minimum_ttl,
    })
}
