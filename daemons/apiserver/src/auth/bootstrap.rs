//! Roles and bindings that every cluster has.

use serde_json::{Value, json};

const LABEL: &str = "kubernetes.io/bootstrapping";

/// The objects, to be created when the server is built: those that decide what an ordinary client may do before
/// anybody wrote a role, and those that manifests refer to.
pub(crate) fn roles() -> Vec<Value> {
    let everyone = json!([{"kind": "Group", "name": "system:authenticated", "apiGroup": GROUP}]);
    let public = json!([
        {"kind": "Group", "name": "system:authenticated", "apiGroup": GROUP},
        {"kind": "Group", "name": "system:unauthenticated", "apiGroup": GROUP},
    ]);
    let masters = json!([{"kind": "Group", "name": "system:masters", "apiGroup": GROUP}]);
    let urls = |urls: &[&str]| json!([{"nonResourceURLs": urls, "verbs": ["get"]}]);
    let reviews = |group: &str, resources: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": ["create"]});
    let all = json!([
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]);
    let discovery = urls(&[
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ]);
    let information = urls(&["/healthz", "/livez", "/readyz", "/version", "/version/"]);
    let basic = json!([
        reviews(AUTHORIZATION, &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
        reviews(AUTHENTICATION, &["selfsubjectreviews"]),
    ]);
    let delegator = json!([
        reviews(AUTHENTICATION, &["tokenreviews"]),
        reviews(AUTHORIZATION, &["subjectaccessreviews"]),
    ]);
    vec![
        object("ClusterRole", "cluster-admin", &json!({"rules": all})),
        object("ClusterRole", "system:discovery", &json!({"rules": discovery})),
        object("ClusterRole", "system:public-info-viewer", &json!({"rules": information})),
        object("ClusterRole", "system:basic-user", &json!({"rules": basic})),
        object("ClusterRole", "system:auth-delegator", &json!({"rules": delegator})),
        binding("cluster-admin", &masters),
        binding("system:discovery", &everyone),
        binding("system:public-info-viewer", &public),
        binding("system:basic-user", &everyone),
    ]
}

/// Whether an object is one of those.
pub(super) fn is_default(object: &Value) -> bool {
    object.pointer("/metadata/labels").and_then(|labels| labels.get(LABEL)).is_some()
}

fn binding(name: &str, subjects: &Value) -> Value {
    let role = json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": name});
    object("ClusterRoleBinding", name, &json!({"roleRef": role, "subjects": subjects}))
}

fn object(kind: &str, name: &str, content: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": {"name": name, "labels": {(LABEL): "rbac-defaults"}},
    });
    if let (Value::Object(map), Value::Object(content)) = (&mut object, content) {
        map.extend(content.clone());
    }
    object
}

const GROUP: &str = "rbac.authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
