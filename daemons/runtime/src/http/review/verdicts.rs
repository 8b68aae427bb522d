//! What was decided about tokens, for a minute; and how often something new may be asked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a verdict holds: a token that is revoked scrapes for that long at most.
const VERDICT: Duration = Duration::from_secs(60);

/// How long a token that was allowed once is asked about before others.
const MEMORY: Duration = Duration::from_secs(600);

/// Most tokens that are remembered.
const MAX_TOKENS: usize = 256;

/// Questions about unknown tokens that may follow each other at once.
const BURST: u32 = 20;

/// Pause after which one more may be asked.
const REFILL: Duration = Duration::from_millis(200);

/// The hash of a token: tokens themselves are not kept.
pub(super) type Fingerprint = [u8; 32];

/// What was decided about a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its owner may scrape.
    Allowed,
    /// It is nobody's.
    Unknown,
    /// Its owner may not.
    Denied {
        /// The owner's name.
        user: String,
    },
}

#[derive(Clone, Debug)]
struct Entry {
    verdict: Verdict,
    since: Instant,
}

/// What is remembered.
#[derive(Debug)]
pub(super) struct Verdicts {
    tokens: BTreeMap<Fingerprint, Entry>,
    /// How many unknown tokens may be asked about now.
    budget: u32,
    refilled: Instant,
}

impl Verdicts {
    pub(super) fn new(now: Instant) -> Self {
        Self { tokens: BTreeMap::new(), budget: BURST, refilled: now }
    }

    /// What holds about a token now.
    pub(super) fn find(&self, token: &Fingerprint, now: Instant) -> Option<Verdict> {
        let entry = self.tokens.get(token)?;
        (now.saturating_duration_since(entry.since) < VERDICT).then(|| entry.verdict.clone())
    }

    /// Whether the API server may be asked about a token. One that was allowed lately always, so that those who make up
    /// tokens keep nobody else out.
    pub(super) fn may_ask(&mut self, token: &Fingerprint, now: Instant) -> bool {
        if self.tokens.get(token).is_some_and(|entry| entry.verdict == Verdict::Allowed) {
            return true;
        }
        while self.budget < BURST && now.saturating_duration_since(self.refilled) >= REFILL {
            self.budget = self.budget.saturating_add(1);
            self.refilled = self.refilled.checked_add(REFILL).unwrap_or(now);
        }
        if self.budget == BURST {
            self.refilled = now;
        }
        let asked = self.budget.checked_sub(1);
        self.budget = asked.unwrap_or_default();
        asked.is_some()
    }

    /// Remembers what was decided.
    pub(super) fn insert(&mut self, token: Fingerprint, verdict: Verdict, now: Instant) {
        self.tokens.retain(|_, entry| {
            let age = now.saturating_duration_since(entry.since);
            age < if entry.verdict == Verdict::Allowed { MEMORY } else { VERDICT }
        });
        self.tokens.insert(token, Entry { verdict, since: now });
        if self.tokens.len() > MAX_TOKENS {
            self.evict(&token);
        }
    }

    /// Forgets the oldest other token, of those that were not allowed if there is one.
    fn evict(&mut self, kept: &Fingerprint) {
        let others = self.tokens.iter().filter(|(token, _)| *token != kept);
        let oldest = others.min_by_key(|(_, entry)| (entry.verdict == Verdict::Allowed, entry.since));
        if let Some(token) = oldest.map(|(token, _)| *token) {
            self.tokens.remove(&token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_token(number: usize) -> Fingerprint {
        let mut token = [0; 32];
        token[..8].copy_from_slice(&number.to_be_bytes());
        token
    }

    #[test]
    fn a_verdict_holds_for_a_minute() {
        let now = Instant::now();
        let mut verdicts = Verdicts::new(now);
        assert_eq!(verdicts.find(&mk_token(1), now), None);
        verdicts.insert(mk_token(1), Verdict::Allowed, now);
        assert_eq!(verdicts.find(&mk_token(1), now + Duration::from_secs(59)), Some(Verdict::Allowed));
        assert_eq!(verdicts.find(&mk_token(1), now + Duration::from_secs(60)), None);
        assert_eq!(verdicts.find(&mk_token(2), now), None);
    }

    #[test]
    fn made_up_tokens_neither_fill_the_memory_nor_push_out_a_good_one() {
        let now = Instant::now();
        let mut verdicts = Verdicts::new(now);
        verdicts.insert(mk_token(0), Verdict::Allowed, now);
        for number in 1..10_000 {
            verdicts.insert(mk_token(number), Verdict::Unknown, now);
        }
        assert_eq!(verdicts.tokens.len(), MAX_TOKENS);
        assert_eq!(verdicts.find(&mk_token(0), now), Some(Verdict::Allowed));
    }

    #[test]
    fn good_tokens_are_bounded_too() {
        let now = Instant::now();
        let mut verdicts = Verdicts::new(now);
        for number in 0..1000 {
            verdicts.insert(mk_token(number), Verdict::Allowed, now);
        }
        assert_eq!(verdicts.tokens.len(), MAX_TOKENS);
        assert_eq!(verdicts.find(&mk_token(999), now), Some(Verdict::Allowed));
    }

    #[test]
    fn unknown_tokens_are_asked_about_at_a_bounded_rate_and_known_ones_always() {
        let now = Instant::now();
        let mut verdicts = Verdicts::new(now);
        verdicts.insert(mk_token(0), Verdict::Allowed, now);
        let asked = (1..1000).filter(|number| verdicts.may_ask(&mk_token(*number), now)).count();
        assert_eq!(asked, BURST as usize);
        let later = now + Duration::from_secs(1);
        let asked = (1..1000).filter(|number| verdicts.may_ask(&mk_token(*number), later)).count();
        assert_eq!(asked, 5);
        assert!(verdicts.may_ask(&mk_token(0), later));
    }

    #[test]
    fn after_a_rest_there_is_one_burst_and_no_more() {
        let now = Instant::now();
        let mut verdicts = Verdicts::new(now);
        let later = now + Duration::from_secs(3600);
        let asked = (1..1000).filter(|number| verdicts.may_ask(&mk_token(*number), later)).count();
        assert_eq!(asked, BURST as usize);
    }
}
