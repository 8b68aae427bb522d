//! Keeps the certificates of the webhooks good, and the API server trusting them: a state machine without IO
//! and clocks.
//!
//! Feed it what the watches show; [`Keeper::poll`] says what to write, [`Keeper::done`] takes how that
//! went. It writes only while this controller may ([`Keeper::set_active`]).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

use super::{
    bundle::{Bundles, Place},
    certificate::{Flaw, IssueError, Material, Plan, issue, plan},
};
use crate::{
    retry::{Backoff, Seed},
    watch::Tracked,
};

/// The Secret as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretRecord {
    /// Its version, for a write that must not undo another.
    pub resource_version: Option<String>,
    /// What is in it; `None`: no certificates.
    pub material: Option<Material>,
}

impl SecretRecord {
    /// Takes what is needed.
    pub fn cut(secret: &Secret) -> Self {
        Self {
            resource_version: secret.metadata.resource_version.clone(),
            material: secret.data.as_ref().and_then(Material::of_secret),
        }
    }
}

impl Tracked for SecretRecord {
    fn differs(&self, previous: &Self) -> bool {
        self != previous
    }
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "whoever writes must know all")]
pub enum Action {
    /// Make the Secret.
    Create {
        /// What to put in.
        material: Material,
    },
    /// Put other certificates into the Secret.
    Replace {
        /// What to put in.
        material: Material,
        /// The version of the Secret that this was decided on.
        resource_version: Option<String>,
        /// What is wrong with those that are there; `None`: there are none.
        flaw: Option<Flaw>,
    },
    /// Have the API server trust our authority.
    Trust {
        /// Where.
        place: Place,
        /// The patch, see [`Bundles::patch`].
        patch: Value,
    },
}

impl Action {
    /// What it is about.
    pub const fn subject(&self) -> Subject {
        match self {
            Self::Create { .. } | Self::Replace { .. } => Subject::Secret,
            Self::Trust { place, .. } => Subject::Trust(*place),
        }
    }
}

/// What actions are about; each has its own pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "all there are")]
pub enum Subject {
    /// The Secret.
    Secret,
    /// What the API server trusts.
    Trust(Place),
}

/// How a write went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "all there can be")]
pub enum Written {
    /// It was made; a Secret is as given from now on.
    Made(Option<SecretRecord>),
    /// Somebody else was first; the watch will show what they wrote.
    Overtaken,
    /// It failed.
    Failed,
}

/// What is worth a line in the log after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever logs must know all")]
pub enum Notable {
    /// Nothing.
    Nothing,
    /// It begins to fail, and is tried again with growing pauses.
    Fails,
    /// It works again.
    Works,
    /// Somebody else keeps changing it.
    Contested,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Keeper {
    host: String,
    seed: u64,
    active: bool,
    secret: Option<SecretRecord>,
    bundles: BTreeMap<Place, Bundles>,
    paces: BTreeMap<Subject, Pace>,
    due: Option<Instant>,
}

impl Keeper {
    /// For certificates made out to `host`. `seed` spreads pauses and renewals; give every process its own.
    pub const fn new(host: String, seed: u64) -> Self {
        Self {
            host,
            seed,
            active: false,
            secret: None,
            bundles: BTreeMap::new(),
            paces: BTreeMap::new(),
            due: None,
        }
    }

    /// Whether this controller writes.
    pub const fn set_active(&mut self, active: bool) {
        self.active = active;
    }

    /// The Secret as it is now.
    pub fn set_secret(&mut self, secret: Option<SecretRecord>) {
        self.secret = secret;
    }

    /// What a place says now; `None`: there is nothing that calls us.
    pub fn set_bundles(&mut self, place: Place, bundles: Option<Bundles>) {
        match bundles {
            Some(bundles) => drop(self.bundles.insert(place, bundles)),
            None => drop(self.bundles.remove(&place)),
        }
    }

    /// The certificates in the Secret, if they can be shown.
    pub fn usable(&self, wall: Timestamp) -> Option<&Material> {
        let material = self.material()?;
        material.is_usable(&self.host, wall).then_some(material)
    }

    /// What is to be written now, in this order. An authority is trusted before its first certificate is shown.
    ///
    /// Poll after each input, after [`Keeper::done`], and when [`Keeper::next_timeout`] has come.
    ///
    /// # Errors
    /// [`IssueError`] when a certificate is due and cannot be made.
    pub fn poll(&mut self, now: Instant, wall: Timestamp) -> Result<Vec<Action>, IssueError> {
        self.due = None;
        if !self.active {
            return Ok(Vec::new());
        }
        let held = self.secret.as_ref().map(|secret| secret.material.as_ref());
        match plan(wall, held, &self.host, self.seed) {
            Plan::Keep { until } => {
                self.wake(until_instant(now, wall, until));
                let authority = self.material().map(|material| material.authority.clone());
                Ok(authority.map(|authority| self.trust(&authority, now)).unwrap_or_default())
            }
            Plan::Create | Plan::Fill => self.renew(now, wall, None),
            Plan::Rotate { flaw } => self.renew(now, wall, Some(flaw)),
        }
    }

