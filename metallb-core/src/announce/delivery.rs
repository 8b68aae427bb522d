//! Which peers have what they are to have, as far as their sessions show.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::keys::{Family, PeerName};

/// The families of which each peer has the routes. A peer that is not named has none.
pub type Receipts = BTreeMap<PeerName, BTreeSet<Family>>;

/// Follows the sessions of this node's peers, so that a status names those that have the routes.
///
/// A session that comes and goes does not move statuses with it: what a peer had counts for [`PATIENCE_WITH_SESSIONS`]
/// after its session ended. After a start nothing is known for a while; until [`Deliveries::is_settled`] statuses are best
/// left as they stand.
#[derive(Debug, Default)]
pub struct Deliveries {
    peers: BTreeMap<PeerName, Delivery>,
    /// The peers of the start whose sessions have not come up yet, and until when they are waited for.
    awaited: Option<(Instant, BTreeSet<PeerName>)>,
}

/// How long a session may be away before its peer counts as having nothing.
pub const PATIENCE_WITH_SESSIONS: Duration = Duration::from_secs(60);

/// How long sessions are waited for after the start.
const SETTLING: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Delivery {
    /// What the session has, while it is established.
    agreed: BTreeSet<Family>,
    /// Families of which routes are withheld.
    withheld: BTreeSet<Family>,
    /// What the peer has been sent.
    received: BTreeSet<Family>,
    /// Everything has been sent at least once in the present session.
    is_complete: bool,
    /// The session has ended: when what the peer had does not count any more.
    lost: Option<Instant>,
}

impl Deliveries {
    /// The decisions begin, with these peers.
    pub fn start(&mut self, now: Instant, peers: impl IntoIterator<Item = PeerName>) {
        let peers: BTreeSet<PeerName> = peers
            .into_iter()
            .filter(|peer| !self.peers.get(peer).is_some_and(|known| known.is_complete))
            .collect();
        self.awaited = now.checked_add(SETTLING).filter(|_| !peers.is_empty()).map(|at| (at, peers));
    }

    /// Whether what is known of the sessions is more than that the program has just started.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.awaited.is_none()
    }

    /// A session is established, with these families. What the peer has is known when all of it has been sent.
    pub fn handle_established(&mut self, peer: &PeerName, agreed: BTreeSet<Family>) {
        let delivery = self.peers.entry(peer.clone()).or_default();
        (delivery.agreed, delivery.is_complete) = (agreed, false);
        delivery.withheld.clear();
    }

    /// Routes of a family are withheld from a peer, or are not any more.
    pub fn handle_withheld(&mut self, peer: &PeerName, family: Family, is_withheld: bool) {
        let Some(delivery) = self.peers.get_mut(peer) else { return };
        if is_withheld {
            delivery.withheld.insert(family);
        } else {
            delivery.withheld.remove(&family);
        }
        delivery.update();
    }

    /// Everything there is for a peer has been sent for the first time in its session.
    pub fn handle_complete(&mut self, peer: &PeerName) {
        let Some(delivery) = self.peers.get_mut(peer) else { return };
        (delivery.is_complete, delivery.lost) = (true, None);
        delivery.update();
        self.await_no_more(peer);
    }

    /// A session has ended.
    pub fn handle_ended(&mut self, now: Instant, peer: &PeerName) {
        let Some(delivery) = self.peers.get_mut(peer) else { return };
        delivery.is_complete = false;
        if delivery.received.is_empty() {
            return;
        }
        delivery.lost = delivery.lost.or_else(|| now.checked_add(PATIENCE_WITH_SESSIONS));
    }

    /// There is no such peer any more.
    pub fn remove(&mut self, peer: &PeerName) {
        self.peers.remove(peer);
        self.await_no_more(peer);
    }

    /// When [`Deliveries::handle_timeout`] has something to do.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let lost = self.peers.values().filter_map(|delivery| delivery.lost);
        lost.chain(self.awaited.as_ref().map(|(at, _)| *at)).min()
    }

    /// Gives up waiting for what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.awaited.take_if(|(at, _)| *at <= now);
        for delivery in self.peers.values_mut() {
            if delivery.lost.take_if(|at| *at <= now).is_some() {
                delivery.received.clear();
            }
        }
    }

    /// Which peers have what.
    #[must_use]
    pub fn receipts(&self) -> Receipts {
        let some = self.peers.iter().filter(|(_, delivery)| !delivery.received.is_empty());
        some.map(|(peer, delivery)| (peer.clone(), delivery.received.clone())).collect()
    }

    fn await_no_more(&mut self, peer: &PeerName) {
        if let Some((_, peers)) = &mut self.awaited {
            peers.remove(peer);
        }
        self.awaited.take_if(|(_, peers)| peers.is_empty());
    }
}

