//! Building UPDATEs.

use crate::types::{AsnWidth, PeerKind};

/// How one session wants path attributes encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathEncoding {
    /// LOCAL_PREF goes to internal peers only.
    pub peer: PeerKind,
    /// Width of AS numbers; with two octets, AS4_PATH and AS4_AGGREGATOR carry what does not fit.
    pub asn_width: AsnWidth,
}
