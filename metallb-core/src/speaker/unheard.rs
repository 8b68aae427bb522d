//! Speakers that run by what the API server says and were never heard.

use std::collections::BTreeSet;

use crate::keys::NodeName;

/// A speaker that was heard and is silent has died. Of one that is ready and was never heard that is not known: heartbeats
/// may not be let through.
#[derive(Debug, Default)]
pub(super) struct Unheard {
    ready: BTreeSet<NodeName>,
    /// Those of them that were heard.
    heard: BTreeSet<NodeName>,
}

impl Unheard {
    /// These are ready by what the API server says, while `members` are heard. What was heard of a speaker that is not ready
    /// any more says nothing about the one that comes after it.
    pub(super) fn set_ready(&mut self, ready: BTreeSet<NodeName>, members: &BTreeSet<NodeName>) {
        self.heard.retain(|node| ready.contains(node));
        self.ready = ready;
        self.hear(members);
    }

    /// These are heard. One that is neither ready nor heard is gone, and what was heard of it with it.
    pub(super) fn hear(&mut self, members: &BTreeSet<NodeName>) {
        self.heard.retain(|node| members.contains(node) || self.ready.contains(node));
        self.heard.extend(members.iter().cloned());
    }

    /// The nodes on which a speaker is ready that was never heard.
    pub(super) fn nodes(&self) -> BTreeSet<NodeName> {
        self.ready.difference(&self.heard).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::names;
    use super::*;

    #[test]
    fn who_is_ready_is_unheard_until_it_is_heard_and_dead_when_it_falls_silent() {
        let mut unheard = Unheard::default();
        unheard.set_ready(names(&["a", "b"]), &names(&["a"]));
        assert_eq!(unheard.nodes(), names(&["b"]));
        unheard.hear(&names(&["a", "b"]));
        unheard.hear(&names(&["a"]));
        assert_eq!(unheard.nodes(), names(&[]), "b has died");
        unheard.set_ready(names(&["a", "b"]), &names(&["a"]));
        assert_eq!(unheard.nodes(), names(&[]), "the API server does not know yet");
        unheard.set_ready(names(&["a"]), &names(&["a"]));
        unheard.set_ready(names(&["a", "b"]), &names(&["a"]));
        assert_eq!(unheard.nodes(), names(&["b"]), "its successor was never heard");
    }

    #[test]
    fn who_falls_silent_after_it_was_not_ready_any_more_says_nothing_about_its_successor() {
        let mut unheard = Unheard::default();
        unheard.set_ready(names(&["a", "b"]), &names(&["a", "b"]));
        // Its container has crashed, and the API server says so before its silence does.
        unheard.set_ready(names(&["a"]), &names(&["a", "b"]));
        unheard.hear(&names(&["a"]));
        unheard.set_ready(names(&["a", "b"]), &names(&["a"]));
        assert_eq!(unheard.nodes(), names(&["b"]));
    }

    #[test]
    fn who_is_heard_before_it_is_ready_is_known() {
        let mut unheard = Unheard::default();
        unheard.hear(&names(&["a", "b"]));
        unheard.set_ready(names(&["a", "b"]), &names(&["a", "b"]));
        unheard.hear(&names(&["a"]));
        assert_eq!(unheard.nodes(), names(&[]));
    }
}
