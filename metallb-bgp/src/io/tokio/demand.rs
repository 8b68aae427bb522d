//! Who demands which keys from whom. Listeners know hosts only; several peers and ranges may be about the same ones.

use ipnetwork::IpNetwork;

use super::authenticate::canonical;
use crate::session::{Authentication, AuthenticationError, PeerKey};

/// A peer or a range.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Peer(PeerKey),
    Range(PeerKey),
}

/// Something to do on all listeners.
pub(super) struct Change<'a> {
    pub(super) hosts: IpNetwork,
    pub(super) authentication: &'a Authentication,
    /// Whether keys come or go.
    pub(super) install: bool,
}

/// All demands, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Demands(Vec<Demand>);

#[derive(Debug)]
struct Demand {
    owner: Owner,
    hosts: IpNetwork,
    authentication: Authentication,
    result: Result<(), AuthenticationError>,
}

impl Demand {
    /// Whether its keys are on the listeners.
    fn holds(&self, hosts: &IpNetwork) -> bool {
        self.hosts == *hosts && self.result.is_ok() && self.authentication != Authentication::None
    }
}

impl Demands {
    /// Takes the place of what the owner demanded before.
    pub(super) fn demand(
        &mut self,
        owner: &Owner,
        hosts: IpNetwork,
        authentication: &Authentication,
        mut apply: impl FnMut(&Change<'_>) -> Result<(), AuthenticationError>,
    ) -> Result<(), AuthenticationError> {
        let hosts = canonical(hosts);
        let present = self.0.iter().find(|demand| demand.owner == *owner);
        let same = |old: &Demand| old.hosts == hosts && old.authentication == *authentication;
        if present.is_some_and(|old| old.result.is_ok() && same(old)) {
            return Ok(());
        }
        let before = self.take(owner);
        let old_hosts = before.as_ref().map(|old| old.hosts);
        // Listeners are never without a key between one and the next.
        let replaced = |old: &Demand| {
            let md5 = |one: &Authentication| matches!(one, Authentication::Md5(_));
            old.hosts == hosts && md5(&old.authentication) && md5(authentication)
        };
        if let Some(old) = before.filter(|old| !replaced(old)) {
            self.withdraw(&old, &mut apply);
        }
        let (owner, authentication) = (owner.clone(), authentication.clone());
        let demand = Demand { owner, hosts, authentication, result: Ok(()) };
        let result = self.settle(demand, &mut apply);
        for hosts in old_hosts.into_iter().filter(|old| *old != hosts).chain([hosts]) {
            self.settle_waiting(hosts, &mut apply);
        }
        result
    }

    /// The owner demands nothing any more.
    pub(super) fn release(
        &mut self,
        owner: &Owner,
        mut apply: impl FnMut(&Change<'_>) -> Result<(), AuthenticationError>,
    ) {
        let Some(old) = self.take(owner) else { return };
        self.withdraw(&old, &mut apply);
        self.settle_waiting(old.hosts, &mut apply);
    }

    /// Why an owner's demand is not met.
    pub(super) fn refusal(&self, owner: &Owner) -> Option<AuthenticationError> {
        self.0.iter().find(|demand| demand.owner == *owner)?.result.err()
    }

    fn take(&mut self, owner: &Owner) -> Option<Demand> {
        let index = self.0.iter().position(|demand| demand.owner == *owner)?;
        Some(self.0.remove(index))
    }

    /// Takes keys off, unless somebody else has them there.
    fn withdraw(&self, old: &Demand, apply: &mut impl FnMut(&Change<'_>) -> Result<(), AuthenticationError>) {
        let conflict = old.result == Err(AuthenticationError::Conflict);
        let shared = self.0.iter().any(|demand| demand.holds(&old.hosts));
        if conflict || shared || old.authentication == Authentication::None {
            return;
        }
        let change = Change { hosts: old.hosts, authentication: &old.authentication, install: false };
        if let Err(error) = apply(&change) {
            tracing::warn!(hosts = %old.hosts, %error, "a TCP key could not be removed from a listener");
        }
    }

    /// Those who could not have their keys because of others' get them, as far as these are not in the way any more.
    fn settle_waiting(
        &mut self,
        hosts: IpNetwork,
        apply: &mut impl FnMut(&Change<'_>) -> Result<(), AuthenticationError>,
    ) {
        let waits =
            |demand: &Demand| demand.hosts == hosts && demand.result == Err(AuthenticationError::Conflict);
        let waiting: Vec<Demand>;
        (waiting, self.0) = std::mem::take(&mut self.0).into_iter().partition(waits);
        for demand in waiting {
            // Whoever still cannot have them goes on waiting.
            let _ = self.settle(demand, apply);
        }
    }

    /// Meets a demand if nobody else's is in the way, and keeps it.
    fn settle(
        &mut self,
        mut demand: Demand,
        apply: &mut impl FnMut(&Change<'_>) -> Result<(), AuthenticationError>,
    ) -> Result<(), AuthenticationError> {
        let rival = self.0.iter().find(|other| other.holds(&demand.hosts));
        demand.result = match rival.map(|rival| rival.authentication == demand.authentication) {
            _ if demand.authentication == Authentication::None => Ok(()),
            Some(true) => Ok(()),
            Some(false) => Err(AuthenticationError::Conflict),
            None => {
                apply(&Change { hosts: demand.hosts, authentication: &demand.authentication, install: true })
            }
        };
        let result = demand.result;
        self.0.push(demand);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Md5Key;

    /// What a listener would have.
    #[derive(Default)]
    struct World {
        demands: Demands,
        keys: Vec<(IpNetwork, Authentication)>,
    }

    impl World {
        fn demand(&mut self, name: &str, hosts: &str, key: &str) -> Result<(), AuthenticationError> {
            let keys = &mut self.keys;
            let owner = Owner::Peer(name.into());
            self.demands.demand(&owner, hosts.parse().unwrap(), &mk_key(key), |change| {
                change_keys(keys, change);
                Ok(())
            })
        }

        fn release(&mut self, name: &str) {
            let keys = &mut self.keys;
            self.demands.release(&Owner::Peer(name.into()), |change| {
                change_keys(keys, change);
                Ok(())
            });
        }

        fn shown(&self) -> Vec<String> {
            let show = |(hosts, authentication): &(IpNetwork, Authentication)| match authentication {
                Authentication::Md5(key) => format!("{hosts} {}", String::from_utf8_lossy(key.as_bytes())),
                other => panic!("{other:?}"),
            };
            self.keys.iter().map(show).collect()
        }
    }

    fn change_keys(keys: &mut Vec<(IpNetwork, Authentication)>, change: &Change<'_>) {
        keys.retain(|(hosts, _)| *hosts != change.hosts);
        if change.install {
            keys.push((change.hosts, change.authentication.clone()));
        }
    }

    fn mk_key(key: &str) -> Authentication {
        if key.is_empty() { Authentication::None } else { Authentication::Md5(Md5Key::new(key).unwrap()) }
    }

    // req: T1
    #[test]
    fn a_key_stays_while_another_peer_of_the_host_needs_it() {
        let mut world = World::default();
        world.demand("a", "192.0.2.1/32", "k").unwrap();
        world.demand("b", "192.0.2.1/32", "k").unwrap();
        world.demand("c", "192.0.2.1/32", "").unwrap();
        world.release("c");
        world.release("a");
        assert_eq!(world.shown(), ["192.0.2.1/32 k"]);
        world.release("b");
        assert!(world.shown().is_empty());
    }

    // req: !T1
    #[test]
    fn another_key_for_the_same_host_is_refused_until_the_first_is_gone() {
        let mut world = World::default();
        world.demand("a", "192.0.2.1/32", "first").unwrap();
        let refused = world.demand("b", "192.0.2.1/32", "second");
        assert_eq!(refused, Err(AuthenticationError::Conflict));
        assert_eq!(world.demands.refusal(&Owner::Peer("b".into())), Some(AuthenticationError::Conflict));
        assert_eq!(world.shown(), ["192.0.2.1/32 first"]);
        world.release("a");
        assert_eq!(world.shown(), ["192.0.2.1/32 second"]);
        assert_eq!(world.demands.refusal(&Owner::Peer("b".into())), None);
    }

    // req: T1, !T1
    #[test]
    fn a_key_that_two_peers_of_a_host_change_one_after_the_other_is_that_of_both() {
        let mut world = World::default();
        for name in ["a", "b", "c"] {
            world.demand(name, "192.0.2.1/32", "old").unwrap();
        }
        for name in ["a", "b"] {
            assert_eq!(world.demand(name, "192.0.2.1/32", "new"), Err(AuthenticationError::Conflict));
        }
        world.demand("c", "192.0.2.1/32", "new").unwrap();
        assert_eq!(["a", "b"].map(|name| world.demands.refusal(&Owner::Peer(name.into()))), [None, None]);
        assert_eq!(world.shown(), ["192.0.2.1/32 new"]);
    }

    // req: T1
    #[test]
    fn who_waited_for_a_host_has_its_key_when_the_other_one_moves_away() {
        let mut world = World::default();
        world.demand("a", "192.0.2.1/32", "first").unwrap();
        assert!(world.demand("b", "192.0.2.1/32", "second").is_err());
        world.demand("a", "192.0.2.2/32", "first").unwrap();
        assert_eq!(world.demands.refusal(&Owner::Peer("b".into())), None);
        let mut shown = world.shown();
        shown.sort_unstable();
        assert_eq!(shown, ["192.0.2.1/32 second", "192.0.2.2/32 first"]);
    }

    // req: T1
    #[test]
    fn a_key_changes_and_moves_with_its_peer() {
        let mut world = World::default();
        world.demand("a", "192.0.2.1/32", "k").unwrap();
        world.demand("a", "192.0.2.1/32", "other").unwrap();
        assert_eq!(world.shown(), ["192.0.2.1/32 other"]);
        world.demand("a", "::ffff:192.0.2.2/128", "other").unwrap();
        assert_eq!(world.shown(), ["192.0.2.2/32 other"], "in the form in which it connects");
        world.demand("a", "192.0.2.2/32", "").unwrap();
        assert!(world.shown().is_empty());
    }
}
