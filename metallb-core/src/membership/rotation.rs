//! Which of several shared keys to use while the secret of the cluster changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::keys::NodeName;

/// Recognises a shared key without showing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

/// The keys of a member: the one in use, a new one that others may not have yet, and the one before.
///
/// A new key opens datagrams at once. It seals those to a member as soon as that member has shown that it has it, and all
/// of them when every live member has shown that, or after ten minutes. The key before opens datagrams for ten minutes
/// more, for those that are late.
#[derive(Clone, Debug)]
pub struct Rotation {
    current: KeyId,
    next: Option<(KeyId, Instant)>,
    old: Option<(KeyId, Instant)>,
    /// The newest key that each member has shown to have.
    shown: BTreeMap<NodeName, KeyId>,
}

impl Rotation {
    /// A member that has one key.
    #[must_use]
    pub const fn new(current: KeyId) -> Self {
        Self { current, next: None, old: None, shown: BTreeMap::new() }
    }

    /// The secret is another one now. A new one that comes while the last one is still on its way does not wait for it.
    pub fn offer(&mut self, now: Instant, key: KeyId) {
        if key == self.newest() {
            return;
        }
        if let Some((next, _)) = self.next.take() {
            if key == self.current {
                // The change was taken back; some may have followed it.
                self.retire(now, next);
                return;
            }
            self.retire(now, self.current);
            self.current = next;
        }
        self.next = Some((key, now));
    }

    /// A member has shown, by a datagram that could be opened, that `key` is the newest it has.
    pub fn note_shown(&mut self, member: &NodeName, key: KeyId) {
        if self.shown.get(member) != Some(&key) && (key == self.current || key == self.newest()) {
            self.shown.insert(member.clone(), key);
        }
    }

    /// Goes on when it is time: `live` are the members that live, this one may be among them.
    pub fn handle_time(&mut self, now: Instant, this: &NodeName, live: &BTreeSet<NodeName>) {
        self.old.take_if(|(_, until)| *until <= now);
        let Some((next, since)) = self.next else { return };
        let waited = now.saturating_duration_since(since) >= PATIENCE;
        let others = live.iter().filter(|name| *name != this);
        let shown = || others.into_iter().all(|name| self.shown.get(name) == Some(&next));
        // Others are found within seconds after a start: alone is not everybody.
        if waited || live.len() > 1 && shown() {
            self.retire(now, self.current);
            self.current = next;
            self.next = None;
            self.shown.retain(|_, key| *key == next);
        }
    }

    /// The key that seals datagrams to `member`.
    #[must_use]
    pub fn for_member(&self, member: &NodeName) -> KeyId {
        match self.next {
            Some((next, _)) if self.shown.get(member) == Some(&next) => next,
            _ => self.current,
        }
    }

    /// The newest key at hand, which is shown to others.
    #[must_use]
    pub fn newest(&self) -> KeyId {
        self.next.map_or(self.current, |(key, _)| key)
    }

    /// Whether datagrams sealed with `key` are opened.
    #[must_use]
    pub fn opens(&self, key: KeyId) -> bool {
        key == self.current
            || self.next.is_some_and(|(next, _)| key == next)
            || self.old.is_some_and(|(old, _)| key == old)
    }

    fn retire(&mut self, now: Instant, key: KeyId) {
        self.old = now.checked_add(PATIENCE).map(|until| (key, until));
    }
}

/// How long a new key waits for members that do not show it, and how long the one before is taken after that. A kubelet
/// takes a minute or two until a changed Secret is in all files.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: KeyId = KeyId(1);
    const NEW: KeyId = KeyId(2);
    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn live() -> BTreeSet<NodeName> {
        ["us", "a", "b"].into_iter().map(NodeName::new).collect()
    }

    fn changing(start: Instant) -> Rotation {
        let mut keys = Rotation::new(OLD);
        keys.offer(start, NEW);
        keys.handle_time(start, &NodeName::new("us"), &live());
        keys
    }

    #[test]
    fn a_new_key_opens_at_once_and_seals_for_who_shows_it() {
        let mut keys = changing(start());
        let (a, b) = (NodeName::new("a"), NodeName::new("b"));
        assert!(keys.opens(OLD) && keys.opens(NEW) && keys.newest() == NEW);
        assert_eq!(keys.for_member(&a), OLD);
        keys.note_shown(&a, NEW);
        assert_eq!((keys.for_member(&a), keys.for_member(&b)), (NEW, OLD));
        keys.note_shown(&a, OLD);
        assert_eq!(keys.for_member(&a), OLD, "it was started again with an old file");
    }

    #[test]
    fn it_is_in_use_when_all_who_live_have_shown_it_and_the_old_one_is_taken_ten_minutes_more() {
        let start = start();
        let (us, mut keys) = (NodeName::new("us"), changing(start));
        keys.note_shown(&NodeName::new("a"), NEW);
        keys.handle_time(start + SECOND, &us, &live());
        assert_eq!(keys.for_member(&NodeName::new("unknown")), OLD);
        keys.note_shown(&NodeName::new("b"), NEW);
        keys.handle_time(start + SECOND, &us, &live());
        assert_eq!(keys.for_member(&NodeName::new("unknown")), NEW);
        keys.handle_time(start + SECOND * 600, &us, &live());
        assert!(keys.opens(OLD));
        keys.handle_time(start + SECOND * 601, &us, &live());
        assert!(!keys.opens(OLD) && keys.opens(NEW));
    }

    #[test]
    fn it_is_in_use_after_ten_minutes_whoever_lacks_it() {
        let start = start();
        let (us, mut keys) = (NodeName::new("us"), changing(start));
        keys.handle_time(start + SECOND * 599, &us, &live());
        assert_eq!(keys.for_member(&NodeName::new("b")), OLD);
        keys.handle_time(start + SECOND * 600, &us, &live());
        assert_eq!(keys.for_member(&NodeName::new("b")), NEW);
        assert!(keys.opens(OLD));
    }

    #[test]
    fn a_member_alone_does_not_take_itself_for_everybody() {
        let start = start();
        let us = NodeName::new("us");
        let mut keys = Rotation::new(OLD);
        keys.offer(start, NEW);
        keys.handle_time(start + SECOND, &us, &BTreeSet::from([us.clone()]));
        assert_eq!(keys.for_member(&NodeName::new("a")), OLD);
    }

    #[test]
    fn a_change_that_is_taken_back_or_changed_again_leaves_a_key_that_all_have() {
        let start = start();
        let mut back = changing(start);
        back.offer(start, OLD);
        assert!(back.opens(OLD) && back.opens(NEW) && back.newest() == OLD);
        let mut again = changing(start);
        again.offer(start, KeyId(3));
        assert!([OLD, NEW, KeyId(3)].into_iter().all(|key| again.opens(key)));
        assert_eq!((again.newest(), again.for_member(&NodeName::new("a"))), (KeyId(3), NEW));
    }

    #[test]
    fn keys_that_nobody_here_has_are_neither_opened_nor_remembered() {
        let mut keys = changing(start());
        assert!(!keys.opens(KeyId(9)));
        keys.note_shown(&NodeName::new("a"), KeyId(9));
        assert_eq!(keys.for_member(&NodeName::new("a")), OLD);
    }
}
