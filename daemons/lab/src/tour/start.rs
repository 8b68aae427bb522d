//! First steps: daemons, configuration, addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use metallb_core::config::Pool;
use metallb_core::keys::Family;
use serde_json::Value;

use super::{Step, Stop, Target, Targets, Tour, list, on_segment, within};
use crate::api;
use crate::cluster::{self, Shown};
use crate::net::links;
use crate::report::ms;
use crate::scenario::objects;

/// How long a service may wait for its address.
const ADDRESS_LIMIT: Duration = Duration::from_secs(15);

impl Tour<'_> {
    /// Starts controller and speakers.
    pub(super) async fn daemons(&self) -> Step {
        self.reporter.title("Cluster");
        self.lab.populate()?;
        let begun = Instant::now();
        self.lab.start_controller().await?;
        self.reporter.saw(format!("the controller answers /readyz, {} after its start", ms(begun.elapsed())));
        let begun = Instant::now();
        self.lab.start_speakers().await?;
        let nodes = list(self.lab.nodes.keys());
        self.reporter.saw(format!(
            "the speakers on {nodes} answer /readyz, {} after their start",
            ms(begun.elapsed())
        ));
        Ok(format!("1 controller, {} speakers", self.lab.nodes.len()))
    }

    /// Writes configuration and services.
    pub(super) fn configure(&self) -> Step {
        self.reporter.title("Configuration");
        let documents = &self.lab.loaded.documents;
        let (first, rest): (Vec<_>, Vec<_>) =
            documents.iter().partition(|document| document.kind() == "Namespace");
        for document in first.into_iter().chain(rest) {
            let stored = api::put(&self.lab.server, &document.value)?;
            self.saw_stored(&stored);
        }
        let mut count = documents.len();
        if !documents.iter().any(|document| document.text("/spec/type") == "LoadBalancer") {
            for service in self.demonstration() {
                self.saw_stored(&api::put(&self.lab.server, &service)?);
                count += 1;
            }
        }
        Ok(format!("{count} objects"))
    }

    fn saw_stored(&self, stored: &Value) {
        let text = |pointer: &str| stored.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        self.reporter.saw(format!(
            "{} {} is stored, resourceVersion {}",
            text("/kind"),
            text("/metadata/name"),
            text("/metadata/resourceVersion")
        ));
    }

    /// Services to show: one from a pool that is announced by ARP and NDP, one from a pool that is
    /// announced by BGP.
    fn demonstration(&self) -> Vec<Value> {
        let config = &self.lab.loaded.config;
        let layer2 = |pool: &Pool| config.l2_advertisements().values().any(|adv| adv.applies_to(pool));
        let bgp = |pool: &Pool| config.bgp_advertisements().values().any(|adv| adv.applies_to(pool));
        let pools = || config.pools().values().map(|pool| &**pool);
        // A pool that is announced one way only shows that way best.
        let one =
            pools().find(|pool| layer2(pool) && !bgp(pool)).or_else(|| pools().find(|pool| layer2(pool)));
        let other =
            pools().find(|pool| bgp(pool) && !layer2(pool)).or_else(|| pools().find(|pool| bgp(pool)));
        [("web-l2", one), ("web-bgp", other)]
            .into_iter()
            .filter_map(|(name, pool)| Some(objects::service(name, pool?.name.as_str())))
            .collect()
    }

    /// Waits until every service has its addresses.
    pub(super) async fn addresses(&self) -> Result<(Targets, String), Stop> {
        self.reporter.title("Services get addresses");
        let begun = Instant::now();
        let mut shown: Vec<Shown> = Vec::new();
        let all = within(ADDRESS_LIMIT, async || {
            let services = cluster::services(&self.lab.api).await?;
            for service in services.iter().filter(|service| !service.addresses.is_empty()) {
                if !shown.iter().any(|known| known.key == service.key) {
                    let (key, addresses) = (&service.key, list(&service.addresses));
                    self.reporter.saw(format!("{key} has {addresses} in its status"));
                    shown.push(service.clone());
                }
            }
            Ok((shown.len() == services.len() && !services.is_empty()).then_some(()))
        })
        .await?;
        if all.is_none() {
            let services = cluster::services(&self.lab.api).await?;
            let waiting = services.iter().filter(|service| service.addresses.is_empty());
            let names = list(waiting.map(|service| &service.key));
            return Err(Stop::Failed(match names.as_str() {
                "" => "there is no service of type LoadBalancer and no pool that is announced".to_owned(),
                names => format!("without an address after {} s: {names}", ADDRESS_LIMIT.as_secs()),
            }));
        }
        let figure = format!("{} services in {}", shown.len(), ms(begun.elapsed()));
        self.nodes_hold(&shown).await?;
        Ok((self.sort_out(&shown), figure))
    }

    /// Waits until every node has the addresses on its loopback, so that what the client measures is not
    /// how long the stand-in for kube-proxy takes.
    async fn nodes_hold(&self, services: &[Shown]) -> Result<(), Stop> {
        let wanted: BTreeSet<IpAddr> =
            services.iter().flat_map(|service| service.addresses.clone()).collect();
        let there = within(ADDRESS_LIMIT, async || {
            for node in self.lab.nodes.values() {
                if !wanted.is_subset(&links::addresses(&node.host.room, "lo").await?) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await?;
        if there.is_none() {
            return Err(Stop::Failed(
                "the stand-in for kube-proxy did not put the addresses on every node".to_owned(),
            ));
        }
        self.reporter
            .saw(format!("every node's kernel has {} on lo (stand-in for kube-proxy)", list(&wanted)));
        Ok(())
    }

    /// Which address is announced which way.
    fn sort_out(&self, services: &[Shown]) -> Targets {
        let config = &self.lab.loaded.config;
        let mut targets = Targets::default();
        for service in services {
            for address in &service.addresses {
                let Some(pool) = config.pool_of(*address) else { continue };
                let target = Target { service: service.clone(), address: *address, pool: pool.name.clone() };
                let labels = &service.labels;
                let layer2 = |adv: &metallb_core::config::L2Advertisement| {
                    adv.applies_to(pool) && adv.selects_service(labels)
                };
                let bgp = |adv: &metallb_core::config::BgpAdvertisement| {
                    adv.applies_to(pool) && adv.selects_service(labels)
                };
                if config.l2_advertisements().values().any(|adv| layer2(adv)) {
                    targets.layer2.push(target.clone());
                }
                if config.bgp_advertisements().values().any(|adv| bgp(adv)) {
                    targets.bgp.push(target);
                }
            }
        }
        // The client reaches what is on its segment without anybody's help: best for Layer 2, worst for BGP.
        targets.layer2.sort_by_key(|target| !on_segment(target.address));
        targets.bgp.sort_by_key(|target| on_segment(target.address));
        let known: Vec<_> = targets.layer2.iter().map(|target| target.address).collect();
        targets.bgp.sort_by_key(|target| known.contains(&target.address));
        targets
    }
}

/// In words.
pub(super) const fn word(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}
