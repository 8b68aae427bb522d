//! The table of built-in kinds: names, versions and what sets a kind apart.

use super::builtin::Row;

/// Every built-in kind, by group.
pub(super) const ROWS: &[Row] = &[
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
    Row::new(ADMISSION, "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations")
        .schema("io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration")
        .cluster()
        .generation(),
    Row::new(ADMISSION, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations")
        .schema("io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration")
        .cluster()
        .generation(),
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
    Row::new(AUTHENTICATION, "v1", "SelfSubjectReview", "selfsubjectreviews")
        .schema("io.k8s.api.authentication.v1.SelfSubjectReview")
        .cluster(),
    Row::new(AUTHENTICATION, "v1", "TokenReview", "tokenreviews")
        .schema("io.k8s.api.authentication.v1.TokenReview")
        .cluster(),
    Row::new(AUTHORIZATION, "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews")
        .schema("io.k8s.api.authorization.v1.LocalSubjectAccessReview"),
    Row::new(AUTHORIZATION, "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews")
        .schema("io.k8s.api.authorization.v1.SelfSubjectAccessReview")
        .cluster(),
    Row::new(AUTHORIZATION, "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews")
        .schema("io.k8s.api.authorization.v1.SelfSubjectRulesReview")
        .cluster(),
    Row::new(AUTHORIZATION, "v1", "SubjectAccessReview", "subjectaccessreviews")
        .schema("io.k8s.api.authorization.v1.SubjectAccessReview")
        .cluster(),
    Row::new("batch", "v1", "Job", "jobs")
        .schema("io.k8s.api.batch.v1.Job")
        .status()
        .generation()
        .selectable(&["status.successful"]),
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
    Row::new("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
        .schema("io.k8s.api.networking.v1.NetworkPolicy")
        .short(&["netpol"])
        .generation(),
    Row::new("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
        .schema("io.k8s.api.policy.v1.PodDisruptionBudget")
        .short(&["pdb"])
        .status()
        .generation(),
    Row::new(RBAC, "v1", "ClusterRole", "clusterroles").schema("io.k8s.api.rbac.v1.ClusterRole").cluster(),
    Row::new(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings")
        .schema("io.k8s.api.rbac.v1.ClusterRoleBinding")
        .cluster(),
    Row::new(RBAC, "v1", "Role", "roles").schema("io.k8s.api.rbac.v1.Role"),
    Row::new(RBAC, "v1", "RoleBinding", "rolebindings").schema("io.k8s.api.rbac.v1.RoleBinding"),
    Row::new("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses")
        .schema("io.k8s.api.scheduling.v1.PriorityClass")
        .short(&["pc"])
        .cluster()
        .generation(),
];

const ADMISSION: &str = "admissionregistration.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
