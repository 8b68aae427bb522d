//! What was seen of a cluster at one moment, as a value.

use kube::Client;
use metallb_core::config::Secret;
use metallb_k8s::crd::GROUP;
use metallb_k8s::facts::ClassFilter;
use serde_json::Value;

use crate::cluster::{every, failure};
use crate::connect::ConnectArgs;
use crate::daemon::Daemon;
use crate::document::Document;
use crate::exit::Trouble;
use crate::kinds::{self, Wanted};
use crate::sessions::gather_events;
use crate::voices::{Voices, daemons};
use crate::world::World;

/// Objects of a cluster, and what could not be seen of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Where MetalLB is.
    pub(crate) namespace: String,
    /// The class that is served, when the asker named one.
    pub(crate) class: Option<String>,
    pub(crate) objects: Vec<Value>,
    /// Kinds that the asker may not list, with the server's words.
    pub(crate) refused: Vec<(String, String)>,
    /// Secrets were not asked for.
    pub(crate) without_secrets: bool,
    /// Kinds that the cluster does not know.
    pub(crate) undefined: Vec<String>,
    /// What the daemons say themselves.
    pub(crate) voices: Voices,
}

/// Everything that decides.
const KINDS: [Wanted; 15] = [
    kinds::POOLS,
    kinds::L2_ADVERTISEMENTS,
    kinds::BGP_ADVERTISEMENTS,
    kinds::PEERS,
    kinds::COMMUNITIES,
    kinds::BFD_PROFILES,
    kinds::L2_STATUSES,
    kinds::BGP_STATUSES,
    kinds::STATES,
    kinds::SECRETS,
    kinds::SERVICES,
    kinds::NODES,
    kinds::NAMESPACES,
    kinds::PODS,
    kinds::SLICES,
];

impl Snapshot {
    /// Lists everything that decides, page by page. What the asker may not see is noted, and no error.
    pub(crate) async fn gather(client: &Client, args: &ConnectArgs) -> Result<Self, Trouble> {
        let mut snapshot = Self::of_kinds(client, args, &KINDS).await?;
        if snapshot.of("BGPPeer").next().is_some() {
            snapshot.voices = Voices::hear(client, &snapshot.namespace, &daemons(&snapshot)).await;
            gather_events(client, &mut snapshot).await?;
        }
        Ok(snapshot)
    }

    /// Lists these kinds only.
    pub(crate) async fn of_kinds(
        client: &Client,
        args: &ConnectArgs,
        kinds: &[Wanted],
    ) -> Result<Self, Trouble> {
        let mut snapshot = Self {
            namespace: args.metallb_namespace.clone(),
            class: args.lb_class.clone(),
            without_secrets: kinds.iter().all(|(_, _, kind, ..)| *kind != "Secret"),
            ..Self::default()
        };
        for kind in kinds {
            snapshot.list(client, *kind).await?;
        }
        Ok(snapshot)
    }

    /// Lists a kind; one of ours that may not be listed everywhere is listed where MetalLB is.
    pub(crate) async fn list(&mut self, client: &Client, wanted: Wanted) -> Result<(), Trouble> {
        let (group, version, kind, plural, only_ours) = wanted;
        let objects = &mut self.objects;
        let mut take = |mut object: Value| {
            if let Some(Value::Object(data)) = object.get_mut("data") {
                // Of Secrets, what peers may refer to; nobody asks for the rest.
                data.retain(|name, _| name == "password");
            }
            objects.push(object);
        };
        let mut listed = every(client, &self.namespace, wanted, &mut take).await;
        if group == GROUP && !only_ours && is_forbidden(&listed) {
            let here = (group, version, kind, plural, true);
            listed = every(client, &self.namespace, here, &mut take).await;
        }
        self.note(wanted, listed)
    }

    /// Takes down why a kind could not be listed. Only what is no matter of rights and definitions is an error.
    pub(crate) fn note(&mut self, wanted: Wanted, listed: kube::Result<()>) -> Result<(), Trouble> {
        let (group, _, kind, plural, _) = wanted;
        match listed {
            Err(kube::Error::Api(status)) if status.code == 403 => {
                self.refused.push((kind.to_owned(), status.message.clone()));
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 && group.ends_with(GROUP) => {
                self.undefined.push(kind.to_owned());
                Ok(())
            }
            result => result.map_err(|error| failure(&error, plural, &self.namespace)),
        }
    }

    /// The objects of a kind.
    pub(crate) fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// One object of a namespace.
    pub(crate) fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.of(kind).find(|object| {
            text(object, "/metadata/namespace") == namespace && text(object, "/metadata/name") == name
        })
    }

    /// Whether the objects of a kind could be listed.
    pub(crate) fn sees(&self, kind: &str) -> bool {
        !self.refused.iter().any(|(refused, _)| refused == kind)
    }

    /// The pods of a component of MetalLB.
    pub(crate) fn pods(&self, component: &str) -> impl Iterator<Item = &Value> {
        self.of("Pod").filter(move |pod| {
            let label = |name: &str| pod.pointer("/metadata/labels")?.get(name)?.as_str();
            [label("component"), label("app.kubernetes.io/component")].contains(&Some(component))
        })
    }

    /// The daemons of a component.
    pub(crate) fn daemons(&self, component: &str) -> impl Iterator<Item = Daemon> {
        self.pods(component).filter_map(Daemon::cut)
    }

    /// The class that is served: as the asker says, or as the controller was started.
    pub(crate) fn served_class(&self) -> String {
        let from_pods = || self.daemons("controller").find_map(|it| it.flag("lb-class").map(str::to_owned));
        self.class.clone().or_else(from_pods).unwrap_or_default()
    }

    /// The facts that the daemons decide on. What stands in other namespaces than MetalLB's is not read, as by them.
    pub(crate) fn world(&self) -> World {
        let documents: Vec<Document> = self
            .objects
            .iter()
            .filter(|object| !is_deleted(object))
            .map(|object| Document::of_cluster(object.clone()))
            .collect();
        let mut world = World::new(&documents, &self.namespace, &ClassFilter::new(self.served_class()));
        if self.without_secrets || !self.sees("Secret") {
            // A password that may not be seen is no fault of the peer.
            for peer in self.of("BGPPeer") {
                let name = text(peer, "/spec/passwordSecret/name");
                if !name.is_empty() {
                    world.resources.passwords.insert(name.to_owned(), Ok(Secret::new(UNSEEN)));
                }
            }
        }
        world
    }
}

fn is_forbidden(listed: &kube::Result<()>) -> bool {
    matches!(listed, Err(kube::Error::Api(status)) if status.code == 403)
}

fn is_deleted(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())
}

/// A text in an object; empty when there is none.
pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// In place of a password that may not be seen. It is shown to nobody.
const UNSEEN: &str = "not seen";
