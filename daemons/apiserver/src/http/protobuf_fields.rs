//! Fields of the messages that `kubectl create` and `helm` send.

/// One field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Absent and zero differ.
    pub(super) pointer: bool,
    pub(super) repeated: bool,
}

/// What a field holds.
#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Bytes,
    Number,
    Flag,
    Message(&'static [Field]),
    /// Text to text, or text to bytes.
    Map {
        bytes: bool,
    },
    IntOrString,
    /// Written by the server only.
    Skip,
}

impl Field {
    pub(super) const fn new(number: u32, name: &'static str, kind: Kind) -> Self {
        Self { number, name, kind, pointer: false, repeated: false }
    }

    pub(super) const fn pointer(mut self) -> Self {
        self.pointer = true;
        self
    }

    pub(super) const fn list(mut self) -> Self {
        self.repeated = true;
        self
    }
}

/// The message of a kind.
pub(super) fn message_of(api_version: &str, kind: &str) -> Option<&'static [Field]> {
    match (api_version, kind) {
        ("v1", "ConfigMap") => Some(CONFIG_MAP),
        ("v1", "Secret") => Some(SECRET),
        ("v1", "Service") => Some(SERVICE),
        ("v1", "Namespace") => Some(NAMESPACE),
        ("v1", "ServiceAccount") => Some(SERVICE_ACCOUNT),
        // The body of a DELETE, as typed clients send it.
        ("v1", "DeleteOptions") => Some(DELETE_OPTIONS),
        ("apps/v1", "Deployment") => Some(DEPLOYMENT),
        (api_version, kind) => super::protobuf_access::message_of(api_version, kind),
    }
}

pub(super) const fn text(number: u32, name: &'static str) -> Field {
    Field::new(number, name, Kind::Text)
}

pub(super) const fn number(number: u32, name: &'static str) -> Field {
    Field::new(number, name, Kind::Number)
}

pub(super) const fn flag(number: u32, name: &'static str) -> Field {
    Field::new(number, name, Kind::Flag)
}

pub(super) const fn inner(number: u32, name: &'static str, fields: &'static [Field]) -> Field {
    Field::new(number, name, Kind::Message(fields))
}

pub(super) const fn labels(number: u32, name: &'static str) -> Field {
    Field::new(number, name, Kind::Map { bytes: false })
}

pub(super) const fn skip(number: u32, name: &'static str) -> Field {
    Field::new(number, name, Kind::Skip)
}

const DELETE_OPTIONS: &[Field] = &[
    number(1, "gracePeriodSeconds").pointer(),
    inner(2, "preconditions", &[text(1, "uid").pointer(), text(2, "resourceVersion").pointer()]),
    flag(3, "orphanDependents").pointer(),
    text(4, "propagationPolicy").pointer(),
    text(5, "dryRun").list(),
];

/// `runtime.Unknown`.
pub(super) const UNKNOWN: &[Field] = &[
    inner(1, "typeMeta", &[text(1, "apiVersion"), text(2, "kind")]),
    Field::new(2, "raw", Kind::Bytes),
    text(3, "contentEncoding"),
    text(4, "contentType"),
];

pub(super) const INT_OR_STRING: &[Field] = &[number(1, "type"), number(2, "intVal"), text(3, "strVal")];

pub(super) const METADATA: &[Field] = &[
    text(1, "name"),
    text(2, "generateName"),
    text(3, "namespace"),
    text(5, "uid"),
    text(6, "resourceVersion"),
    skip(8, "creationTimestamp"),
    labels(11, "labels"),
    labels(12, "annotations"),
    inner(13, "ownerReferences", OWNER).list(),
    text(14, "finalizers").list(),
];

const OWNER: &[Field] = &[
    text(1, "kind"),
    text(3, "name"),
    text(4, "uid"),
    text(5, "apiVersion"),
    flag(6, "controller").pointer(),
    flag(7, "blockOwnerDeletion").pointer(),
];

