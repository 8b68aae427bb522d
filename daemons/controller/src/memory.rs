//! What a controller remembers from one time it leads to the next.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use metallb_core::config::ConfigError;
use metallb_core::ipam::{AllocationError, Report};
use metallb_core::keys::{PoolName, ServiceKey};
use metallb_k8s::facts::ServiceRecord;
use metallb_k8s::write::events::Events;

use crate::waits::Waits;

/// What it said and counted: an outage of the API server, which ends every term, is no reason to say all of that again.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Events that were written.
    pub events: Events,
    /// Each Service as it was known.
    pub records: HashMap<ServiceKey, Arc<ServiceRecord>>,
    /// What was said about the condition of services, with their uids.
    pub told: Vec<(ServiceKey, String, Vec<Report>)>,
    /// What was said about pools that contain addresses of others.
    pub owned: BTreeMap<PoolName, ConfigError>,
    /// Failed allocations by reason.
    pub failures: BTreeMap<&'static str, u64>,
    /// How long services waited for their addresses.
    pub waits: Waits,
}

impl Memory {
    /// It has never led.
    pub(crate) fn new() -> Self {
        Self {
            events: Events::new("metallb-controller", ""),
            records: HashMap::new(),
            told: Vec::new(),
            owned: BTreeMap::new(),
            failures: AllocationError::REASONS.into_iter().map(|reason| (reason, 0)).collect(),
            waits: Waits::new(),
        }
    }
}