    /// How an action went.
    pub fn done(&mut self, now: Instant, subject: Subject, written: Written) -> Notable {
        let seed = self.seed;
        let pace = self.paces.entry(subject).or_insert_with(|| Pace::new(seed));
        match written {
            Written::Made(secret) => {
                if subject == Subject::Secret {
                    self.secret = secret;
                }
                pace.made(now)
            }
            Written::Overtaken => {
                pace.overtaken(now);
                Notable::Nothing
            }
            Written::Failed => pace.failed(now),
        }
    }

    /// When [`Keeper::poll`] wants to be called although nothing changed.
    pub const fn next_timeout(&self) -> Option<Instant> {
        self.due
    }

    fn material(&self) -> Option<&Material> {
        self.secret.as_ref()?.material.as_ref()
    }

    fn renew(
        &mut self,
        now: Instant,
        wall: Timestamp,
        flaw: Option<Flaw>,
    ) -> Result<Vec<Action>, IssueError> {
        if let Some(wait) = self.pace(Subject::Secret).wait_until(now) {
            self.wake(wait);
            return Ok(Vec::new());
        }
        let material = issue(wall, &self.host, self.material())?;
        // The new authority comes with the one before it, so neither of the two certificates is refused.
        let replaced = self.material().is_some();
        let mut actions = if replaced { self.trust(&material.authority, now) } else { Vec::new() };
        actions.push(match &self.secret {
            None => Action::Create { material },
            Some(secret) => {
                let resource_version = secret.resource_version.clone();
                Action::Replace { material, resource_version, flaw }
            }
        });
        Ok(actions)
    }

    fn trust(&mut self, authority: &str, now: Instant) -> Vec<Action> {
        let patches: Vec<(Place, Value)> = self
            .bundles
            .iter()
            .filter_map(|(place, bundles)| Some((*place, bundles.patch(authority)?)))
            .collect();
        let mut actions = Vec::new();
        for (place, patch) in patches {
            match self.pace(Subject::Trust(place)).wait_until(now) {
                Some(wait) => self.wake(wait),
                None => actions.push(Action::Trust { place, patch }),
            }
        }
        actions
    }

    fn pace(&mut self, subject: Subject) -> &Pace {
        let seed = self.seed;
        self.paces.entry(subject).or_insert_with(|| Pace::new(seed))
    }

    fn wake(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

/// Growing pauses, after failures and between writes that somebody else keeps undoing.
#[derive(Debug)]
struct Pace {
    backoff: Backoff,
    seed: Seed,
    failures: u32,
    /// Writes in a row, each soon after the one before.
    rewrites: u32,
    last: Option<Instant>,
    next: Option<Instant>,
}

impl Pace {
    fn new(seed: u64) -> Self {
        let backoff = Backoff { longest: LONGEST_PAUSE, ..Backoff::default() };
        Self { backoff, seed: Seed::new(seed), failures: 0, rewrites: 0, last: None, next: None }
    }

    /// Until when nothing is to be written.
    fn wait_until(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| now < *next)
    }

    fn made(&mut self, now: Instant) -> Notable {
        let failed = std::mem::take(&mut self.failures) > 0;
        let soon = self.last.is_some_and(|last| now.saturating_duration_since(last) < QUIET);
        self.rewrites = if soon { self.rewrites.saturating_add(1) } else { 0 };
        self.last = Some(now);
        self.pause(now, self.rewrites);
        match (failed, self.rewrites == CONTESTED) {
            (_, true) => Notable::Contested,
            (true, false) => Notable::Works,
            (false, false) => Notable::Nothing,
        }
    }

    /// The watch shows what somebody else wrote, in a moment.
    fn overtaken(&mut self, now: Instant) {
        self.pause(now, 0);
    }

    fn failed(&mut self, now: Instant) -> Notable {
        self.pause(now, self.failures);
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 { Notable::Fails } else { Notable::Nothing }
    }

    fn pause(&mut self, now: Instant, step: u32) {
        self.next = now.checked_add(self.backoff.pause(self.seed, step));
    }
}

/// The moment of a wall time. Far ones are looked at again earlier: clocks are set, and machines sleep.
fn until_instant(now: Instant, wall: Timestamp, until: Timestamp) -> Instant {
    let left = until.duration_since(wall);
    let left = Duration::try_from(left).unwrap_or_default().min(LONGEST_SLEEP);
    now.checked_add(left).unwrap_or(now)
}

/// Longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Longest time without a look at the certificates; MetalLB's own period.
const LONGEST_SLEEP: Duration = Duration::from_secs(12 * 60 * 60);

/// A write after at least this long is the first of a new row.
const QUIET: Duration = Duration::from_secs(5 * 60);

/// Rewrites in a row after which somebody else is to blame.
const CONTESTED: u32 = 3;

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
