//! Lists what is left behind, and has it removed.

use std::{collections::BTreeSet, time::Duration};

use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams, PartialObjectMeta},
};
use metallb_core::facts::Node;
use tokio::time::Instant;
use tracing::info;

use super::{Leftovers, NodeLabel, Present};
use crate::{
    crd::GROUP,
    facts::SpeakerNode,
    retry::{Backoff, Retries, Subject, Task},
    watch::Store,
    write::{Identity, Write, Writer, status::OwnKind},
};

/// Where it is seen who is there.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "both are needed")]
pub struct Sources {
    /// Nodes.
    pub nodes: Store<Node>,
    /// Pods that may be speakers.
    pub speakers: Store<SpeakerNode>,
}

/// Removes from MetalLB's namespace what nodes leave behind, for ever. For the leading controller, whose `writer` ends it
/// all the same when it leads no longer.
///
/// Nothing is removed before nodes and Pods have been listed; where they may not be, that is never.
pub async fn sweep(client: Client, namespace: String, sources: Sources, writer: Writer, retries: Retries) {
    sources.nodes.synced().await;
    sources.speakers.synced().await;
    let lists = OwnKind::ALL.map(|kind| {
        let subject = Subject::extra("list", format!("{}.{GROUP}", kind.plural()));
        let api = Api::namespaced_with(client.clone(), &namespace, &kind.resource());
        List { kind, api, task: retries.task(subject, Backoff::default()) }
    });
    Sweep { sources, writer, leftovers: Leftovers::new(), lists }.run().await;
}

struct Sweep {
    sources: Sources,
    writer: Writer,
    leftovers: Leftovers,
    lists: [List; 3],
}

/// One kind of which things may be left.
struct List {
    kind: OwnKind,
    api: Api<DynamicObject>,
    task: Task,
}

impl Sweep {
    async fn run(mut self) {
        let mut next_look = Instant::now() + FIRST_LOOK;
        loop {
            tokio::time::sleep(PERIOD).await;
            if Instant::now() >= next_look {
                self.look().await;
                next_look = Instant::now() + LOOK_PERIOD;
            }
            let due = self.due();
            if !due.is_empty() && self.remove(due).await {
                // Once more, until nothing is found: a list that was too old may have ended early.
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Which nodes' resources are nobody's at this moment.
    fn due(&mut self) -> BTreeSet<NodeLabel> {
        let present = Present::of(&self.sources.nodes, &self.sources.speakers);
        self.leftovers.observe(Instant::now().into_std(), &present)
    }

    /// Finds out which nodes are named at all: some may have gone while nobody led.
    async fn look(&mut self) {
        for list in &mut self.lists {
            let mut params = ListParams::default().limit(PAGE);
            loop {
                let page = list.page(&params).await;
                for node in page.items.iter().filter_map(|object| node_of(list.kind, object)) {
                    self.leftovers.name(node.clone());
                }
                match page.next {
                    Some(next) => params = params.continue_token(&next),
                    None => break,
                }
            }
        }
    }

    /// Has removed what is found of these nodes; returns whether something was.
    async fn remove(&mut self, mut due: BTreeSet<NodeLabel>) -> bool {
        let mut removed = 0_u64;
        let wanted: Vec<NodeLabel> = due.iter().cloned().collect();
        for number in 0..self.lists.len() {
            for nodes in wanted.chunks(NODES_AT_ONCE) {
                removed = removed.saturating_add(self.remove_of(number, nodes, &mut due).await);
            }
        }
        if removed > 0 {
            info!(removed, nodes = due.len(), "removed statuses of speakers that are gone");
            return true;
        }
        for node in &due {
            self.leftovers.swept(node);
        }
        false
    }

    /// The same for one kind and some of the nodes; takes those out of `due` that are not due any more.
    async fn remove_of(&mut self, number: usize, nodes: &[NodeLabel], due: &mut BTreeSet<NodeLabel>) -> u64 {
        let (mut removed, mut token) = (0_u64, None::<String>);
        while let Some(list) = self.lists.get_mut(number) {
            let kind = list.kind;
            let selector = format!("{} in ({})", kind.node_label(), nodes.join(","));
            let mut params = ListParams::default().labels(&selector).limit(PAGE);
            if let Some(token) = &token {
                params = params.continue_token(token);
            }
            let page = list.page(&params).await;
            for batch in page.items.chunks(BATCH) {
                removed = removed.saturating_add(self.submit(kind, batch, due));
                self.pause().await;
                let still = self.due();
                due.retain(|node| still.contains(node));
            }
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        removed
    }

    fn submit(&self, kind: OwnKind, batch: &[Object], due: &BTreeSet<NodeLabel>) -> u64 {
        let mut removed = 0;
        let is_due = |object: &&Object| {
            object.metadata.deletion_timestamp.is_none()
                && node_of(kind, object).is_some_and(|node| due.contains(node))
        };
        for object in batch.iter().filter(is_due) {
            let based_on = Some(Identity::of(&object.metadata));
            self.writer.submit(Write::Remove { kind, name: object.name_any(), based_on });
            removed += 1;
        }
        removed
    }

    /// Waits for a moment, and for as long as the API server does not keep up.
    async fn pause(&self) {
        tokio::time::sleep(PERIOD).await;
        while self.writer.busy() > BATCH {
            tokio::time::sleep(PERIOD).await;
        }
    }
}

/// What is needed of an object.
type Object = PartialObjectMeta<DynamicObject>;

/// One page of a list.
struct Page {
    items: Vec<Object>,
    next: Option<String>,
}

impl List {
    /// Asks until there is an answer. A list that has become too old ends: the next begins anew.
    async fn page(&mut self, params: &ListParams) -> Page {
        loop {
            match self.api.list_metadata(params).await {
                Ok(list) => {
                    self.task.succeeded();
                    let next = list.metadata.continue_.filter(|next| !next.is_empty());
                    return Page { items: list.items, next };
                }
                Err(kube::Error::Api(status)) if status.code == 410 => {
                    return Page { items: Vec::new(), next: None };
                }
                Err(error) => tokio::time::sleep(self.task.failed(&error)).await,
            }
        }
    }
}

/// The node that an object names, if it names one.
fn node_of(kind: OwnKind, object: &Object) -> Option<&NodeLabel> {
    object.labels().get(kind.node_label()).filter(|node| !node.is_empty())
}

/// Between two looks at who is there, and between two batches of removals.
const PERIOD: Duration = Duration::from_secs(1);

/// Between two passes over what is left.
const AGAIN: Duration = Duration::from_secs(10);

/// Removals a second.
const BATCH: usize = 50;

/// How long after the start all resources are read for the first time, so that it is in nobody's way.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// How often they are read again: a write that was late may have come after the sweep.
const LOOK_PERIOD: Duration = Duration::from_secs(60 * 60);

/// Objects in one answer.
const PAGE: u32 = 500;

/// Nodes that one list asks for.
const NODES_AT_ONCE: usize = 50;
