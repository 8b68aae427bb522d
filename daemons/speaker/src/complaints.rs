//! What is said of datagrams that are dropped: one warning for each sender and reason in an hour, however many there are.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use metallb_core::keys::NodeName;
use metallb_core::membership::DropReason;

/// Whom a dropped datagram comes from, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Suspect {
    /// It names this member.
    Member(NodeName),
    /// It names nobody that is known.
    Address(IpAddr),
}

/// Counts what is dropped, and decides when to say so.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    counts: BTreeMap<DropReason, u64>,
    recent: BTreeMap<(Suspect, DropReason), Recent>,
}

#[derive(Clone, Copy, Debug)]
struct Recent {
    since: Instant,
    count: u32,
}

impl Complaints {
    /// Counts a dropped datagram; what to say of it, when it is time to say something.
    pub(crate) fn note(&mut self, now: Instant, suspect: Suspect, reason: DropReason) -> Option<String> {
        let counter = self.counts.entry(reason).or_default();
        *counter = counter.saturating_add(1);
        let key = (suspect, reason);
        if self.recent.len() >= MOST && !self.recent.contains_key(&key) {
            self.recent.retain(|_, recent| !recent.is_over(now));
            if self.recent.len() >= MOST {
                return None;
            }
        }
        let text = text(&key.0, reason);
        let recent = self.recent.entry(key).or_insert(Recent { since: now, count: 0 });
        if recent.is_over(now) {
            *recent = Recent { since: now, count: 0 };
        }
        recent.count = recent.count.saturating_add(1);
        (recent.count == patience(reason)).then_some(text)
    }

    /// How many were dropped, for every reason there is.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .into_iter()
            .map(|reason| (reason, self.counts.get(&reason).copied().unwrap_or_default()))
    }
}

impl Recent {
    fn is_over(self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= HOUR
    }
}

/// How many of them within an hour are worth a word: some occur when speakers start, or when the network reorders.
const fn patience(reason: DropReason) -> u32 {
    match reason {
        DropReason::Forged | DropReason::Epoch => 1,
        DropReason::Stale | DropReason::Stranger => 100,
        _ => 10,
    }
}

fn text(suspect: &Suspect, reason: DropReason) -> String {
    let why = match reason {
        DropReason::Malformed => {
            "they do not follow the format; is another version, or another program, sending there?"
        }
        DropReason::Stranger => "no speaker Pod of that name is known",
        DropReason::OwnName => "they carry this node's own name; do two speakers run for one node?",
        DropReason::Source => {
            "they do not come from an address of its Pod; does it send from another interface, or does somebody pose as it?"
        }
        DropReason::Epoch => {
            "they claim a start more than a day ahead of this node's clock; is one of the clocks wrong?"
        }
        DropReason::Stale => "they are repetitions or recordings",
        DropReason::Key => {
            "they are sealed with another secret; do all speakers have the same (--ml-secret-key-path)?"
        }
        DropReason::Forged => "they were changed on the way, or are meant for another node",
        DropReason::Unsealed => {
            "one side seals and the other does not; do all speakers have a secret (--ml-secret-key-path)?"
        }
        _ => "they cannot be believed",
    };
    match suspect {
        Suspect::Member(name) => format!("heartbeats in the name of {name} are dropped: {why}"),
        Suspect::Address(address) => format!("heartbeats from {address} are dropped: {why}"),
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);
/// Senders and reasons that are kept apart; of more than these nothing is said, but they are counted.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sender_and_reason_is_worth_one_word_in_an_hour() {
        let (mut complaints, start) = (Complaints::default(), Instant::now());
        let a = || Suspect::Member(NodeName::new("a"));
        let said = complaints.note(start, a(), DropReason::Forged);
        assert!(said.is_some_and(|said| said.contains("in the name of a")));
        for second in 0..3_600 {
            assert_eq!(complaints.note(start + Duration::from_secs(second), a(), DropReason::Forged), None);
        }
        assert!(complaints.note(start, Suspect::Member(NodeName::new("b")), DropReason::Forged).is_some());
        assert!(complaints.note(start, a(), DropReason::Epoch).is_some());
        assert!(complaints.note(start + HOUR, a(), DropReason::Forged).is_some());
        let counted = complaints.counts().find(|(reason, _)| *reason == DropReason::Forged);
        assert_eq!(counted, Some((DropReason::Forged, 3_603)));
        assert_eq!(complaints.counts().count(), DropReason::ALL.len(), "those of which there are none, too");
    }

    #[test]
    fn a_few_that_come_late_are_no_reason_for_a_word() {
        let (mut complaints, start) = (Complaints::default(), Instant::now());
        let said = (0..100)
            .filter_map(|_| complaints.note(start, Suspect::Member(NodeName::new("a")), DropReason::Stale));
        assert_eq!(said.count(), 1, "of a hundred");
    }

    #[test]
    fn a_flood_from_everywhere_takes_neither_memory_nor_the_log() {
        let (mut complaints, start) = (Complaints::default(), Instant::now());
        let mut said = 0;
        for host in 0..10_000_u32 {
            let address = Suspect::Address(host.to_be_bytes().into());
            said += usize::from(complaints.note(start, address, DropReason::Forged).is_some());
        }
        assert_eq!((said, complaints.recent.len()), (MOST, MOST));
    }
}
