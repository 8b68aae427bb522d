//! Why datagrams are dropped.

use std::net::IpAddr;

use crate::keys::NodeName;

use super::config::Epoch;
use super::metadata::MetadataError;
use super::wire::DecodeError;

/// Why a datagram was dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// It does not follow the format.
    #[error("malformed datagram")]
    Malformed(#[from] DecodeError),
    /// The metadata that it completes cannot be read.
    #[error("malformed metadata from {member}")]
    Metadata {
        /// The sender.
        member: NodeName,
        /// What is wrong.
        #[source]
        error: MetadataError,
    },
    /// Its sender is not among the peers given.
    #[error("{name} is not a known member")]
    UnknownMember {
        /// The name in the datagram.
        name: NodeName,
    },
    /// It carries our own name: a reflection, or a second speaker for the same node.
    #[error("datagram with our own name")]
    OwnName,
    /// It does not come from an address of the member that it names.
    #[error("datagram of {member} from {from}, which is no address of that member")]
    Source {
        /// The member it names.
        member: NodeName,
        /// Where it came from.
        from: IpAddr,
    },
    /// It claims to be sent by a run that begins in the future.
    #[error("epoch {epoch} of {member} is more than a day ahead of this node's clock")]
    EpochAhead {
        /// The sender.
        member: NodeName,
        /// The epoch of the datagram.
        epoch: Epoch,
    },
    /// It comes from an earlier run of its sender while a later one is heard.
    #[error("{member} of epoch {epoch} was replaced by a later run")]
    StaleEpoch {
        /// The sender.
        member: NodeName,
        /// The epoch of the datagram.
        epoch: Epoch,
    },
    /// It is a repetition, or arrived out of order.
    #[error("sequence number {sequence} of {member} is not new")]
    StaleSequence {
        /// The sender.
        member: NodeName,
        /// The sequence number of the datagram.
        sequence: u64,
    },
    /// It answers something that this run did not ask, or asked too long ago: a recording, or a sender that does not hear
    /// this node yet.
    #[error("datagram of {member} that answers an earlier question")]
    Unproven {
        /// The sender.
        member: NodeName,
    },
}

impl Rejected {
    /// The reason, as counted.
    #[must_use]
    pub const fn reason(&self) -> DropReason {
        match self {
            Self::Malformed(_) | Self::Metadata { .. } => DropReason::Malformed,
            Self::UnknownMember { .. } => DropReason::Stranger,
            Self::OwnName => DropReason::OwnName,
            Self::Source { .. } => DropReason::Source,
            Self::EpochAhead { .. } => DropReason::Epoch,
            Self::StaleEpoch { .. } | Self::StaleSequence { .. } | Self::Unproven { .. } => DropReason::Stale,
        }
    }
}

/// Reasons for which datagrams are dropped, as label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// It does not follow the format.
    Malformed,
    /// Its sender is no member.
    Stranger,
    /// It carries our own name.
    OwnName,
    /// It does not come from its sender's address.
    Source,
    /// Its run begins in the future.
    Epoch,
    /// A repetition, a recording, or an earlier run.
    Stale,
    /// Sealed with a key that this node does not have.
    Key,
    /// Sealed with our key, as it says, but changed, or meant for another receiver.
    Forged,
    /// Sealed where it should not be, or not sealed where it should.
    Unsealed,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Malformed,
        Self::Stranger,
        Self::OwnName,
        Self::Source,
        Self::Epoch,
        Self::Stale,
        Self::Key,
        Self::Forged,
        Self::Unsealed,
    ];

    /// A stable word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Stranger => "stranger",
            Self::OwnName => "own-name",
            Self::Source => "source",
            Self::Epoch => "epoch",
            Self::Stale => "stale",
            Self::Key => "key",
            Self::Forged => "forged",
            Self::Unsealed => "unsealed",
        }
    }
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams handed to the caller for sending.
    pub sent: u64,
    /// Datagrams that were believed, and introductions.
    pub received: u64,
    /// Datagrams that did not follow the format, and metadata that could not be read.
    pub malformed: u64,
    /// Datagrams of senders that are not peers, from addresses that are not theirs, with epochs that cannot be, or that
    /// carry our own name.
    pub unknown: u64,
    /// Datagrams of an earlier run, out of order, or without a proof.
    pub stale: u64,
    /// Times at which a member that was heard fell silent for as long as counts: it was dropped, or lives on by the word of
    /// others that hear it.
    pub suspicions: u64,
    /// Times at which the caller was late by more than two intervals, so that silence proved nothing.
    pub stalls: u64,
}

impl Stats {
    pub(super) fn count(&mut self, result: &Result<(), Rejected>) {
        let counter = match result.as_ref().map_err(Rejected::reason) {
            Ok(()) => &mut self.received,
            Err(DropReason::Malformed) => &mut self.malformed,
            Err(DropReason::Stale) => &mut self.stale,
            Err(_) => &mut self.unknown,
        };
        *counter = counter.saturating_add(1);
    }
}
