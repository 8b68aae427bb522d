//! The webhooks that the API server calls, as functions without IO: admission of configuration objects
//! ([`review`]), conversion of `BGPPeer` ([`convert`]), and the certificates behind both
//! ([`certificate`], [`bundle`], [`keeper`]).
//!
//! A change is refused only for errors that it introduces: what was wrong before stands in the way of
//! nobody, and an object that does not exist yet may be referred to. The words of a refusal contain
//! MetalLB's, for those who search for them.
//!
//! # What it takes
//!
//! With the webhooks on, a controller needs these rights; `NAME` is that of the Secret, by default
//! `metallb-webhook-cert`. All lists and watches select one object by `metadata.name`, so rules
//! may name it.
//!
//! | where | resource | name | verbs |
//! |---|---|---|---|
//! | namespace | `secrets` | `NAME` | list, watch, patch |
//! | namespace | `secrets` | | create |
//! | cluster | `validatingwebhookconfigurations.admissionregistration.k8s.io` | `metallb-webhook-configuration` | list, watch, patch |
//! | cluster | `customresourcedefinitions.apiextensions.k8s.io` | `bgppeers.metallb.io` | list, watch, patch |

use metallb_core::config::Kind;

pub mod bundle;
pub mod certificate;
mod change;
mod conversion;
mod introduced;
pub mod keeper;
mod needs;
mod review;
mod scope;
mod words;

pub use conversion::convert;
pub use needs::needs;
pub use review::{State, review};

/// Largest body of a review that is read, in bytes; a larger one is answered with 413.
pub const LARGEST_REVIEW: usize = 3 * 1024 * 1024;

/// Path under which the API server has `BGPPeer`s converted.
pub const CONVERSION_PATH: &str = "/convert";

/// Paths under which the API server has objects reviewed, as MetalLB's; the last is that of its early
/// releases.
pub const REVIEW_PATHS: [(&str, Kind); 7] = [
    ("/validate-metallb-io-v1beta1-ipaddresspool", Kind::Pool),
    ("/validate-metallb-io-v1beta1-l2advertisement", Kind::L2Advertisement),
    ("/validate-metallb-io-v1beta1-bgpadvertisement", Kind::BgpAdvertisement),
    ("/validate-metallb-io-v1beta1-community", Kind::Community),
    ("/validate-metallb-io-v1beta1-bfdprofile", Kind::BfdProfile),
    ("/validate-metallb-io-v1beta2-bgppeer", Kind::Peer),
    ("/validate-metallb-io-v1beta1-bgppeer", Kind::Peer),
];
