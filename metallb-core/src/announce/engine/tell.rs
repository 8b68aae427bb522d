//! From decisions to differences.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use crate::election::ElectionKey;
use crate::keys::{Family, ServiceKey};

use super::super::change::{Change, InterfaceScope};
use super::super::emit::OfService;
use super::super::l2::first_live;
use super::super::reasons::{AnnounceProblem, Rejection};
use super::{Engine, Touched};

impl Engine {
    /// Compares what should be with what was told.
    pub(super) fn tell(&mut self, mut touched: Touched) -> Vec<Change> {
        let mut out = Vec::new();
        for address in &touched.addresses {
            let state = self.layer2_state(*address);
            self.emitted.set_l2(*address, state, &mut out);
            touched.services.extend(self.layer2.groups.services_on(*address).cloned());
        }
        if touched.sessions {
            self.emitted.set_peers(&self.bgp.peers, &mut out);
            self.emitted.set_conflicts(&self.bgp.shadowed, &mut out);
        }
        if touched.nodes {
            let ignored = self.world.nodes.exclusion_excepted();
            let anything = ElectionKey::new(Ipv4Addr::UNSPECIFIED.into());
            let speaks_here = || first_live(&anything, &self.world).as_ref() == Some(&self.this);
            let ignored = ignored && speaks_here();
            self.emitted.set_exclusion_ignored(ignored, &mut out);
        }
        for prefix in &touched.prefixes {
            self.emitted.set_prefix(*prefix, self.bgp.routes(prefix), &mut out);
        }
        for key in &touched.services {
            let wanted = OfService {
                interfaces: self.service_interfaces(key),
                bgp_peers: self.bgp.peers_of(key, self.receipts.as_ref()),
                problem: self.find_problem(key),
            };
            self.emitted.set_service(key, wanted, &mut out);
        }
        self.claim_own(&out);
        out.sort_by_key(Change::order);
        out
    }

    /// What this node announces it also claims.
    fn claim_own(&mut self, changes: &[Change]) {
        let (mut added, mut removed) = (BTreeSet::new(), BTreeSet::new());
        let own = self.claims.entry(self.this.clone()).or_default();
        for change in changes {
            match change {
                Change::L2 { address, state: Some(_) } => {
                    own.insert(*address);
                    added.insert(*address);
                }
                Change::L2 { address, state: None } => {
                    own.remove(address);
                    removed.insert(*address);
                }
                _ => {}
            }
        }
        self.layer2.claim(&self.this, &added, &removed);
    }

    /// On which interfaces this node announces an address, if it does.
    fn layer2_state(&self, address: IpAddr) -> Option<InterfaceScope> {
        let group = self.layer2.groups.of(address)?;
        if group.outcome.owner() != Some(&self.this) {
            return None;
        }
        let mut services = self.layer2.groups.services_on(address).filter_map(|key| self.world.service(key));
        if !services.any(|service| self.world.serves(service, address, &self.this)) {
            return None;
        }
        self.layer2_scope(address)
    }

    /// The interfaces that the advertisements of an address allow on this node.
    fn layer2_scope(&self, address: IpAddr) -> Option<InterfaceScope> {
        let node = self.world.nodes.fact(&self.this)?;
        let mut scope = None;
        for key in self.layer2.groups.services_on(address) {
            let ads = self.world.service(key).map_or(&[][..], |entry| entry.matched.l2_ads(address));
            for ad in ads.iter().filter_map(|id| self.world.coverage.l2(*id)) {
                if ad.selects_node(&node.labels) {
                    InterfaceScope::add(&mut scope, &ad.interfaces);
                }
            }
        }
        scope
    }

    fn service_interfaces(&self, key: &ServiceKey) -> Option<InterfaceScope> {
        let entry = self.world.service(key)?;
        let mut scope = None;
        let served = entry.matched.l2.iter().filter(|(at, _)| self.world.serves(entry, *at, &self.this));
        for (address, _) in served {
            if let Some(told) = self.emitted.l2.get(address) {
                InterfaceScope::merge(&mut scope, told);
            }
        }
        scope
    }

    /// What is wrong with a service that this node should speak about.
    fn find_problem(&self, key: &ServiceKey) -> Option<AnnounceProblem> {
        let entry = self.world.service(key)?;
        if let Some(conflict) = self.bgp.conflict_of(key) {
            return Some(conflict.clone());
        }
        let layer2 = entry.matched.l2.iter().find_map(|(address, _)| self.layer2_problem(*address));
        if layer2.is_some() {
            return layer2;
        }
        let address = entry.matched.unadvertised()?;
        let election = ElectionKey::new(*entry.fact.assigned.first()?);
        let speaks_here = first_live(&election, &self.world).as_ref() == Some(&self.this);
        speaks_here.then_some(AnnounceProblem::NoAdvertisement { address })
    }

    fn layer2_problem(&self, address: IpAddr) -> Option<AnnounceProblem> {
        let group = self.layer2.groups.of(address)?;
        if group.outcome.spokesman() == Some(&self.this) {
            let (nodes, rule) = self.layer2.closest_rejection(group)?;
            // The label counts only because of nodes that are not heard: that is what is wrong.
            let unheard = rule == Rejection::Excluded && self.world.nodes.misses_speakers();
            let rule = if unheard { Rejection::NoSpeaker } else { rule };
            return Some(AnnounceProblem::NoCandidate { address, nodes, rule });
        }
        if group.outcome.owner() != Some(&self.this) {
            return None;
        }
        let family = Family::of(address);
        if let Err(rule) = group.readiness.check_family(&self.this, family) {
            let nodes = self.world.nodes.states().len();
            return Some(AnnounceProblem::NoCandidate { address, nodes, rule });
        }
        let scope = self.emitted.l2.get(&address)?;
        let usable = self.world.nodes.interfaces(&self.this)?;
        let mut listed = usable.iter().filter(|(name, _)| scope.contains(name)).peekable();
        let rule = if listed.peek().is_some() { Rejection::NoIpv6Interface } else { Rejection::NoInterface };
        let none = !listed.any(|(_, interface)| interface.carries(family));
        none.then(|| AnnounceProblem::NoUsableInterface { node: self.this.clone(), address, rule })
    }
}
