//! Built-in kinds beside services: defaults and refusals.

use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
use kube::Api;
use kube::api::{DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use serde_json::{Value, json};

use crate::support::{mk_client, mk_server, refusal};

/// The API of a kind, in the namespace `default` if it has namespaces.
fn kind(
    client: &kube::Client,
    (group, version, kind): (&str, &str, &str),
    namespaced: bool,
) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    if namespaced {
        Api::default_namespaced_with(client.clone(), &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    }
}

fn object(name: &str, content: Value) -> DynamicObject {
    let mut object = json!({"metadata": {"name": name}});
    let (Value::Object(map), Value::Object(content)) = (&mut object, content) else { panic!("not objects") };
    map.extend(content);
    serde_json::from_value(object).unwrap()
}

/// Kind, whether it has namespaces, content, fields that are refused.
type Case = ((&'static str, &'static str, &'static str), bool, Value, Vec<&'static str>);

#[tokio::test]
async fn what_the_real_server_refuses_of_the_kinds_of_a_manifest_is_refused() {
    let client = mk_client(&mk_server());
    let rbac = "rbac.authorization.k8s.io";
    let admission = "admissionregistration.k8s.io";
    let hook = |change: Value| {
        let mut hook = json!({
            "name": "a.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"url": "https://127.0.0.1/x"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["*"]}],
        });
        json_patch::merge(&mut hook, &change);
        json!({"webhooks": [hook]})
    };
    let reference = json!({"kind": "ClusterRole", "name": "x"});
    let cases: Vec<Case> = vec![
        (
            (rbac, "v1", "Role"),
            true,
            json!({"rules": [{"resources": ["pods"]}]}),
            vec!["rules[0].verbs", "rules[0].apiGroups"],
        ),
        (
            (rbac, "v1", "Role"),
            true,
            json!({"rules": [{"nonResourceURLs": ["/x"], "verbs": ["get"]}]}),
            vec!["rules[0].nonResourceURLs"],
        ),
        (
            (rbac, "v1", "ClusterRoleBinding"),
            false,
            json!({"roleRef": {"kind": "Role", "name": "x"}}),
            vec!["roleRef.kind"],
        ),
        (
            (rbac, "v1", "ClusterRoleBinding"),
            false,
            json!({"roleRef": reference, "subjects": [{"kind": "ServiceAccount", "name": "a"}, {"kind": "Odd", "name": "b"}]}),
            vec!["subjects[0].namespace", "subjects[1].kind"],
        ),
        (
            (admission, "v1", "ValidatingWebhookConfiguration"),
            false,
            hook(json!({"name": "short"})),
            vec!["webhooks[0].name"],
        ),
        (
            (admission, "v1", "ValidatingWebhookConfiguration"),
            false,
            hook(json!({"clientConfig": {"url": "http://127.0.0.1"}, "timeoutSeconds": 31})),
            vec!["webhooks[0].timeoutSeconds", "webhooks[0].clientConfig.url"],
        ),
        (
            (admission, "v1", "ValidatingWebhookConfiguration"),
            false,
            hook(json!({"sideEffects": null, "clientConfig": {"service": {"name": "a", "namespace": "b"}}})),
            vec!["webhooks[0].sideEffects", "webhooks[0].clientConfig"],
        ),
        (
            ("batch", "v1", "Job"),
            true,
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}}),
            vec!["spec.template.spec.restartPolicy"],
        ),
        (
            ("policy", "v1", "PodDisruptionBudget"),
            true,
            json!({"spec": {"minAvailable": 1, "maxUnavailable": 1}}),
            vec!["spec"],
        ),
        (("scheduling.k8s.io", "v1", "PriorityClass"), false, json!({"value": 1_000_000_001}), vec!["value"]),
    ];
    for (gvk, namespaced, content, fields) in cases {
        let api = kind(&client, gvk, namespaced);
        let refused = refusal(api.create(&PostParams::default(), &object("x", content.clone())).await);
        let expected: Vec<_> = fields.iter().map(|&field| field.to_owned()).collect();
        assert_eq!((refused.0, refused.2), (422, expected), "{gvk:?} {content}");
    }
}

#[tokio::test]
async fn roles_may_be_named_with_colons_but_not_with_slashes() {
    let client = mk_client(&mk_server());
    let roles: Api<ClusterRole> = Api::all(client);
    let named = |name: &str| serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    roles.create(&PostParams::default(), &named("shop:agent")).await.unwrap();
    roles.get("shop:agent").await.unwrap();
    let refused = refusal(roles.create(&PostParams::default(), &named("shop/agent")).await);
    assert_eq!(refused.2, ["metadata.name"]);
}

#[tokio::test]
async fn the_role_of_a_binding_cannot_be_changed_and_groups_are_filled_in() {
    let client = mk_client(&mk_server());
    let bindings: Api<RoleBinding> = Api::default_namespaced(client);
    let binding = json!({
        "metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}],
    });
    let mut binding: Value = binding;
    binding["roleRef"]["apiGroup"] = json!("");
    let made =
        bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    assert_eq!(made.role_ref.api_group, "rbac.authorization.k8s.io");
    let groups: Vec<_> = made.subjects.unwrap().into_iter().map(|subject| subject.api_group).collect();
    assert_eq!(groups, [Some("rbac.authorization.k8s.io".to_owned()), None]);
    let change = Patch::Merge(json!({"roleRef": {"name": "other"}}));
    let refused = refusal(bindings.patch("b", &PatchParams::default(), &change).await);
    assert_eq!((refused.0, refused.2), (422, vec!["roleRef".to_owned()]));
}

#[tokio::test]
async fn a_job_gets_a_selector_of_its_own_and_keeps_its_template() {
    let client = mk_client(&mk_server());
    let jobs = kind(&client, ("batch", "v1", "Job"), true);
    let spec = json!({"spec": {"template": {"spec": {
        "restartPolicy": "OnFailure", "containers": [{"name": "a", "image": "b"}],
    }}}});
    let made = jobs.create(&PostParams::default(), &object("j", spec)).await.unwrap();
    let uid = made.metadata.uid.unwrap();
    let labels = &made.data["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["batch.kubernetes.io/job-name"], "j");
    assert_eq!(labels["batch.kubernetes.io/controller-uid"], uid);
    assert_eq!(
        made.data["spec"]["selector"]["matchLabels"],
        json!({"batch.kubernetes.io/controller-uid": uid})
    );
    let change = json!({"spec": {"template": {"spec": {"restartPolicy": "Never"}}}});
    let refused = refusal(jobs.patch("j", &PatchParams::default(), &Patch::Merge(change)).await);
    assert_eq!(refused.2, ["spec.template"]);
    let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
    let changed = jobs.patch("j", &PatchParams::default(), &suspend).await.unwrap();
    assert_eq!(changed.metadata.generation, Some(2));
}
