//! A session among others.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{Cause, Change, Path, Profile, Session, State, User};

/// A session, who watches it, and its place in the schedule.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) path: Path,
    pub(super) session: Session,
    pub(super) users: BTreeMap<User, Profile>,
    pub(super) deadline: Option<Instant>,
    pub(super) is_ready: bool,
}

impl Slot {
    pub(super) const fn new(path: Path, session: Session) -> Self {
        Self { path, session, users: BTreeMap::new(), deadline: None, is_ready: false }
    }

    /// Has a user watch with this profile. Returns what one that is new is to know.
    pub(super) fn join(&mut self, now: Instant, user: User, profile: Profile) -> Option<Change> {
        let is_new = self.users.insert(user, profile).is_none();
        self.apply_profiles(now);
        self.session.enable(now);
        let state = self.session.state();
        let change = Change { from: State::Down, to: state, cause: Cause::Joined };
        Some(change).filter(|_| is_new && state == State::Up)
    }

    pub(super) fn leave(&mut self, now: Instant, user: &User) {
        self.users.remove(user);
        if self.users.is_empty() {
            self.session.disable(now);
        } else {
            self.apply_profiles(now);
        }
    }

    fn apply_profiles(&mut self, now: Instant) {
        let profiles = self.users.values().copied();
        if let Some(profile) = profiles.reduce(Profile::and) {
            self.session.set_profile(now, profile);
        }
    }
}
