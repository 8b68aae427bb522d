//! What a speaker has done.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::announce::Change;
use crate::keys::NodeName;
use crate::membership::Metadata;

use super::drain::Close;
use super::report::Report;

/// Something that has to be carried out, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver that ignored one would lose traffic")]
pub enum Output {
    /// A difference to what this node did. Never a [`Change::Problem`] or [`Change::ExclusionIgnored`]: they are reported.
    Change(Change),
    /// The first decisions are made, and everything that follows from them was yielded. Comes once.
    Started,
    /// It is known who lives, and what follows from that was yielded: the table is complete, and what this node does not
    /// announce from now on is not its. Comes once.
    Decided,
    /// The hardware addresses by which other speakers answer, instead of those that were known before.
    Partners(BTreeSet<[u8; 6]>),
    /// What the other speakers are to be told of this node, instead of what they were told before.
    Metadata(Metadata),
    /// Announce an address again: somebody may have been told by another machine that the address is there.
    Defend(IpAddr),
    /// Announce an address as if it were new: another speaker that answered for it, too, has stopped.
    AnnounceAgain(IpAddr),
    /// Announce everything again: this node and others have lived without each other for a while.
    Reannounce,
    /// A speaker that lived does not any more. What it left behind is for the others to clear away.
    Gone(NodeName),
    /// Something for people.
    Report(Report),
    /// Say goodbye to the other speakers, and go on answering.
    Leave,
    /// Find out whether the node stays, and say so by [`Speaker::set_departure`](super::Speaker::set_departure).
    AskDeparture,
    /// Stop answering for all addresses that are still announced by Layer 2.
    Silence,
    /// Close the BGP sessions in this way. Nothing comes after it.
    Close(Close),
}
