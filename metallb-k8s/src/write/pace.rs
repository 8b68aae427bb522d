//! How often one object is written.

use std::time::{Duration, Instant};

use crate::retry::{Backoff, Seed};

/// The pace of the writes to one object: at most one a second, and growing pauses while somebody else undoes each.
///
/// A *rewrite* is a write of what was written last: something has changed it in between, and not us. After
/// [`REWRITES`] of them within [`WINDOW`] the object is contested, until there was none for [`QUIET`] or something else
/// is written. An object that was made anew under the same name has nothing to do with the one before.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    last: Option<Last>,
    /// When the latest rewrites were made, the newest last; no more than count.
    rewrites: Vec<Instant>,
    /// Rewrites since the object is contested; `None`: it is not.
    contested: Option<u32>,
}

/// What is written to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// Another number: another object under the same name.
    pub(super) object: u64,
    /// Another number: it says something else.
    pub(super) text: u64,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    at: Instant,
    content: Content,
}

impl Pace {
    /// When `content` may be written at the earliest.
    pub(super) fn earliest(&self, content: Content, seed: Seed) -> Option<Instant> {
        let last = self.last.filter(|last| last.content.object == content.object)?;
        let pause = match self.contested {
            Some(rewrites) if last.content == content => PAUSES.pause(seed, rewrites).max(INTERVAL),
            _ => INTERVAL,
        };
        last.at.checked_add(pause)
    }

    /// `content` was written. Returns whether the object is contested since this write.
    pub(super) fn written(&mut self, now: Instant, content: Content) -> bool {
        let last = self.last.replace(Last { at: now, content });
        let quiet = |last: Last| now.saturating_duration_since(last.at) >= QUIET;
        if last.is_none_or(|last| last.content != content || quiet(last)) {
            self.rewrites.clear();
            self.contested = None;
            return false;
        }
        if let Some(rewrites) = &mut self.contested {
            *rewrites = rewrites.saturating_add(1);
            return false;
        }
        self.rewrites.retain(|at| now.saturating_duration_since(*at) <= WINDOW);
        self.rewrites.push(now);
        let is_contested = self.rewrites.len() >= REWRITES;
        if is_contested {
            self.contested = Some(0);
            self.rewrites = Vec::new();
        }
        is_contested
    }

    /// When nothing of this matters any more: the next write is the first of its kind.
    pub(super) fn forgotten(&self) -> Option<Instant> {
        let memory = if self.contested.is_some() { QUIET } else { MEMORY };
        self.last?.at.checked_add(memory)
    }
}

/// Between two writes to one object.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// Rewrites after which somebody else is to blame.
const REWRITES: usize = 3;

/// Within which they count.
const WINDOW: Duration = Duration::from_secs(10);

/// Without a rewrite for so long a contest is over.
const QUIET: Duration = Duration::from_secs(5 * 60);

/// For how long the content of a write is remembered.
const MEMORY: Duration = Duration::from_secs(30);

/// Between two rewrites of a contested object.
const PAUSES: Backoff = Backoff { first: Duration::from_secs(4), longest: Duration::from_secs(60) };

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed::new(7);

    fn says(text: u64) -> Content {
        Content { object: 1, text }
    }

    /// Writes when it is allowed, as somebody else undoes each write at once.
    fn fight(pace: &mut Pace, mut now: Instant, writes: usize) -> (Vec<Duration>, Vec<usize>) {
        let (mut gaps, mut told) = (Vec::new(), Vec::new());
        for number in 0..writes {
            let earliest = pace.earliest(says(1), SEED).unwrap_or(now).max(now);
            gaps.push(earliest - now);
            now = earliest;
            if pace.written(now, says(1)) {
                told.push(number);
            }
        }
        (gaps, told)
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "the base of virtual time")]
        Instant::now()
    }

    #[test]
    fn three_rewrites_within_ten_seconds_are_a_contest_and_the_pauses_grow_from_then_on() {
        let mut pace = Pace::default();
        let (gaps, told) = fight(&mut pace, start(), 60);
        assert_eq!(told, [3], "once");
        assert_eq!(gaps[..4], [Duration::ZERO, INTERVAL, INTERVAL, INTERVAL]);
        for (step, gap) in gaps[4..].iter().enumerate() {
            let full = Duration::from_secs(4 << step.min(8)).min(PAUSES.longest);
            assert!(*gap >= full / 2 && *gap <= full + INTERVAL, "{gap:?} after {step}");
        }
        let first_hour = gaps.iter().scan(Duration::ZERO, |at, gap| {
            *at += *gap;
            Some(*at)
        });
        assert!(first_hour.filter(|at| *at < Duration::from_secs(600)).count() < 30);
    }

    #[test]
    fn rewrites_that_are_far_apart_are_no_contest() {
        let (mut pace, now) = (Pace::default(), start());
        for number in 0..100 {
            assert!(!pace.written(now + Duration::from_secs(6) * number, says(1)));
        }
    }

    #[test]
    fn other_content_goes_at_once_and_ends_a_contest() {
        let (mut pace, mut now) = (Pace::default(), start());
        fight(&mut pace, now, 10);
        now += Duration::from_secs(3600);
        assert!(!pace.written(now, says(1)), "after a long time it is the first");
        let (_, told) = fight(&mut pace, now, 20);
        assert_eq!(told.len(), 1);
        let pause = pace.earliest(says(1), SEED).unwrap() - pace.earliest(says(2), SEED).unwrap();
        assert!(pause > Duration::from_secs(20), "{pause:?}");
        pace.written(pace.earliest(says(2), SEED).unwrap(), says(2));
        assert_eq!(pace.earliest(says(1), SEED), pace.earliest(says(2), SEED));
    }

    #[test]
    fn what_we_change_ourselves_is_no_rewrite() {
        let (mut pace, now) = (Pace::default(), start());
        for number in 0..100_u32 {
            assert!(!pace.written(now + INTERVAL * number, says(u64::from(number % 2))));
        }
    }

    #[test]
    fn an_object_that_is_made_anew_again_and_again_is_written_at_once_and_is_no_contest() {
        let (mut pace, now) = (Pace::default(), start());
        for object in 0..100 {
            let content = Content { object, text: 1 };
            assert_eq!(pace.earliest(content, SEED), None);
            assert!(!pace.written(now, content));
        }
        fight(&mut pace, now, 10);
        assert!(pace.earliest(says(1), SEED).is_some());
        assert_eq!(
            pace.earliest(Content { object: 2, text: 1 }, SEED),
            None,
            "the contest was about another object"
        );
    }
}
