//! Addresses in the status of Services.

use std::{net::IpAddr, sync::Arc};

use metallb_core::{
    facts::{Demand, Service},
    keys::{PoolName, ServiceKey},
};
use serde_json::{Value, json};

use super::Identity;
use crate::facts::{ServiceRecord, annotations};

/// Gives a Service its addresses, or takes them away: the status and the annotation that tells the
/// pools, in one patch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceWrite {
    /// The Service.
    pub key: ServiceKey,
    /// Its addresses in order; empty takes them away.
    pub addresses: Vec<IpAddr>,
    /// The pools that they came from.
    pub pools: Vec<PoolName>,
    /// What the decision was based on.
    pub based_on: Arc<Service>,
    /// The version of the object that the patch applies to.
    pub identity: Identity,
    /// The field manager that wrote the status last, where that was not us.
    pub rewritten_by: Option<Arc<str>>,
}

impl ServiceWrite {
    /// Gives the Service in `record` these addresses.
    pub fn assign(record: &ServiceRecord, addresses: Vec<IpAddr>, pools: Vec<PoolName>) -> Self {
        Self {
            key: record.fact.key.clone(),
            addresses,
            pools,
            based_on: Arc::clone(&record.fact),
            identity: Identity::new(&record.uid, &record.resource_version),
            rewritten_by: record.rewritten_by.clone(),
        }
    }

    /// Takes all addresses from the Service in `record`.
    pub fn clear(record: &ServiceRecord) -> Self {
        Self::assign(record, Vec::new(), Vec::new())
    }

    /// The JSON merge patch for the subresource `status`.
    pub fn patch(&self) -> Value {
        let pools = self.pools.iter().map(PoolName::as_str).collect::<Vec<_>>().join(",");
        let pools = if pools.is_empty() { Value::Null } else { pools.into() };
        let ingress = if self.addresses.is_empty() {
            Value::Null
        } else {
            self.addresses.iter().map(|address| json!({ "ip": address })).collect()
        };
        let old = annotations::ALLOCATED_FROM_POOL.replacen(annotations::PREFIX, annotations::OLD_PREFIX, 1);
        let mut patch = json!({
            "metadata": { "annotations": { annotations::ALLOCATED_FROM_POOL: pools, old: null } },
            "status": { "loadBalancer": { "ingress": ingress } },
        });
        self.identity.stamp(&mut patch);
        patch
    }

    /// What to do after the object turned out to be newer than thought: `current` is how it stands,
    /// `None` if it is gone or no business of ours any more.
    pub fn reconsider(&self, current: Option<&ServiceRecord>) -> Reconsidered {
        let Some(current) = current.filter(|current| *current.uid == *self.identity.uid()) else {
            return Reconsidered::Outdated;
        };
        let recorded = current.annotated || self.pools.is_empty();
        if current.fact.assigned == self.addresses
            && current.fact.recorded_pools == self.pools
            && recorded
            && !current.foreign_ingress
        {
            return Reconsidered::Done;
        }
        if same_question(&current.fact, &self.based_on) {
            let identity = Identity::new(&current.uid, &current.resource_version);
            Reconsidered::Retry(Self { identity, ..self.clone() })
        } else {
            Reconsidered::Outdated
        }
    }
}

/// The outcome of [`ServiceWrite::reconsider`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the caller must handle each")]
pub enum Reconsidered {
    /// The Service is already as it shall be.
    Done,
    /// Nothing that the decision rests on changed: write this.
    Retry(ServiceWrite),
    /// The decision must be made anew.
    Outdated,
}

