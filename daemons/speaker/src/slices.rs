//! Endpoints of the services that this speaker may have to announce.

use std::collections::BTreeSet;
use std::sync::Arc;

use metallb_core::facts::Endpoints;
use metallb_core::keys::ServiceKey;
use metallb_k8s::facts::{SliceIndex, SliceRecord};
use metallb_k8s::watch::ObjectKey;

/// The slices of all services there are. Most clusters have many more services than are announced: those of others are only
/// kept, so that they are at hand when one of them is to be announced.
#[derive(Debug, Default)]
pub(crate) struct Slices {
    index: SliceIndex,
    followed: BTreeSet<ServiceKey>,
}

impl Slices {
    /// Takes note of a slice, or with `None` that it went. Returns the followed services whose endpoints may be others now.
    pub(crate) fn apply(
        &mut self,
        key: &ObjectKey,
        slice: Option<Arc<SliceRecord>>,
    ) -> impl Iterator<Item = ServiceKey> {
        let touched = self.index.apply(key, slice);
        touched.into_iter().filter(|service| self.followed.contains(service))
    }

    /// Whether a service may have to be announced. True when its endpoints are others now: there are some, or none.
    pub(crate) fn follow(&mut self, service: &ServiceKey, follows: bool) -> bool {
        if follows { self.followed.insert(service.clone()) } else { self.followed.remove(service) }
    }

    /// The endpoints of a followed service; `None` when none can serve.
    pub(crate) fn endpoints(&self, service: &ServiceKey) -> Option<Endpoints> {
        self.followed.contains(service).then(|| self.index.endpoints(service))?
    }
}

#[cfg(test)]
mod tests {
    use metallb_k8s::facts::objects;
    use serde_json::json;

    use super::*;

    fn slice(nodes: &[&str]) -> Option<Arc<SliceRecord>> {
        let endpoints: Vec<_> =
            nodes.iter().map(|node| json!({ "addresses": ["10.1.0.1"], "nodeName": node })).collect();
        let object = json!({
            "metadata": { "namespace": "default", "labels": { "kubernetes.io/service-name": "web" } },
            "addressType": "IPv4", "endpoints": endpoints,
        });
        let object: objects::EndpointSlice = serde_json::from_value(object).unwrap();
        SliceRecord::cut(&object).map(Arc::new)
    }

    #[test]
    fn slices_of_services_of_others_are_kept_and_cost_nothing_until_they_are_ours() {
        let mut slices = Slices::default();
        let service = ServiceKey::new("default", "web");
        let [first, second] = ["web-1", "web-2"].map(|name| ObjectKey::namespaced("default", name));
        let nodes = |slices: &Slices| slices.endpoints(&service).map(|endpoints| endpoints.nodes().len());
        assert_eq!(slices.apply(&first, slice(&["a", "b"])).count(), 0);
        assert_eq!(slices.apply(&second, slice(&["c"])).count(), 0);
        assert_eq!(nodes(&slices), None);

        assert!(slices.follow(&service, true) && !slices.follow(&service, true));
        assert_eq!(nodes(&slices), Some(3), "all of them at once");
        assert!(slices.apply(&first, None).eq([service.clone()]));
        assert_eq!(nodes(&slices), Some(1));

        assert!(slices.follow(&service, false) && !slices.follow(&service, false));
        assert_eq!(slices.apply(&second, None).count(), 0);
        assert!(slices.follow(&service, true));
        assert_eq!(nodes(&slices), None);
    }
}
