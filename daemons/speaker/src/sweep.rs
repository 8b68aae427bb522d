//! What earlier owners of this node's services said about them: one list finds it for all services that wait.
//!
//! The list is read in pages by a task of its own and asked for again until there is an answer. What becomes of a page is
//! decided by the owner of the announcements when it comes, by what is known then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::api::ListParams;
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::{Api, Client};
use metallb_core::keys::{NodeName, ServiceKey};
use metallb_k8s::crd::{GROUP, ServiceL2Status};
use metallb_k8s::retry::{Backoff, Retries, Subject, Task};
use metallb_k8s::write::Identity;
use metallb_k8s::write::status::{
    NODE_LABEL, OwnKind, SERVICE_NAME_LABEL, SERVICE_NAMESPACE_LABEL, StatusKind, label_value,
};
use tokio::sync::mpsc;

/// Where the statuses are that are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// MetalLB's namespace.
    pub namespace: String,
    /// This node, whose own statuses are left alone.
    pub node: NodeName,
}

/// Looks for Layer 2 statuses of other nodes about services of this one.
#[derive(Debug)]
pub(crate) struct Sweep {
    waiting: BTreeSet<ServiceKey>,
    /// The services that the list under way is for.
    listed: Option<BTreeSet<ServiceKey>>,
    /// Services about which nodes that lived were left what they said.
    left: BTreeMap<NodeName, BTreeSet<ServiceKey>>,
}

/// A status of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The service it is about.
    pub service: ServiceKey,
    /// The node it is about, as the value of a label.
    pub node: Option<String>,
    /// Its name.
    pub name: String,
    /// The version that was found.
    pub identity: Identity,
}

/// What a list has come to.
#[derive(Debug)]
pub(crate) enum Page {
    /// Some of what stands there.
    Found(Vec<Found>),
    /// That was all.
    End,
}

impl Sweep {
    /// Nothing is looked for yet.
    pub(crate) const fn new() -> Self {
        Self { waiting: BTreeSet::new(), listed: None, left: BTreeMap::new() }
    }

    /// This node owns a service that it did not own before.
    pub(crate) fn look_for(&mut self, service: &ServiceKey) {
        self.waiting.insert(service.clone());
    }

    /// The services for which the next list is, if it is time for one: all that wait.
    pub(crate) fn begin(&mut self) -> Option<BTreeSet<ServiceKey>> {
        if self.waiting.is_empty() || self.listed.is_some() {
            return None;
        }
        let services = std::mem::take(&mut self.waiting);
        self.listed = Some(services.clone());
        Some(services)
    }

    /// What of a page is to be removed. What live nodes said that say that they announce the service (`others`) stays: they
    /// take it away themselves, or are looked at again when they die ([`Sweep::left_by`]).
    pub(crate) fn take(
        &mut self,
        page: Page,
        owns: impl Fn(&ServiceKey) -> bool,
        others: impl Fn(&ServiceKey) -> BTreeSet<NodeName>,
    ) -> Vec<Found> {
        match page {
            Page::Found(mut found) => {
                let (listed, left) = (self.listed.as_ref(), &mut self.left);
                found.retain(|one| {
                    if !listed.is_some_and(|listed| listed.contains(&one.service)) || !owns(&one.service) {
                        return false;
                    }
                    let is_of = |node: &NodeName| one.node.as_ref() == Some(&label_value(node.as_str()));
                    let Some(node) = others(&one.service).into_iter().find(is_of) else { return true };
                    // It may die before the last page comes.
                    left.entry(node).or_default().insert(one.service.clone());
                    false
                });
                found
            }
            Page::End => {
                for service in self.listed.take().unwrap_or_default() {
                    for node in others(&service) {
                        self.left.entry(node).or_default().insert(service.clone());
                    }
                }
                Vec::new()
            }
        }
    }

    /// The services about which a node that is gone now may have left something.
    pub(crate) fn left_by(&mut self, gone: &NodeName) -> BTreeSet<ServiceKey> {
        self.left.remove(gone).unwrap_or_default()
    }
}

/// Lists what there is about these services, for ever when nobody answers; ends early when nobody takes the pages.
pub(crate) async fn list(
    client: Client,
    place: Place,
    services: BTreeSet<ServiceKey>,
    retries: Retries,
    pages: mpsc::Sender<Page>,
) {
    let api: Api<ServiceL2Status> = Api::namespaced(client, &place.namespace);
    let resource = format!("{}.{GROUP}", OwnKind::Service(StatusKind::Layer2).plural());
    let mut task = retries.task(Subject::extra("list", resource), Backoff::default());
    let first = ListParams::default().labels(&selector(&place.node, &services)).limit(PAGE);
    let mut params = first.clone();
    loop {
        let Some(page) = ask(&api, &params, &mut task).await else {
            // The list has become too old to be continued, or nobody knows it any more: a server that was restored says
            // anything about it.
            params = first.clone();
            continue;
        };
        let found = page.items.into_iter().filter_map(|object| found(object.metadata)).collect();
        if pages.send(Page::Found(found)).await.is_err() {
            return;
        }
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params = first.clone().continue_token(&next),
            None => break,
        }
    }
    if pages.send(Page::End).await.is_err() {
        tracing::debug!("nobody takes what was found about earlier owners");
    }
}

