//! The list of members that a bitmap refers to.

use std::collections::VecDeque;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::keys::NodeName;

use super::wire::{Bitmap, MAX_ROSTER};

/// All members known, in the order of their names, with a digest by which two members find out that they
/// mean the same list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Roster {
    names: Arc<[NodeName]>,
    digest: u64,
}

impl Roster {
    /// A roster of names that are sorted and distinct.
    pub(super) fn new(names: impl Iterator<Item = NodeName>) -> Self {
        let names: Arc<[NodeName]> = names.collect();
        let mut hasher = Sha256::new();
        for name in names.iter() {
            hasher.update(name.as_str().as_bytes());
            hasher.update([0]);
        }
        let mut head = [0; 8];
        for (to, from) in head.iter_mut().zip(hasher.finalize()) {
            *to = from;
        }
        Self { names, digest: u64::from_be_bytes(head) }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn position(&self, name: &NodeName) -> Option<usize> {
        self.names.binary_search(name).ok()
    }

    /// The bits of those members for which `heard` holds; `None` when the roster is too long for a bitmap.
    pub(super) fn bits(&self, heard: impl Fn(&NodeName) -> bool) -> Option<Bits> {
        if self.names.len() > MAX_ROSTER {
            return None;
        }
        let members = u16::try_from(self.names.len()).ok()?;
        let octets = self
            .names
            .chunks(8)
            .map(|eight| {
                eight
                    .iter()
                    .enumerate()
                    .fold(0_u8, |octet, (bit, name)| octet | (u8::from(heard(name)) << bit))
            })
            .collect();
        Some(Bits { digest: self.digest, members, octets })
    }
}

/// The bits of a roster, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bits {
    digest: u64,
    members: u16,
    octets: Vec<u8>,
}

impl Bits {
    pub(super) fn as_wire(&self) -> Bitmap<'_> {
        Bitmap { digest: self.digest, members: self.members, bits: &self.octets }
    }

    /// Takes over what a bitmap says, reusing the memory at hand.
    pub(super) fn store(slot: &mut Option<Self>, bitmap: Option<Bitmap<'_>>) {
        let Some(bitmap) = bitmap else {
            *slot = None;
            return;
        };
        let bits = slot.get_or_insert(Self { digest: 0, members: 0, octets: Vec::new() });
        bits.digest = bitmap.digest;
        bits.members = bitmap.members;
        bits.octets.clear();
        bits.octets.extend_from_slice(bitmap.bits);
    }
}

/// The current roster and a few earlier ones, so that a member whose list is a little behind is understood.
#[derive(Clone, Debug)]
pub(super) struct Rosters {
    current: Roster,
    earlier: VecDeque<Roster>,
}

impl Rosters {
    pub(super) fn new(current: Roster) -> Self {
        Self { current, earlier: VecDeque::new() }
    }

    pub(super) fn current(&self) -> &Roster {
        &self.current
    }

    pub(super) fn replace(&mut self, roster: Roster) {
        if roster == self.current {
            return;
        }
        let old = std::mem::replace(&mut self.current, roster);
        self.earlier.push_front(old);
        self.earlier.truncate(EARLIER_ROSTERS);
    }

    /// Whether `bitmap` says that its sender hears `name`; `None` when its roster is not known here.
    pub(super) fn says(&self, bitmap: &Bitmap<'_>, name: &NodeName) -> Option<bool> {
        let known = std::iter::once(&self.current).chain(&self.earlier);
        let index = known
            .filter(|roster| roster.digest == bitmap.digest && roster.len() == usize::from(bitmap.members))
            .find_map(|roster| roster.position(name))?;
        Some(bitmap.contains(index))
    }
}

const EARLIER_ROSTERS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(names: &[&str]) -> Roster {
        Roster::new(names.iter().map(|name| NodeName::new(*name)))
    }

    #[test]
    fn a_bitmap_says_who_is_heard() {
        let names: Vec<String> = (0..20).map(|n| format!("node-{n:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let rosters = Rosters::new(roster(&names));
        let heard = |name: &NodeName| name.as_str() == "node-03" || name.as_str() == "node-19";
        let bits = rosters.current().bits(heard).unwrap();
        for name in &names {
            let name = NodeName::new(*name);
            assert_eq!(rosters.says(&bits.as_wire(), &name), Some(heard(&name)), "{name}");
        }
    }

    #[test]
    fn a_bitmap_over_an_earlier_roster_is_understood_and_over_an_unknown_one_is_not() {
        let old = roster(&["a", "b"]);
        let bits = old.bits(|name| name.as_str() == "b").unwrap();
        let mut rosters = Rosters::new(old);
        rosters.replace(roster(&["a", "aa", "b"]));
        assert_eq!(rosters.says(&bits.as_wire(), &NodeName::new("b")), Some(true));
        let unknown = roster(&["a", "b", "c"]).bits(|_| true).unwrap();
        assert_eq!(rosters.says(&unknown.as_wire(), &NodeName::new("b")), None);
    }

    #[test]
    fn names_that_run_together_alike_have_different_digests() {
        assert_ne!(roster(&["ab", "c"]).digest, roster(&["a", "bc"]).digest);
    }
}
