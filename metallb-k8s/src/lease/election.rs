//! When to take, renew and give up a lease. No clock, no requests.

use std::time::{Duration, Instant};

/// The periods of leader election, as in Kubernetes' own components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// A lease that was not renewed for this long may be taken by others. Default 15 s.
    pub duration: Duration,
    /// A leader that could not renew for this long stops leading. Default 10 s.
    pub renew_deadline: Duration,
    /// Pause between two looks at the lease. Default 2 s.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

impl Timing {
    /// Checks that a leader stops before another can start, with at least one further attempt to
    /// renew in between.
    ///
    /// # Errors
    /// [`TimingError`] names the two periods that do not fit.
    pub fn new(duration: Duration, renew_deadline: Duration, retry: Duration) -> Result<Self, TimingError> {
        if duration.subsec_nanos() != 0 || duration.is_zero() {
            return Err(TimingError::NotWholeSeconds { duration });
        }
        if renew_deadline >= duration {
            return Err(TimingError::DeadlineTooLong { duration, renew_deadline });
        }
        if retry.is_zero() || retry.saturating_mul(2) > renew_deadline {
            return Err(TimingError::RetryTooLong { renew_deadline, retry });
        }
        Ok(Self { duration, renew_deadline, retry })
    }
}

/// Periods that do not fit each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimingError {
    /// The API stores whole seconds.
    #[error("lease duration {duration:?} must be a whole number of seconds, at least 1 s")]
    NotWholeSeconds {
        /// As given.
        duration: Duration,
    },
    /// A leader would go on while another may start.
    #[error("renew deadline {renew_deadline:?} must be shorter than the lease duration {duration:?}")]
    DeadlineTooLong {
        /// As given.
        duration: Duration,
        /// As given.
        renew_deadline: Duration,
    },
    /// One lost request would end the leadership.
    #[error(
        "retry period {retry:?} must be above zero and at most half of the renew deadline {renew_deadline:?}"
    )]
    RetryTooLong {
        /// As given.
        renew_deadline: Duration,
        /// As given.
        retry: Duration,
    },
}

/// A lease as it stands in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Who holds it; `None` or empty when it was given back.
    pub holder: Option<String>,
    /// For how long the holder claims it without renewing.
    pub duration: Duration,
    /// Changes with every write.
    pub resource_version: String,
    /// How often it went from one holder to another.
    pub transitions: i32,
}

impl Record {
    /// A lease.
    pub fn new(
        holder: Option<String>,
        duration: Duration,
        resource_version: impl Into<String>,
        transitions: i32,
    ) -> Self {
        let holder = holder.filter(|holder| !holder.is_empty());
        Self { holder, duration, resource_version: resource_version.into(), transitions }
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the driver must handle each")]
pub enum Step {
    /// Nothing until then.
    Wait(Instant),
    /// Read the lease and call [`Election::read`].
    Read,
    /// Create the lease, held by us, and call [`Election::written`] or [`Election::failed`].
    Create,
    /// Replace the lease that has this version by one held by us, and call [`Election::written`] or
    /// [`Election::failed`].
    Replace {
        /// The version to replace; the server refuses if it is another.
        resource_version: String,
        /// How often it went from one holder to another, including this time.
        transitions: i32,
        /// Whether it was ours before.
        renewal: bool,
    },
}

/// Decides when this process may lead.
///
/// Whether the lease of another has run out is judged by our own clock alone: it has when the record
/// did not change for the time its holder claimed. Clocks of different machines are never compared.
#[derive(Clone, Debug)]
pub struct Election {
    identity: String,
    timing: Timing,
    seen: Option<Seen>,
    /// The lease was looked for and is not there.
    absent: bool,
    next: Option<Instant>,
    /// When the latest successful write by us was begun.
    renewed: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Seen {
    record: Record,
    changed: Instant,
    fresh: bool,
}

impl Election {
    /// A candidate. `identity` must be unique among all processes, also over restarts.
    pub fn new(identity: impl Into<String>, timing: Timing) -> Self {
        Self { identity: identity.into(), timing, seen: None, absent: false, next: None, renewed: None }
    }

    /// What to do now.
    pub fn step(&mut self, now: Instant) -> Step {
        if let Some(next) = self.next.filter(|next| *next > now) {
            return Step::Wait(next);
        }
        if self.absent {
            return Step::Create;
        }
        match &self.seen {
            Some(seen) if seen.fresh && self.may_take(seen, now) => {
                let renewal = seen.record.holder.as_deref() == Some(self.identity.as_str());
                Step::Replace {
                    resource_version: seen.record.resource_version.clone(),
                    transitions: seen.record.transitions.saturating_add(i32::from(!renewal)),
                    renewal,
                }
            }
            _ => Step::Read,
        }
    }

    /// The lease was read; `None`: there is none.
    pub fn read(&mut self, now: Instant, record: Option<Record>) {
        self.absent = record.is_none();
        let Some(record) = record else {
            self.seen = None;
            self.next = None;
            return;
        };
        let changed = match &self.seen {
            Some(seen) if seen.record == record => seen.changed,
            _ => now,
        };
        let seen = Seen { record, changed, fresh: true };
        if seen.record.holder.as_deref() != Some(self.identity.as_str()) {
            self.renewed = None;
        }
        self.next = if self.may_take(&seen, now) { None } else { now.checked_add(self.timing.retry) };
        let takeable = self.next.is_none();
        self.seen = Some(Seen { fresh: takeable, ..seen });
    }

    /// A create or replace that was begun at `started` succeeded and left this record.
    pub fn written(&mut self, started: Instant, now: Instant, record: Record) {
        self.absent = false;
        self.renewed = Some(started);
        self.seen = Some(Seen { record, changed: now, fresh: true });
        self.next = now.checked_add(self.timing.retry);
    }

    /// A request failed, or the server refused the write because the lease had changed: read it again
    /// after a pause.
    pub fn failed(&mut self, now: Instant, pause: Duration) {
        self.absent = false;
        if let Some(seen) = &mut self.seen {
            seen.fresh = false;
        }
        self.next = now.checked_add(pause);
    }

    /// Until when we lead, unless we renew in time. `None`: we do not.
    pub fn leads_until(&self) -> Option<Instant> {
        self.renewed?.checked_add(self.timing.renew_deadline)
    }

    /// Whether we lead.
    pub fn leads(&self, now: Instant) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }

    /// The version of the lease to give back, if it is ours. We do not lead any more after this call.
    pub fn resign(&mut self) -> Option<Record> {
        self.renewed.take()?;
        let seen = self.seen.take()?;
        (seen.record.holder.as_deref() == Some(self.identity.as_str())).then_some(seen.record)
    }

    /// Who holds the lease, as last seen.
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref()?.record.holder.as_deref()
    }

    fn may_take(&self, seen: &Seen, now: Instant) -> bool {
        match seen.record.holder.as_deref() {
            None => true,
            Some(holder) if holder == self.identity => true,
            Some(_) => now.saturating_duration_since(seen.changed) >= seen.record.duration,
        }
    }
}
