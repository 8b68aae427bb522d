//! What the allocator must know about a service to serve it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::Pool;
use crate::facts::{Request, Service, TrafficPolicy};
use crate::keys::{NamespaceName, Port, ServiceKey, SharingKey};
use crate::select::Labels;

/// A service that wants (or has) addresses, as the allocator sees it.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "borrowed parts, built by the caller")]
pub struct Claim<'a> {
    /// The service.
    pub service: &'a ServiceKey,
    /// Its labels.
    pub labels: &'a Labels,
    /// The labels of its namespace.
    pub namespace_labels: &'a Labels,
    /// What it wants.
    pub request: &'a Request,
    /// Its ports.
    pub ports: &'a BTreeSet<Port>,
    /// With whom it may share an address; `None`: with nobody.
    pub sharing: Option<Arc<Sharing>>,
}

impl<'a> Claim<'a> {
    /// The claim of a service that asks for addresses.
    pub fn new(service: &'a Service, request: &'a Request, namespace_labels: &'a Labels) -> Self {
        Self {
            service: &service.key,
            labels: &service.labels,
            namespace_labels,
            request,
            ports: &service.ports,
            sharing: Sharing::of(service).map(Arc::new),
        }
    }

    /// May the pool serve it?
    pub(super) fn is_admitted_by(&self, pool: &Pool) -> bool {
        pool.service_allocation.is_none()
            || pool.admits(self.service.namespace(), self.namespace_labels, self.labels)
    }
}

/// Services may hold one address together when this is equal and they have no port in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a key and what is behind it")]
pub struct Sharing {
    /// The sharing key.
    pub key: SharingKey,
    /// What is behind the service.
    pub backend: Backend,
}

impl Sharing {
    /// With whom a service may share; `None` when it has no sharing key.
    pub fn of(service: &Service) -> Option<Self> {
        let key = service.sharing_key.clone().filter(|key| !key.as_str().is_empty())?;
        let backend = match service.traffic_policy {
            TrafficPolicy::Cluster => Backend::Anywhere,
            TrafficPolicy::Local => Backend::Local {
                namespace: NamespaceName::new(service.key.namespace()),
                selector: service.backend.clone(),
            },
        };
        Some(Self { key, backend })
    }

    /// The rule of MetalLB, which does not look at the namespace of `Local` services. Sharing that was given out under
    /// it is kept.
    pub(crate) fn may_keep_with(&self, other: &Self) -> bool {
        self.key == other.key
            && match (&self.backend, &other.backend) {
                (Backend::Anywhere, Backend::Anywhere) => true,
                (Backend::Local { selector: a, .. }, Backend::Local { selector: b, .. }) => a == b,
                _ => false,
            }
    }
}

/// What is behind a service, as far as it matters for sharing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the two traffic policies")]
pub enum Backend {
    /// Traffic may enter anywhere (`Cluster`).
    Anywhere,
    /// Traffic must enter where these pods are (`Local`).
    Local {
        /// Namespace of the service.
        namespace: NamespaceName,
        /// Selector of its pods.
        selector: Labels,
    },
}