impl Delivery {
    fn update(&mut self) {
        if self.is_complete {
            self.received = self.agreed.difference(&self.withheld).copied().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time needs a beginning; only differences matter")]
    fn begin() -> Instant {
        Instant::now()
    }

    fn peer(name: &str) -> PeerName {
        PeerName::new(name)
    }

    fn families(deliveries: &Deliveries, name: &str) -> Vec<Family> {
        deliveries.receipts().remove(&peer(name)).unwrap_or_default().into_iter().collect()
    }

    fn establish(deliveries: &mut Deliveries, name: &str, families: &[Family]) {
        deliveries.handle_established(&peer(name), families.iter().copied().collect());
        deliveries.handle_complete(&peer(name));
    }

    #[test]
    fn a_peer_has_what_was_sent_and_not_what_was_only_agreed_on() {
        let mut deliveries = Deliveries::default();
        let a = peer("a");
        deliveries.handle_established(&a, Family::BOTH.into());
        assert_eq!(families(&deliveries, "a"), [], "nothing has been sent yet");
        deliveries.handle_withheld(&a, Family::V6, true);
        deliveries.handle_complete(&a);
        assert_eq!(families(&deliveries, "a"), [Family::V4]);
        deliveries.handle_withheld(&a, Family::V6, false);
        assert_eq!(families(&deliveries, "a"), Family::BOTH);
        deliveries.handle_withheld(&a, Family::V4, true);
        assert_eq!(families(&deliveries, "a"), [Family::V6]);
        assert_eq!(families(&deliveries, "b"), [], "of one that nobody knows");
    }

    #[test]
    fn a_session_that_comes_back_soon_changes_nothing() {
        let (mut deliveries, now) = (Deliveries::default(), begin());
        establish(&mut deliveries, "a", &Family::BOTH);
        deliveries.handle_ended(now, &peer("a"));
        assert_eq!(families(&deliveries, "a"), Family::BOTH);
        assert_eq!(deliveries.next_timeout(), Some(now + PATIENCE_WITH_SESSIONS));
        // It comes up and goes again before everything is sent: the time counts from the first end.
        deliveries.handle_established(&peer("a"), [Family::V4].into());
        deliveries.handle_ended(now + Duration::from_secs(30), &peer("a"));
        assert_eq!(deliveries.next_timeout(), Some(now + PATIENCE_WITH_SESSIONS));
        establish(&mut deliveries, "a", &Family::BOTH);
        assert_eq!((families(&deliveries, "a"), deliveries.next_timeout()), (Family::BOTH.to_vec(), None));
        deliveries.handle_ended(now, &peer("a"));
        deliveries.handle_timeout(now + PATIENCE_WITH_SESSIONS);
        assert_eq!((families(&deliveries, "a"), deliveries.next_timeout()), (Vec::new(), None));
    }

    #[test]
    fn after_the_start_the_sessions_of_its_peers_are_waited_for() {
        let (mut deliveries, now) = (Deliveries::default(), begin());
        assert!(deliveries.is_settled(), "nothing to wait for");
        establish(&mut deliveries, "early", &[Family::V4]);
        deliveries.start(now, ["early", "a", "b", "c"].map(peer));
        establish(&mut deliveries, "a", &[Family::V4]);
        deliveries.remove(&peer("b"));
        assert!(!deliveries.is_settled());
        establish(&mut deliveries, "c", &[Family::V4]);
        assert!(deliveries.is_settled() && deliveries.next_timeout().is_none());
        let mut deliveries = Deliveries::default();
        deliveries.start(now, [peer("silent")]);
        let at = deliveries.next_timeout().unwrap();
        deliveries.handle_timeout(at);
        assert!(deliveries.is_settled() && deliveries.receipts().is_empty());
    }

    #[test]
    fn calls_about_peers_that_are_gone_do_nothing() {
        let (mut deliveries, now) = (Deliveries::default(), begin());
        establish(&mut deliveries, "a", &[Family::V4]);
        deliveries.remove(&peer("a"));
        deliveries.handle_ended(now, &peer("a"));
        deliveries.handle_withheld(&peer("a"), Family::V4, false);
        deliveries.handle_complete(&peer("a"));
        assert!(deliveries.receipts().is_empty() && deliveries.next_timeout().is_none());
    }
}
