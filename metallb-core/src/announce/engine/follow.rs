//! From what was touched to decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::facts::Service;
use crate::keys::{NodeName, ServiceKey};

use super::super::coverage::Matched;
use super::super::world::{Entry, World};
use super::{Dirty, Engine, Touched};

impl Engine {
    pub(super) fn follow_config(&mut self, changed: bool, touched: &mut Touched) {
        if changed {
            self.world.coverage.set_config(&self.config);
            self.world.nodes.all_dirty();
            touched.sessions = true;
        }
    }

    pub(super) fn follow_nodes(&mut self, config: bool, touched: &mut Touched) -> BTreeSet<NodeName> {
        let refreshed = self.world.nodes.refresh(&self.world.coverage);
        touched.nodes = !refreshed.touched.is_empty();
        if config || refreshed.touched.contains(&self.this) {
            touched.sessions = true;
            touched.addresses.extend(self.emitted.l2.keys());
            if self.bgp.set_node(&self.this, &self.config, &self.world) {
                touched.offers.extend(self.world.services.keys().cloned());
                touched.prefixes.extend(self.bgp.all_prefixes());
            }
        }
        if refreshed.reworded {
            let counting = self.emitted.counting_nodes();
            touched.services.extend(self.unadvertised.iter().chain(counting).cloned());
        }
        refreshed.changed
    }

    /// Takes services; returns the addresses around which groups have to be formed anew.
    pub(super) fn follow_services(
        &mut self,
        config: bool,
        services: BTreeMap<ServiceKey, Option<Service>>,
        touched: &mut Touched,
    ) -> BTreeSet<IpAddr> {
        let mut regroup = BTreeSet::new();
        if config {
            self.match_all(&mut regroup, touched);
        }
        for (key, service) in services {
            touched.services.insert(key.clone());
            touched.offers.insert(key.clone());
            match service {
                Some(service) => self.take_service(service, &mut regroup, touched),
                None => self.drop_service(&key, &mut regroup),
            }
        }
        regroup
    }

    /// After a change of the configuration: which advertisements are for which services.
    fn match_all(&mut self, regroup: &mut BTreeSet<IpAddr>, touched: &mut Touched) {
        let World { services, coverage, .. } = &mut self.world;
        for (key, entry) in services {
            let matched = coverage.matched(&entry.fact);
            if matched == entry.matched {
                continue;
            }
            touched.services.insert(key.clone());
            touched.offers.insert(key.clone());
            note_unadvertised(&mut self.unadvertised, key, &matched);
            let old = std::mem::replace(&mut entry.matched, matched);
            if old.l2 != entry.matched.l2 {
                let (old, new) = (old.addresses(), entry.matched.addresses());
                self.layer2.groups.index(key, &old, &new);
                regroup.extend(old.into_iter().chain(new));
            }
        }
    }

    fn take_service(&mut self, service: Service, regroup: &mut BTreeSet<IpAddr>, touched: &mut Touched) {
        let key = service.key.clone();
        let entry = Entry { matched: self.world.coverage.matched(&service), fact: service };
        note_unadvertised(&mut self.unadvertised, &key, &entry.matched);
        let new = entry.matched.addresses();
        let shape = |entry: &Entry| (entry.fact.created, entry.fact.assigned.first().copied());
        let new_shape = shape(&entry);
        let same_l2 = |old: &Entry| old.matched.l2 == entry.matched.l2 && shape(old) == new_shape;
        let same = self.world.services.get(&key).is_some_and(same_l2);
        let old = self.world.services.insert(key.clone(), entry);
        if same {
            touched.elections.extend(self.layer2.groups.id_of_service(&key, &self.world));
            return;
        }
        let old = old.map(|old| old.matched.addresses()).unwrap_or_default();
        self.layer2.groups.index(&key, &old, &new);
        regroup.extend(old.into_iter().chain(new));
    }

    fn drop_service(&mut self, key: &ServiceKey, regroup: &mut BTreeSet<IpAddr>) {
        self.unadvertised.remove(key);
        let Some(old) = self.world.services.remove(key) else { return };
        let old = old.matched.addresses();
        self.layer2.groups.index(key, &old, &[]);
        regroup.extend(old);
    }

    pub(super) fn follow_elections(
        &mut self,
        regroup: BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
        dirty: Dirty,
        touched: &mut Touched,
    ) {
        let mut concerned = self.layer2.reconsider(nodes, &self.this, &self.world);
        touched.addresses.extend(self.layer2.regroup(regroup, &self.world));
        let mut elect = std::mem::take(&mut touched.elections);
        for key in &dirty.endpoints {
            elect.extend(self.layer2.groups.id_of_service(key, &self.world));
        }
        for id in &elect {
            self.layer2.elect_for_services(*id, &self.world);
        }
        concerned.append(&mut elect);
        for id in dirty.groups {
            self.layer2.elect(id, &self.world);
            concerned.insert(id);
        }
        for id in concerned {
            if let Some(group) = self.layer2.groups.get(id) {
                touched.addresses.extend(&group.addresses);
            }
        }
        touched.services.extend(dirty.endpoints.iter().cloned());
        touched.offers.extend(dirty.endpoints);
    }

    pub(super) fn follow_offers(&mut self, touched: &mut Touched) {
        touched.prefixes.extend(self.bgp.offer(&touched.offers, &self.this, &self.world));
        touched.services.extend(self.bgp.merge(&touched.prefixes));
        touched.services.append(&mut touched.offers);
    }
}

fn note_unadvertised(unadvertised: &mut BTreeSet<ServiceKey>, key: &ServiceKey, matched: &Matched) {
    if matched.unadvertised().is_some() {
        unadvertised.insert(key.clone());
    } else {
        unadvertised.remove(key);
    }
}
