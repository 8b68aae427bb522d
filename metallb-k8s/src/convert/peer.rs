//! BGP peers and their passwords.

use std::collections::BTreeMap;

use metallb_core::config::{Meta, PasswordInput, PeerInput, Secret, SecretProblem};

use super::{bounded, selector::selectors};
use crate::{
    crd::{BGPPeer, BGPPeerSpec, DecodeError, Password},
    facts::objects,
    watch::Tracked,
};

/// What is kept of a Secret: the password, or why it is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordRecord(pub Result<Secret, SecretProblem>);

impl PasswordRecord {
    /// Type of the Secrets that passwords are taken from.
    pub const SECRET_TYPE: &'static str = "kubernetes.io/basic-auth";

    /// Takes the password out of a Secret.
    pub fn cut(object: &objects::Secret) -> Self {
        if object.r#type.as_deref() != Some(Self::SECRET_TYPE) {
            return Self(Err(SecretProblem::WrongType));
        }
        let Some(password) = &object.data.password else { return Self(Err(SecretProblem::NoPassword)) };
        Self(match std::str::from_utf8(password) {
            Ok(text) => Ok(Secret::new(text)),
            Err(_) => Err(SecretProblem::NotText),
        })
    }
}

impl Tracked for PasswordRecord {
    fn differs(&self, previous: &Self) -> bool {
        self != previous
    }
}

/// What is accepted but should be changed, for warnings at admission and in logs: field and remark.
pub fn warnings(peer: &BGPPeer) -> Vec<(&'static str, &'static str)> {
    let mut warnings = Vec::new();
    if peer.spec.disable_mp {
        warnings.push(("spec.disableMP", "has no effect; use dualStackAddressFamily"));
    }
    if peer.spec.password_secret.as_ref().is_some_and(|secret| given(secret.namespace.as_ref()).is_some()) {
        warnings.push((
            "spec.passwordSecret.namespace",
            "has no effect; the Secret is read from MetalLB's namespace",
        ));
    }
    warnings
}

pub(super) fn peer(
    meta: Meta,
    object: &BGPPeer,
    passwords: &BTreeMap<String, Result<Secret, SecretProblem>>,
) -> Result<PeerInput, DecodeError> {
    let spec = &object.spec;
    Ok(PeerInput {
        meta,
        my_asn: bounded(spec.my_asn, "spec.myASN")?,
        peer_asn: asn(spec.peer_asn, "spec.peerASN")?,
        dynamic_asn: given(spec.dynamic_asn.as_ref()),
        local_asn: asn(spec.local_asn, "spec.localASN")?,
        address: given(spec.peer_address.as_ref()),
        interface: given(spec.interface.as_ref()),
        source_address: given(spec.source_address.as_ref()),
        // MetalLB's first version stored 0 for "not given".
        port: spec.peer_port.filter(|port| *port != 0),
        hold_time: given(spec.hold_time.as_ref()),
        keepalive_time: given(spec.keepalive_time.as_ref()),
        connect_time: given(spec.connect_time.as_ref()),
        router_id: given(spec.router_id.as_ref()),
        next_hop_v4: spec.next_hop.as_ref().and_then(|next_hop| given(next_hop.ipv4.as_ref())),
        next_hop_v6: spec.next_hop.as_ref().and_then(|next_hop| given(next_hop.ipv6.as_ref())),
        tcp_mss: spec.tcp_mss,
        node_selectors: selectors(&spec.node_selectors),
        password: password(spec, passwords),
        bfd_profile: given(spec.bfd_profile.as_ref()),
        graceful_restart: spec.enable_graceful_restart.unwrap_or(false),
        ebgp_multi_hop: spec.ebgp_multi_hop.unwrap_or(false),
        vrf: given(spec.vrf.as_ref()),
        dual_stack_address_family: spec.dual_stack_address_family,
    })
}

fn password(
    spec: &BGPPeerSpec,
    passwords: &BTreeMap<String, Result<Secret, SecretProblem>>,
) -> PasswordInput {
    let reference = spec.password_secret.as_ref().and_then(|secret| given(secret.name.as_ref()));
    let plain = spec.password.as_ref().map(Password::reveal).filter(|password| !password.is_empty());
    match (plain, reference) {
        (None, None) => PasswordInput::None,
        (Some(password), None) => PasswordInput::Plain(Secret::new(password)),
        (Some(_), Some(_)) => PasswordInput::Both,
        (None, Some(name)) => {
            let value = passwords.get(&name).cloned().unwrap_or(Err(SecretProblem::Missing));
            PasswordInput::Reference { name, value }
        }
    }
}

/// Go writes empty texts where it means "absent".
fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

fn asn(value: Option<i64>, field: &str) -> Result<Option<u32>, DecodeError> {
    value.filter(|value| *value != 0).map(|value| bounded(value, field)).transpose()
}