const CONFIG_MAP: &[Field] = &[
    inner(1, "metadata", METADATA),
    labels(2, "data"),
    Field::new(3, "binaryData", Kind::Map { bytes: true }),
    flag(4, "immutable").pointer(),
];

const SECRET: &[Field] = &[
    inner(1, "metadata", METADATA),
    Field::new(2, "data", Kind::Map { bytes: true }),
    text(3, "type"),
    labels(4, "stringData"),
    flag(5, "immutable").pointer(),
];

const NAMESPACE: &[Field] = &[inner(1, "metadata", METADATA), skip(2, "spec"), skip(3, "status")];

const SERVICE_ACCOUNT: &[Field] = &[
    inner(1, "metadata", METADATA),
    inner(3, "imagePullSecrets", &[text(1, "name")]).list(),
    flag(4, "automountServiceAccountToken").pointer(),
];

const SERVICE: &[Field] =
    &[inner(1, "metadata", METADATA), inner(2, "spec", SERVICE_SPEC), skip(3, "status")];

const SERVICE_SPEC: &[Field] = &[
    inner(1, "ports", SERVICE_PORT).list(),
    labels(2, "selector"),
    text(3, "clusterIP"),
    text(4, "type"),
    text(5, "externalIPs").list(),
    text(7, "sessionAffinity"),
    text(8, "loadBalancerIP"),
    text(9, "loadBalancerSourceRanges").list(),
    text(10, "externalName"),
    text(11, "externalTrafficPolicy"),
    number(12, "healthCheckNodePort"),
    flag(13, "publishNotReadyAddresses"),
    text(17, "ipFamilyPolicy"),
    text(18, "clusterIPs").list(),
    text(19, "ipFamilies").list(),
    flag(20, "allocateLoadBalancerNodePorts").pointer(),
    text(21, "loadBalancerClass"),
    text(22, "internalTrafficPolicy"),
    text(23, "trafficDistribution"),
];

const SERVICE_PORT: &[Field] = &[
    text(1, "name"),
    text(2, "protocol"),
    number(3, "port"),
    Field::new(4, "targetPort", Kind::IntOrString),
    number(5, "nodePort"),
    text(6, "appProtocol"),
];

const DEPLOYMENT: &[Field] =
    &[inner(1, "metadata", METADATA), inner(2, "spec", DEPLOYMENT_SPEC), skip(3, "status")];

const DEPLOYMENT_SPEC: &[Field] = &[
    number(1, "replicas").pointer(),
    inner(2, "selector", SELECTOR),
    inner(3, "template", &[inner(1, "metadata", METADATA), inner(2, "spec", POD_SPEC)]),
    inner(4, "strategy", &[text(1, "type")]),
    number(5, "minReadySeconds"),
    number(6, "revisionHistoryLimit").pointer(),
    flag(7, "paused"),
    number(9, "progressDeadlineSeconds").pointer(),
];

pub(super) const SELECTOR: &[Field] = &[
    labels(1, "matchLabels"),
    inner(2, "matchExpressions", &[text(1, "key"), text(2, "operator"), text(3, "values").list()]).list(),
];

const POD_SPEC: &[Field] = &[
    inner(2, "containers", CONTAINER).list(),
    text(3, "restartPolicy"),
    text(6, "dnsPolicy"),
    labels(7, "nodeSelector"),
    text(8, "serviceAccountName"),
    text(10, "nodeName"),
    flag(11, "hostNetwork"),
];

const CONTAINER: &[Field] = &[
    text(1, "name"),
    text(2, "image"),
    text(3, "command").list(),
    text(4, "args").list(),
    text(5, "workingDir"),
    inner(
        6,
        "ports",
        &[text(1, "name"), number(2, "hostPort"), number(3, "containerPort"), text(4, "protocol")],
    )
    .list(),
    inner(7, "env", &[text(1, "name"), text(2, "value")]).list(),
    text(14, "imagePullPolicy"),
];