/// One page; the first is asked for until there is an answer. `None` when the list has to begin anew.
async fn ask(
    api: &Api<ServiceL2Status>,
    params: &ListParams,
    task: &mut Task,
) -> Option<kube::core::ObjectList<PartialObjectMeta<ServiceL2Status>>> {
    loop {
        match api.list_metadata(params).await {
            Ok(list) => {
                task.succeeded();
                return Some(list);
            }
            Err(kube::Error::Api(status)) if status.code == 410 && params.continue_token.is_some() => {
                tokio::time::sleep(AGAIN).await;
                return None;
            }
            Err(error) => tokio::time::sleep(task.failed(&error)).await,
        }
        if params.continue_token.is_some() {
            return None;
        }
    }
}

/// Of few services the server picks out what concerns them; of many it would name most of what there is.
fn selector(node: &NodeName, services: &BTreeSet<ServiceKey>) -> String {
    let others = format!("{NODE_LABEL}!={}", label_value(node.as_str()));
    if services.len() > FEW {
        return others;
    }
    let names: BTreeSet<String> = services.iter().map(|service| label_value(service.name())).collect();
    let names: Vec<String> = names.into_iter().collect();
    format!("{others},{SERVICE_NAME_LABEL} in ({})", names.join(","))
}

/// `None` for what says nothing about a service.
fn found(metadata: ObjectMeta) -> Option<Found> {
    let identity = Identity::of(&metadata);
    let labels = metadata.labels.unwrap_or_default();
    let service = ServiceKey::new(labels.get(SERVICE_NAMESPACE_LABEL)?, labels.get(SERVICE_NAME_LABEL)?);
    Some(Found { service, node: labels.get(NODE_LABEL).cloned(), name: metadata.name?, identity })
}

/// Before a list begins anew.
const AGAIN: Duration = Duration::from_secs(1);

/// Objects in one answer.
const PAGE: u32 = 500;

/// Services that are named in a list.
const FEW: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> ServiceKey {
        ServiceKey::new("default", name)
    }

    fn by(node: &str, name: &str) -> Found {
        Found {
            service: service(name),
            node: Some(node.to_owned()),
            name: format!("{name}-{node}"),
            identity: Identity::new(name, "1"),
        }
    }

    fn nodes(names: &[&str]) -> BTreeSet<NodeName> {
        names.iter().map(|name| NodeName::new(*name)).collect()
    }

    #[test]
    fn one_list_is_for_all_that_wait_and_the_next_for_those_that_came_meanwhile() {
        let mut sweep = Sweep::new();
        assert_eq!(sweep.begin(), None);
        sweep.look_for(&service("a"));
        sweep.look_for(&service("b"));
        assert_eq!(sweep.begin(), Some([service("a"), service("b")].into()));
        sweep.look_for(&service("c"));
        assert_eq!(sweep.begin(), None, "one is under way");
        let found = || vec![by("node2", "a"), by("node2", "c"), by("node3", "other")];
        let stale = sweep.take(Page::Found(found()), |_| true, |_| nodes(&[]));
        assert_eq!(stale, [by("node2", "a")]);
        assert_eq!(sweep.take(Page::End, |_| true, |_| nodes(&[])), []);
        assert_eq!(sweep.begin(), Some([service("c")].into()));
        assert_eq!(sweep.take(Page::Found(found()), |_| true, |_| nodes(&[])), [by("node2", "c")]);
    }

    #[test]
    fn what_is_known_when_a_page_comes_decides() {
        let mut sweep = Sweep::new();
        sweep.look_for(&service("a"));
        sweep.begin();
        let page = || Page::Found(vec![by("node2", "a"), by("node3", "a")]);
        assert_eq!(sweep.take(page(), |_| false, |_| nodes(&[])), [], "it is somebody else's by now");
        assert_eq!(sweep.take(page(), |_| true, |_| nodes(&["node2"])), [by("node3", "a")]);
        assert_eq!(
            sweep.left_by(&NodeName::new("node2")),
            [service("a")].into(),
            "it dies between two pages"
        );
        sweep.take(Page::End, |_| true, |_| nodes(&["node2"]));
        assert_eq!(sweep.left_by(&NodeName::new("node3")), [].into());
        assert_eq!(sweep.left_by(&NodeName::new("node2")), [service("a")].into());
        assert_eq!(sweep.left_by(&NodeName::new("node2")), [].into(), "once");
    }

    #[test]
    fn few_services_are_named_and_many_are_not() {
        let (node, named) = (NodeName::new("node1"), [service("a"), ServiceKey::new("other", "a")].into());
        let selected = selector(&node, &named);
        assert_eq!(selected, "metallb.io/node!=node1,metallb.io/service-name in (a)");
        let many = (0..10_000).map(|number| service(&format!("s{number}"))).collect();
        assert_eq!(selector(&node, &many), "metallb.io/node!=node1");
    }
}
