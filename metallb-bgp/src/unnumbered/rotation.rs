//! Which neighbour a session tries next.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// The order in which a session tries the neighbours of its link.
///
/// First those that were not tried yet, among them the one that the last session was with; then the one that was tried
/// longest ago. So the new address of a router comes next, and a neighbour that does not answer keeps no other waiting for
/// longer than one attempt.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    /// The number of the last attempt with each.
    tried: BTreeMap<IpAddr, u64>,
    attempts: u64,
    /// Who the last session was with.
    proven: Option<IpAddr>,
}

impl Rotation {
    /// The next of these, in the order of preference where nothing else is known. It counts as tried.
    pub fn pick(&mut self, neighbors: &[IpAddr]) -> Option<IpAddr> {
        self.tried.retain(|address, _| neighbors.contains(address));
        let next = self.next(neighbors)?;
        self.attempts = self.attempts.saturating_add(1);
        self.tried.insert(next, self.attempts);
        Some(next)
    }

    /// As [`pick`](Self::pick), and nothing counts as tried.
    #[must_use]
    pub fn next(&self, neighbors: &[IpAddr]) -> Option<IpAddr> {
        let order = |address: &&IpAddr| {
            (self.tried.get(*address).copied().unwrap_or_default(), self.proven != Some(**address))
        };
        neighbors.iter().min_by_key(order).copied()
    }

    /// There is a session with this one: it is the first to try afterwards.
    pub fn succeed(&mut self, address: IpAddr) {
        self.tried.remove(&address);
        self.proven = Some(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips<const N: usize>(texts: [&str; N]) -> [IpAddr; N] {
        texts.map(|text| text.parse().unwrap())
    }

    // req: J5
    #[test]
    fn neighbors_are_tried_in_turn_and_new_ones_next() {
        let [a, b, c] = ips(["fe80::a", "fe80::b", "fe80::c"]);
        let mut rotation = Rotation::default();
        let picks: Vec<_> = (0..4).map(|_| rotation.pick(&[b, a]).unwrap()).collect();
        assert_eq!(picks, [b, a, b, a]);
        assert_eq!(rotation.next(&[b, a, c]), Some(c));
        let picks: Vec<_> = (0..4).map(|_| rotation.pick(&[b, a, c]).unwrap()).collect();
        assert_eq!(picks, [c, b, a, c]);
        assert_eq!(rotation.pick(&[]), None);
        assert_eq!(rotation.pick(&[a]), Some(a), "whoever is alone is tried again and again");
        assert_eq!(rotation.pick(&[a]), Some(a));
    }

    // req: J5
    #[test]
    fn who_had_the_session_is_tried_first_and_once() {
        let [a, b, new] = ips(["fe80::a", "fe80::b", "fe80::99"]);
        let mut rotation = Rotation::default();
        assert_eq!(rotation.pick(&[a, b]), Some(a));
        assert_eq!(rotation.pick(&[a, b]), Some(b));
        rotation.succeed(b);
        let picks: Vec<_> = (0..3).map(|_| rotation.pick(&[new, a, b]).unwrap()).collect();
        assert_eq!(picks, [b, new, a]);
    }
}
