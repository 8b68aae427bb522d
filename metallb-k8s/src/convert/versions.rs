//! Between the two versions of `BGPPeer`, without loss in either direction.
//!
//! What only `v1beta2` can say rides in the annotation [`KEPT`] while an object has the old form, and
//! is taken from there on the way back.

use kube::core::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crd::{
    self, BGPPeer, BGPPeerSpec, DecodeError, LabelExpression, LabelSelector,
    v1beta1::{self, NodeExpression, NodeSelector},
};

/// Annotation that holds what the old form has no field for.
pub const KEPT: &str = "metallb.io/v1beta2-fields";

/// The new form of an old peer.
///
/// # Errors
/// [`DecodeError`] when the annotation [`KEPT`] holds something else than what [`to_v1beta1`] put
/// there.
pub fn to_v1beta2(old: v1beta1::BGPPeer) -> Result<BGPPeer, DecodeError> {
    let v1beta1::BGPPeer { mut metadata, spec: old, status } = old;
    let kept = take_kept(&mut metadata)?;
    let mut selectors: Vec<LabelSelector> = old.node_selectors.iter().map(new_selector).collect();
    let mut spec = match kept {
        Some(kept) => {
            // The old form was left alone since: its selectors stand for those that were kept.
            if kept.old_selectors == old.node_selectors {
                selectors.clone_from(&kept.spec.node_selectors);
            }
            kept.spec
        }
        None => BGPPeerSpec { dual_stack_address_family: false, ..empty_spec() },
    };
    spec.my_asn = old.my_asn;
    spec.peer_asn =
        if old.peer_asn == 0 { spec.peer_asn.filter(|asn| *asn == 0) } else { Some(old.peer_asn) };
    if old.peer_asn != 0 {
        spec.dynamic_asn = None;
    }
    spec.peer_address = if old.peer_address.is_empty() {
        spec.peer_address.filter(String::is_empty)
    } else {
        spec.interface = None;
        Some(old.peer_address)
    };
    spec.source_address = old.source_address;
    spec.peer_port = old.peer_port;
    spec.hold_time = old.hold_time;
    spec.keepalive_time = old.keepalive_time;
    spec.router_id = old.router_id;
    spec.node_selectors = selectors;
    spec.password = old.password;
    spec.bfd_profile = old.bfd_profile;
    spec.ebgp_multi_hop = old.ebgp_multi_hop;
    Ok(BGPPeer { metadata, spec, status })
}

/// The old form of a peer.
pub fn to_v1beta1(new: BGPPeer) -> v1beta1::BGPPeer {
    let BGPPeer { mut metadata, spec, status } = new;
    let old_selectors: Vec<NodeSelector> = spec.node_selectors.iter().map(old_selector).collect();
    let old = v1beta1::BGPPeerSpec {
        my_asn: spec.my_asn,
        peer_asn: spec.peer_asn.unwrap_or(0),
        peer_address: spec.peer_address.clone().unwrap_or_default(),
        source_address: spec.source_address.clone(),
        peer_port: spec.peer_port,
        hold_time: spec.hold_time.clone(),
        keepalive_time: spec.keepalive_time.clone(),
        router_id: spec.router_id.clone(),
        node_selectors: old_selectors.clone(),
        password: spec.password.clone(),
        bfd_profile: spec.bfd_profile.clone(),
        ebgp_multi_hop: spec.ebgp_multi_hop,
    };
    let kept = Kept { old_selectors, spec: without_secrets(spec) };
    if kept.is_needed() {
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(KEPT.to_owned(), serde_json::json!(kept).to_string());
    }
    v1beta1::BGPPeer { metadata, spec: old, status }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    /// The new form, without the password.
    spec: BGPPeerSpec,
    /// What became of its node selectors in the old form.
    old_selectors: Vec<NodeSelector>,
}

impl Kept {
    /// Whether the new form says anything that the old one does not.
    fn is_needed(&self) -> bool {
        let spec = &self.spec;
        let selectors: Vec<LabelSelector> = self.old_selectors.iter().map(new_selector).collect();
        let said = BGPPeerSpec {
            my_asn: spec.my_asn,
            peer_asn: spec.peer_asn.filter(|asn| *asn != 0),
            peer_address: spec.peer_address.clone().filter(|address| !address.is_empty()),
            source_address: spec.source_address.clone(),
            peer_port: spec.peer_port,
            hold_time: spec.hold_time.clone(),
            keepalive_time: spec.keepalive_time.clone(),
            router_id: spec.router_id.clone(),
            node_selectors: selectors,
            bfd_profile: spec.bfd_profile.clone(),
            ebgp_multi_hop: spec.ebgp_multi_hop,
            ..empty_spec()
        };
        said != *spec
    }
}

/// Annotations are read by more people than passwords should be; the old form has a field for it.
fn without_secrets(spec: BGPPeerSpec) -> BGPPeerSpec {
    BGPPeerSpec { password: None, ..spec }
}

fn take_kept(metadata: &mut ObjectMeta) -> Result<Option<Kept>, DecodeError> {
    let Some(annotations) = &mut metadata.annotations else { return Ok(None) };
    let Some(text) = annotations.remove(KEPT) else { return Ok(None) };
    if annotations.is_empty() {
        metadata.annotations = None;
    }
    let error = |message: String| DecodeError { field: format!("metadata.annotations[{KEPT}]"), message };
    let value: Value = serde_json::from_str(&text).map_err(|problem| error(problem.to_string()))?;
    let kept = crd::decode::<Kept>(value).map_err(|problem| error(problem.to_string()))?;
    Ok(Some(kept))
}

fn new_selector(old: &NodeSelector) -> LabelSelector {
    let expressions = old.match_expressions.iter().map(|expression| LabelExpression {
        key: expression.key.clone(),
        operator: expression.operator.clone(),
        values: expression.values.clone(),
    });
    LabelSelector { match_labels: old.match_labels.clone(), match_expressions: expressions.collect() }
}

/// The old form wants at least one value in every expression. Where the new one has none (`Exists`,
/// `DoesNotExist`), it gets an empty one; the way back takes the kept selectors instead.
fn old_selector(new: &LabelSelector) -> NodeSelector {
    let expressions = new.match_expressions.iter().map(|expression| NodeExpression {
        key: expression.key.clone(),
        operator: expression.operator.clone(),
        values: if expression.values.is_empty() { vec![String::new()] } else { expression.values.clone() },
    });
    NodeSelector { match_labels: new.match_labels.clone(), match_expressions: expressions.collect() }
}

fn empty_spec() -> BGPPeerSpec {
    BGPPeerSpec {
        my_asn: 0,
        peer_asn: None,
        dynamic_asn: None,
        local_asn: None,
        peer_address: None,
        interface: None,
        source_address: None,
        peer_port: None,
        hold_time: None,
        keepalive_time: None,
        connect_time: None,
        router_id: None,
        next_hop: None,
        tcp_mss: None,
        node_selectors: Vec::new(),
        password: None,
        password_secret: None,
        bfd_profile: None,
        enable_graceful_restart: None,
        ebgp_multi_hop: None,
        vrf: None,
        dual_stack_address_family: false,
        disable_mp: false,
    }
}