/// Whether nothing changed that a decision about addresses rests on.
fn same_question(current: &Service, before: &Service) -> bool {
    // Spelled out, so that a new field has to be thought about here.
    let Service {
        key,
        created,
        labels,
        demand,
        ports,
        sharing_key,
        traffic_policy,
        backend,
        assigned,
        recorded_pools,
    } = current;
    *key == before.key
        && *created == before.created
        && *labels == before.labels
        && *demand == before.demand
        && *ports == before.ports
        && *sharing_key == before.sharing_key
        && *traffic_policy == before.traffic_policy
        && *backend == before.backend
        && *assigned == before.assigned
        && (*recorded_pools == before.recorded_pools || *demand == Demand::None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{ClassFilter, objects};

    fn record(version: &str, annotations: &Value, ingress: &Value) -> ServiceRecord {
        let object = json!({
            "metadata": {
                "name": "a", "namespace": "web", "uid": "u", "resourceVersion": version, "annotations": annotations,
            },
            "spec": { "type": "LoadBalancer", "clusterIPs": ["10.0.0.1"] },
            "status": { "loadBalancer": { "ingress": ingress } },
        });
        let object: objects::Service = serde_json::from_value(object).unwrap();
        ServiceRecord::cut(&object, &ClassFilter::default()).unwrap()
    }

    fn mk_write(before: &ServiceRecord) -> ServiceWrite {
        ServiceWrite::assign(before, vec!["192.0.2.1".parse().unwrap()], vec![PoolName::new("p")])
    }

    fn written() -> (Value, Value) {
        (json!({ "metallb.io/ip-allocated-from-pool": "p" }), json!([{ "ip": "192.0.2.1" }]))
    }

    #[test]
    fn clearing_removes_by_null() {
        let (annotations, ingress) = written();
        let patch = ServiceWrite::clear(&record("1", &annotations, &ingress)).patch();
        assert_eq!(patch["status"]["loadBalancer"], json!({ "ingress": null }));
        assert!(patch["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"].is_null());
        assert_eq!(patch["metadata"]["resourceVersion"], "1");
    }

    #[test]
    fn the_old_annotation_is_taken_away_and_two_pools_are_both_named() {
        let before = record("1", &json!({}), &json!([]));
        let pools = vec![PoolName::new("p4"), PoolName::new("p6")];
        let addresses = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let patch = ServiceWrite::assign(&before, addresses, pools).patch();
        let annotations = &patch["metadata"]["annotations"];
        assert_eq!(annotations["metallb.io/ip-allocated-from-pool"], "p4,p6");
        assert!(annotations.as_object().unwrap().contains_key("metallb.universe.tf/ip-allocated-from-pool"));
        let ingress = &patch["status"]["loadBalancer"]["ingress"];
        assert_eq!(*ingress, json!([{ "ip": "192.0.2.1" }, { "ip": "2001:db8::1" }]));
    }

    #[test]
    fn what_is_written_already_is_not_written_again() {
        let write = mk_write(&record("1", &json!({}), &json!([])));
        let (annotations, ingress) = written();
        assert_eq!(write.reconsider(Some(&record("2", &annotations, &ingress))), Reconsidered::Done);
        let mut with_name = ingress;
        with_name.as_array_mut().unwrap().push(json!({ "hostname": "elsewhere" }));
        let (annotations, _) = written();
        assert_ne!(write.reconsider(Some(&record("2", &annotations, &with_name))), Reconsidered::Done);
    }

    #[test]
    fn only_an_unchanged_question_keeps_its_answer() {
        let write = mk_write(&record("1", &json!({}), &json!([])));
        let same = record("2", &json!({}), &json!([]));
        assert!(
            matches!(write.reconsider(Some(&same)), Reconsidered::Retry(again) if again.identity.version() == "2")
        );
        let asked = record("2", &json!({ "metallb.io/address-pool": "q" }), &json!([]));
        assert_eq!(write.reconsider(Some(&asked)), Reconsidered::Outdated);
        let served_by_others = record("2", &json!({}), &json!([{ "ip": "203.0.113.1" }]));
        assert_eq!(write.reconsider(Some(&served_by_others)), Reconsidered::Outdated);
        assert_eq!(write.reconsider(None), Reconsidered::Outdated);
    }
}
