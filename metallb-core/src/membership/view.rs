//! What a member knows of the others, as one value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::keys::NodeName;

use super::engine::{Event, Membership};
use super::metadata::Metadata;

/// What is known of the speakers: what the owner of announcements needs of a [`Membership`] that it does not own. A newer
/// value replaces an older one; entries are shared, so that a copy is cheap and comparing two is as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct View {
    /// These nodes live.
    pub members: BTreeSet<NodeName>,
    /// What speakers say about themselves, also those that are down.
    pub metadata: BTreeMap<NodeName, Arc<Metadata>>,
    /// The cautious start is over: this node may claim what the election gives it.
    pub settled: bool,
    /// How often members have met again that had lived without each other: an address may have had two owners.
    pub reunions: u64,
}

impl View {
    /// What a membership knows at its start.
    #[must_use]
    pub fn new(membership: &Membership) -> Self {
        Self { members: membership.members().clone(), ..Self::default() }
    }

    /// Takes the events of a membership out. Whether there were any.
    pub fn update(&mut self, membership: &mut Membership) -> bool {
        let mut changed = false;
        while let Some(event) = membership.poll_event() {
            changed = true;
            self.apply(&event, membership);
        }
        changed
    }

    fn apply(&mut self, event: &Event, membership: &Membership) {
        match event {
            Event::MembersChanged => self.members.clone_from(membership.members()),
            Event::MetadataChanged(node) => match membership.metadata(node) {
                Some(metadata) => {
                    self.metadata.insert(node.clone(), Arc::new(metadata.clone()));
                }
                None => drop(self.metadata.remove(node)),
            },
            Event::Settled => self.settled = true,
            Event::Reunited => self.reunions = self.reunions.saturating_add(1),
        }
    }

    /// What is different from an earlier view in what speakers say about themselves; `None` for one of which nothing is
    /// known any more.
    pub fn changed_metadata<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a NodeName, Option<&'a Metadata>)> {
        let gone = before.metadata.keys().filter(|node| !self.metadata.contains_key(*node));
        let changed = self.metadata.iter().filter(|(node, metadata)| {
            !before.metadata.get(*node).is_some_and(|before| Arc::ptr_eq(before, metadata))
        });
        gone.map(|node| (node, None)).chain(changed.map(|(node, metadata)| (node, Some(&**metadata))))
    }
}
