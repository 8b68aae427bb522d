//! The built-in kinds.

use std::sync::Arc;

use super::{Origin, Resource, Version};
use crate::schema::reference;

/// A kind, built up in [`ROWS`].
struct Row {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    schema: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
    status: bool,
    generation: bool,
    selectable: &'static [&'static str],
}

pub(super) fn resources() -> impl Iterator<Item = Resource> {
    ROWS.iter().map(Row::resource)
}

impl Row {
    const fn new(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self {
            group,
            version,
            kind,
            plural,
            schema: "",
            short: &[],
            namespaced: true,
            status: false,
            generation: false,
            selectable: &[],
        }
    }

    const fn schema(mut self, name: &'static str) -> Self {
        self.schema = name;
        self
    }

    const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short = names;
        self
    }

    const fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    const fn status(mut self) -> Self {
        self.status = true;
        self
    }

    const fn generation(mut self) -> Self {
        self.generation = true;
        self
    }

    const fn selectable(mut self, fields: &'static [&'static str]) -> Self {
        self.selectable = fields;
        self
    }

    fn resource(&self) -> Resource {
        let id: Arc<str> = if self.group.is_empty() {
            self.plural.into()
        } else {
            format!("{}.{}", self.plural, self.group).into()
        };
        let version = Version {
            name: self.version.to_owned(),
            schema: Arc::new(reference(self.schema)),
            status: self.status,
            generation: self.generation,
            columns: Vec::new(),
            selectable: self.selectable.iter().map(|&field| field.to_owned()).collect(),
            deprecated: None,
        };
        Resource {
            store: if self.plural == "events" { "events".into() } else { Arc::clone(&id) },
            id,
            group: self.group.to_owned(),
            plural: self.plural.to_owned(),
            singular: self.kind.to_lowercase(),
            kind: self.kind.to_owned(),
            list_kind: format!("{}List", self.kind),
            short_names: self.short.iter().map(|&name| name.to_owned()).collect(),
            categories: if ALL.contains(&self.plural) { vec!["all".to_owned()] } else { Vec::new() },
            namespaced: self.namespaced,
            versions: vec![version],
            storage: self.version.to_owned(),
            origin: Origin::BuiltIn,
        }
    }
}

/// What `kubectl get all` shows.
const ALL: &[&str] = &["pods", "services", "daemonsets", "deployments", "replicasets"];

const ROWS: &[Row] = &[
    Row::new("", "v1", "ConfigMap", "configmaps").schema("io.k8s.api.core.v1.ConfigMap").short(&["cm"]),
    Row::new("", "v1", "Event", "events").schema("io.k8s.api.core.v1.Event").short(&["ev"]).selectable(&[
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ]),
    Row::new("", "v1", "Namespace", "namespaces")
        .schema("io.k8s.api.core.v1.Namespace")
        .short(&["ns"])
        .cluster()
        .status()
        .selectable(&["status.phase"]),
    Row::new("", "v1", "Node", "nodes")
        .schema("io.k8s.api.core.v1.Node")
        .short(&["no"])
        .cluster()
        .status()
        .selectable(&["spec.unschedulable"]),
    Row::new("", "v1", "Pod", "pods").schema("io.k8s.api.core.v1.Pod").short(&["po"]).status().selectable(&[
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ]),
    Row::new("", "v1", "Secret", "secrets").schema("io.k8s.api.core.v1.Secret").selectable(&["type"]),
    Row::new("", "v1", "Service", "services")
        .schema("io.k8s.api.core.v1.Service")
        .short(&["svc"])
        .status()
        .selectable(&["spec.clusterIP", "spec.type"]),
    Row::new("", "v1", "ServiceAccount", "serviceaccounts")
        .schema("io.k8s.api.core.v1.ServiceAccount")
        .short(&["sa"]),
    Row::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")
        .schema("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition")
        .short(&["crd", "crds"])
        .cluster()
        .status()
        .generation(),
    Row::new("apps", "v1", "DaemonSet", "daemonsets")
        .schema("io.k8s.api.apps.v1.DaemonSet")
        .short(&["ds"])
        .status()
        .generation(),
    Row::new("apps", "v1", "Deployment", "deployments")
        .schema("io.k8s.api.apps.v1.Deployment")
        .short(&["deploy"])
        .status()
        .generation(),
    Row::new("apps", "v1", "ReplicaSet", "replicasets")
        .schema("io.k8s.api.apps.v1.ReplicaSet")
        .short(&["rs"])
        .status()
        .generation()
        .selectable(&["status.replicas"]),
    Row::new("coordination.k8s.io", "v1", "Lease", "leases").schema("io.k8s.api.coordination.v1.Lease"),
    Row::new("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
        .schema("io.k8s.api.discovery.v1.EndpointSlice")
        .generation(),
    Row::new("events.k8s.io", "v1", "Event", "events")
        .schema("io.k8s.api.events.v1.Event")
        .short(&["ev"])
        .selectable(&[
            "reason",
            "regarding.kind",
            "regarding.name",
            "regarding.namespace",
            "regarding.uid",
            "type",
        ]),
];
