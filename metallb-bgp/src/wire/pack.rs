//! Building UPDATEs: as many prefixes as fit into each message, one kind of route per message.
//!
//! RFC 7606 §5.1 shapes the messages: MP_REACH_NLRI or MP_UNREACH_NLRI comes first, the other attributes ascend by
//! type, and no message mixes withdrawals with announcements or the NLRI field with a multiprotocol attribute.
//!
//! An [`AttributeBlock`] is encoded once for all routes that share it; [`Announcements`] and [`Withdrawals`] then
//! write one message per call, so a session can stop whenever its socket does not take more.
//!
//! ```
//! use metallb_bgp::types::{Asn, AsPath, AsnWidth, Attributes, Family, PeerKind};
//! use metallb_bgp::wire::header::MessageLimit;
//! use metallb_bgp::wire::pack::{Announcements, AttributeBlock, PathEncoding};
//! use std::net::{IpAddr, Ipv4Addr};
//!
//! let mut attributes = Attributes::originate(IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)).into());
//! attributes.as_path = AsPath::sequence([Asn::new(64512)]);
//! let encoding = PathEncoding { peer: PeerKind::External, asn_width: AsnWidth::Four };
//! let block = AttributeBlock::encode(&attributes, Family::Ipv4Unicast, encoding)?;
//!
//! let prefixes: Vec<ipnetwork::IpNetwork> = vec!["198.51.100.1/32".parse()?, "198.51.100.2/32".parse()?];
//! let mut messages = Announcements::new(&block, &prefixes, MessageLimit::Standard);
//! let mut out = Vec::new();
//! assert_eq!(messages.write_next(&mut out)?, 2);
//! assert_eq!(messages.write_next(&mut out)?, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attributes;
mod prefix;
mod template;
mod writer;

pub use attributes::AttributeBlock;
pub(crate) use attributes::DEFAULT_LOCAL_PREF;
pub use prefix::WirePrefix;
pub use writer::{Announcements, Withdrawals};

use crate::types::{AsnWidth, Family, PeerKind};

/// How one session wants path attributes encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathEncoding {
    /// LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST go to internal peers only.
    pub peer: PeerKind,
    /// Width of AS numbers; with two octets, AS4_PATH and AS4_AGGREGATOR carry what does not fit.
    pub asn_width: AsnWidth,
}

/// Appends the End-of-RIB marker of `family` to `out` (RFC 4724 §2).
pub fn encode_end_of_rib(family: Family, out: &mut Vec<u8>) {
    template::end_of_rib(family, out);
}

#[cfg(test)]
mod tests;
