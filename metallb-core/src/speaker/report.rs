//! What people are told.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::announce::AnnounceProblem;
use crate::keys::{InterfaceName, NodeName, ServiceKey};

use super::machine::Claim;

/// Something that people should know. Its text ([`fmt::Display`]) is for events, its [`Report::reason`] for events, logs and
/// metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// A service is not announced as it should be, for [`PATIENCE`](super::PATIENCE) by now.
    #[non_exhaustive]
    AnnounceFailed {
        /// The service.
        service: ServiceKey,
        /// What is wrong.
        problem: AnnounceProblem,
    },
    /// What was wrong with a service, and reported, is over.
    #[non_exhaustive]
    AnnouncedAgain {
        /// The service.
        service: ServiceKey,
    },
    /// Another machine claims an address of this node. At most [`EVERY_SECOND`](super::EVERY_SECOND) services are named in a
    /// second.
    #[non_exhaustive]
    AddressConflict {
        /// The address.
        address: IpAddr,
        /// The services that have it, of which it is to be told.
        services: BTreeSet<ServiceKey>,
        /// This node.
        node: NodeName,
        /// Where the claim was received.
        interface: InterfaceName,
        /// The hardware address that claims it.
        mac: [u8; 6],
        /// The node of the speaker that has that hardware address.
        speaker: Option<NodeName>,
    },
    /// Other machines claim more addresses of this node than are reported one by one. At most once in
    /// [`SUMMARY`](super::SUMMARY).
    #[non_exhaustive]
    ManyConflicts {
        /// How many claims were not reported since the last time, this one included.
        untold: u64,
        /// The last one.
        last: Claim,
    },
    /// Another speaker announces what this one announces, and would own it if its heartbeats arrived: they do not hear
    /// each other. Once for each speaker until they meet again.
    #[non_exhaustive]
    SpeakersApart {
        /// The node of the other speaker.
        speaker: NodeName,
        /// An address that both announce.
        address: IpAddr,
    },
    /// The exclude label of nodes is ignored, because all live speakers are on control planes that carry it.
    ExclusionIgnored,
    /// The exclude label of nodes counts again.
    ExclusionCounts,
    /// Membership's cautious start is over.
    Settled,
    /// Other speakers live than before.
    #[non_exhaustive]
    Members {
        /// All that live.
        members: BTreeSet<NodeName>,
    },
    /// This speaker and others are together again after a time apart.
    Reunited,
    /// Addresses have no successor yet at the end of the drain.
    #[non_exhaustive]
    NoSuccessor {
        /// How many.
        addresses: usize,
    },
}

impl Report {
    /// A stable word.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AnnounceFailed { .. } => "announceFailed",
            Self::AnnouncedAgain { .. } => "announcedAgain",
            Self::AddressConflict { .. } | Self::ManyConflicts { .. } => "addressConflict",
            Self::SpeakersApart { .. } => "speakersApart",
            Self::ExclusionIgnored => "excludeLabelIgnored",
            Self::ExclusionCounts => "excludeLabelCounts",
            Self::Settled => "settled",
            Self::Members { .. } => "members",
            Self::Reunited => "reunited",
            Self::NoSuccessor { .. } => "noSuccessor",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnnounceFailed { problem, .. } => problem.fmt(f),
            Self::AnnouncedAgain { .. } => f.write_str("announced as it should be again"),
            // Always the same words, so that it is counted on one event; whose claim it is, the log says.
            Self::AddressConflict { address, node, interface, speaker, .. } => {
                write!(f, "{address} is also claimed by ")?;
                match speaker {
                    Some(speaker) => write!(f, "the speaker of node {speaker}")?,
                    None => f.write_str("another machine")?,
                }
                write!(
                    f,
                    " on interface {interface} of node {node}; the speaker's log there names its hardware address"
                )
            }
            Self::ManyConflicts { .. } => f.write_str(
                "other machines claim addresses that this node announces by Layer 2, more often than five times a \
                 second: somebody on the segment is misconfigured or hostile; metallb_layer2_conflicts_total says \
                 which addresses, the speaker's log has the hardware address",
            ),
            Self::SpeakersApart { speaker, address } => write!(
                f,
                "the speaker on node {speaker} announces {address}, too, but its heartbeats do not arrive here: \
                 let UDP pass between the nodes (--ml-bindport, 7946 by default)"
            ),
            Self::ExclusionIgnored => f.write_str(
                "every node with a live speaker is a control plane labelled \
                 node.kubernetes.io/exclude-from-external-load-balancers: the label is ignored",
            ),
            Self::ExclusionCounts => f.write_str("the exclude label of nodes counts again"),
            Self::Settled => f.write_str("membership has settled"),
            Self::Members { members } => write!(f, "{} speakers live", members.len()),
            Self::Reunited => f.write_str("reunited with speakers that lived apart"),
            Self::NoSuccessor { addresses } => {
                write!(f, "nobody has taken {addresses} addresses over yet")
            }
        }
    }
}
