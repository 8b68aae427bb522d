//! Server-side apply: who owns what, what goes, what conflicts.

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Error};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{mk_client, mk_server, mk_widget, mk_widgets};

fn widget(spec: &Value) -> Patch<Value> {
    Patch::Apply(
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": spec}),
    )
}

#[tokio::test]
async fn an_apply_removes_what_its_manager_no_longer_says_and_leaves_the_rest() {
    let client = mk_client(&mk_server());
    let widgets = mk_widgets(&client);
    let (one, two) = (PatchParams::apply("one"), PatchParams::apply("two"));
    let first = json!({"size": 1, "label": "x", "tags": ["a", "b"], "ports": [{"port": 1, "name": "n"}, {"port": 2}]});
    widgets.patch("a", &one, &widget(&first)).await.unwrap();
    let other = json!({"size": 1, "tags": ["c"], "ports": [{"port": 1, "weight": 5}, {"port": 3}]});
    widgets.patch("a", &two, &widget(&other)).await.unwrap();
    let last = widgets.patch("a", &one, &widget(&json!({"size": 1, "tags": ["b"]}))).await.unwrap();
    assert_eq!(
        last.data["spec"],
        json!({"size": 1, "mode": "slow", "tags": ["b", "c"], "ports": [{"port": 1, "weight": 5}, {"port": 3}]})
    );
}

#[tokio::test]
async fn fields_of_others_conflict_unless_equal_or_forced() {
    let client = mk_client(&mk_server());
    let widgets = mk_widgets(&client);
    widgets.patch("a", &PatchParams::apply("one"), &widget(&json!({"size": 1, "label": "x"}))).await.unwrap();
    let two = PatchParams::apply("two");
    widgets.patch("a", &two, &widget(&json!({"size": 1}))).await.unwrap();
    let Err(Error::Api(status)) = widgets.patch("a", &two, &widget(&json!({"size": 1, "label": "y"}))).await
    else {
        panic!("the conflict was not seen");
    };
    assert_eq!(status.code, 409);
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"one\" using example.com/v1: .spec.label"
    );
    let cause = &status.details.unwrap().causes[0];
    assert_eq!((cause.reason.as_str(), cause.field.as_str()), ("FieldManagerConflict", ".spec.label"));
    let forced = two.clone().force();
    widgets.patch("a", &forced, &widget(&json!({"size": 1, "label": "y"}))).await.unwrap();
    let back = widgets.patch("a", &PatchParams::apply("one"), &widget(&json!({"size": 1}))).await.unwrap();
    assert_eq!(
        back.data["spec"]["label"], "y",
        "a field lost to a forced apply is not removed by its former owner"
    );
}

#[tokio::test]
async fn an_update_takes_fields_over_and_an_apply_then_conflicts_with_it() {
    let client = mk_client(&mk_server());
    let services: Api<Service> = Api::default_namespaced(client);
    let config = |port: i32| {
        Patch::Apply(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": port, "name": "p"}]},
        }))
    };
    services.patch("web", &PatchParams::apply("me"), &config(80)).await.unwrap();
    let again = services.patch("web", &PatchParams::apply("me"), &config(80)).await.unwrap();
    assert_eq!(
        again.spec.as_ref().unwrap().ports.as_ref().unwrap().len(),
        1,
        "the default protocol is part of the key"
    );
    let moved = services.patch("web", &PatchParams::apply("me"), &config(81)).await.unwrap();
    let ports = moved.spec.unwrap().ports.unwrap();
    assert_eq!(ports.iter().map(|port| port.port).collect::<Vec<_>>(), [81]);
    let change = Patch::Merge(json!({"spec": {"selector": {"app": "other"}}}));
    services
        .patch(
            "web",
            &PatchParams { field_manager: Some("editor".into()), ..PatchParams::default() },
            &change,
        )
        .await
        .unwrap();
    let Err(Error::Api(status)) = services.patch("web", &PatchParams::apply("me"), &config(81)).await else {
        panic!("the conflict was not seen");
    };
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"editor\" using v1: .spec.selector"
    );
}

#[tokio::test]
async fn status_and_object_are_owned_apart() {
    let client = mk_client(&mk_server());
    let widgets = mk_widgets(&client);
    let applier = PatchParams::apply("c").force();
    widgets.create(&PostParams::default(), &mk_widget("a", &json!({"size": 1}))).await.unwrap();
    let status = Patch::Apply(json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "spec": {"size": 9}, "status": {"used": 3},
    }));
    let written = widgets.patch_status("a", &applier, &status).await.unwrap();
    assert_eq!((&written.data["spec"]["size"], &written.data["status"]["used"]), (&json!(1), &json!(3)));
    let fields = written.metadata.managed_fields.unwrap();
    let own = fields.iter().find(|entry| entry.subresource.as_deref() == Some("status")).unwrap();
    assert_eq!(own.fields_v1.as_ref().unwrap().0, json!({"f:status": {"f:used": {}}}));
    let empty = Patch::Apply(json!({"apiVersion": "example.com/v1", "kind": "Widget", "status": {}}));
    let cleared = widgets.patch_status("a", &applier, &empty).await.unwrap();
    assert_eq!(cleared.data["status"].get("used"), None);
}

fn data() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
    proptest::collection::btree_map("[a-d]", "[xy]", 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// After any sequence of forced applies each field has the value of the last apply that states it, unless that
    /// manager dropped it since.
    #[test]
    fn forced_applies_leave_what_the_model_says(steps in proptest::collection::vec((0_usize..3, data()), 1..10)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = mk_client(&mk_server());
            let maps: Api<ConfigMap> = Api::default_namespaced(client);
            // Field -> value and owners.
            let mut model: std::collections::BTreeMap<String, (String, Vec<usize>)> = std::collections::BTreeMap::new();
            for (manager, data) in steps {
                model.retain(|field, (_, owners)| {
                    if !data.contains_key(field) {
                        let had = owners.contains(&manager);
                        owners.retain(|owner| *owner != manager);
                        return !(had && owners.is_empty());
                    }
                    true
                });
                for (field, value) in &data {
                    let entry = model.entry(field.clone()).or_insert_with(|| (value.clone(), Vec::new()));
                    if entry.0 != *value {
                        *entry = (value.clone(), Vec::new());
                    }
                    if !entry.1.contains(&manager) {
                        entry.1.push(manager);
                    }
                }
                let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data});
                let options = PatchParams::apply(&format!("manager-{manager}")).force();
                let stored = maps.patch("m", &options, &Patch::Apply(config)).await.unwrap();
                let expected: std::collections::BTreeMap<String, String> =
                    model.iter().map(|(field, (value, _))| (field.clone(), value.clone())).collect();
                assert_eq!(stored.data.unwrap_or_default(), expected);
            }
        });
    }
}

#[tokio::test]
async fn nobody_owns_what_the_server_allocates() {
    let client = mk_client(&mk_server());
    let services: Api<Service> = Api::default_namespaced(client);
    let service =
        json!({"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    let made =
        services.create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap();
    let managers = made.metadata.managed_fields.unwrap();
    let fields = &managers[0].fields_v1.as_ref().unwrap().0["f:spec"];
    let owned: Vec<_> = fields.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        owned,
        [
            "f:allocateLoadBalancerNodePorts",
            "f:externalTrafficPolicy",
            "f:internalTrafficPolicy",
            "f:ports",
            "f:sessionAffinity",
            "f:type"
        ]
    );
    assert!(!fields["f:ports"].to_string().contains("nodePort"), "{fields}");
}
