//! Writing and reading objects through kube-rs.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Secret, Service};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::{mk_client, mk_definition, mk_server, mk_widget, mk_widgets, refusal};

fn service(value: Value) -> Service {
    let mut object = json!({"apiVersion": "v1", "kind": "Service"});
    json_merge(&mut object, value);
    serde_json::from_value(object).unwrap()
}

fn json_merge(into: &mut Value, from: Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { return };
    into.extend(from);
}

#[tokio::test]
async fn a_custom_resource_gets_defaults_loses_unknown_fields_and_keeps_free_ones() {
    let client = mk_client(&mk_server());
    let widgets = mk_widgets(&client);
    let spec = json!({"size": 3, "unknown": 1, "free": {"any": [1, {"deep": true}]}, "target": "http"});
    let made = widgets.create(&PostParams::default(), &mk_widget("a", &spec)).await.unwrap();
    assert_eq!(
        made.data["spec"],
        json!({"size": 3, "mode": "slow", "free": {"any": [1, {"deep": true}]}, "target": "http"})
    );
    assert_eq!(made.metadata.generation, Some(1));
    assert!(made.uid().is_some() && made.creation_timestamp().is_some());
}

#[tokio::test]
async fn a_broken_custom_resource_is_refused_with_every_wrong_field() {
    let client = mk_client(&mk_server());
    let widgets = mk_widgets(&client);
    let spec = json!({
        "size": 11, "mode": "odd", "label": "ABC", "address": "1.2.3", "tags": ["x", "x"],
        "ports": [{"port": 1}, {"port": 1}, {"name": "n"}], "target": true,
    });
    let (code, reason, mut fields) =
        refusal(widgets.create(&PostParams::default(), &mk_widget("a", &spec)).await);
    fields.sort();
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert_eq!(
        fields,
        [
            "spec.address",
            "spec.label",
            "spec.mode",
            "spec.ports[1]",
            "spec.ports[2].port",
            "spec.size",
            "spec.tags[1]",
            "spec.target"
        ]
    );
}

#[tokio::test]
async fn status_and_spec_are_written_apart_and_only_the_spec_counts_generations() {
    let client = mk_client(&mk_server());
    let widgets = mk_widgets(&client);
    widgets.create(&PostParams::default(), &mk_widget("a", &json!({"size": 1}))).await.unwrap();
    let both = Patch::Merge(json!({"spec": {"size": 2}, "status": {"used": 7}}));
    let spec = widgets.patch("a", &PatchParams::default(), &both).await.unwrap();
    assert_eq!((spec.metadata.generation, spec.data.get("status")), (Some(2), None));
    let both =
        Patch::Merge(json!({"spec": {"size": 9}, "status": {"used": 7}, "metadata": {"labels": {"x": "y"}}}));
    let status = widgets.patch_status("a", &PatchParams::default(), &both).await.unwrap();
    assert_eq!(status.data["spec"]["size"], 2);
    assert_eq!(status.data["status"], json!({"used": 7}));
    assert_eq!((status.metadata.generation, status.metadata.labels), (Some(2), None));
}

#[tokio::test]
async fn a_stale_version_conflicts_and_a_write_without_change_keeps_the_version() {
    let client = mk_client(&mk_server());
    let widgets = mk_widgets(&client);
    let first = widgets.create(&PostParams::default(), &mk_widget("a", &json!({"size": 1}))).await.unwrap();
    let change = Patch::Merge(json!({"spec": {"size": 2}}));
    let second = widgets.patch("a", &PatchParams::default(), &change).await.unwrap();
    assert_ne!(first.resource_version(), second.resource_version());
    let third = widgets.patch("a", &PatchParams::default(), &change).await.unwrap();
    assert_eq!(second.resource_version(), third.resource_version());
    let (code, reason, _) = refusal(widgets.replace("a", &PostParams::default(), &first).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    let stale =
        Patch::Merge(json!({"metadata": {"resourceVersion": first.resource_version()}, "spec": {"size": 5}}));
    assert_eq!(refusal(widgets.patch("a", &PatchParams::default(), &stale).await).0, 409);
}

#[tokio::test]
async fn the_status_endpoint_of_a_service_takes_status_and_metadata_but_not_the_spec() {
    let client = mk_client(&mk_server());
    let services: Api<Service> = Api::default_namespaced(client);
    let lb = service(
        json!({"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}),
    );
    services.create(&PostParams::default(), &lb).await.unwrap();
    let patch = Patch::Merge(json!({
        "metadata": {"annotations": {"metallb.io/ip-allocated-from-pool": "p"}},
        "spec": {"type": "ClusterIP"},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
    }));
    let stored = services.patch_status("web", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(stored.annotations()["metallb.io/ip-allocated-from-pool"], "p");
    assert_eq!(stored.spec.as_ref().unwrap().type_.as_deref(), Some("LoadBalancer"));
    let ingress = stored.status.unwrap().load_balancer.unwrap().ingress.unwrap();
    assert_eq!((ingress[0].ip.as_deref(), ingress[0].ip_mode.as_deref()), (Some("192.0.2.1"), Some("VIP")));
    let change = Patch::Merge(json!({"spec": {"type": "ClusterIP"}}));
    let back = services.patch("web", &PatchParams::default(), &change).await.unwrap();
    assert!(back.status.unwrap().load_balancer.unwrap().ingress.is_none());
    assert!(back.spec.unwrap().ports.unwrap()[0].node_port.is_none());
}

#[tokio::test]
async fn a_dual_stack_service_gets_both_cluster_addresses_and_node_ports() {
    let client = mk_client(&mk_server());
    let services: Api<Service> = Api::default_namespaced(client);
    let web = service(json!({
        "metadata": {"name": "web"},
        "spec": {"type": "LoadBalancer", "ipFamilyPolicy": "PreferDualStack", "externalTrafficPolicy": "Local",
                 "ports": [{"port": 80}]},
    }));
    let spec = services.create(&PostParams::default(), &web).await.unwrap().spec.unwrap();
    assert_eq!(spec.ip_families.unwrap(), ["IPv4", "IPv6"]);
    let addresses = spec.cluster_ips.unwrap();
    assert!(addresses[0].starts_with("10.96.") && addresses[1].starts_with("fd00:10:96::"), "{addresses:?}");
    assert_eq!(spec.cluster_ip.unwrap(), addresses[0]);
    let port = &spec.ports.unwrap()[0];
    assert!((30_000..=32_767).contains(&port.node_port.unwrap()));
    assert!((30_000..=32_767).contains(&spec.health_check_node_port.unwrap()));
    assert_ne!(port.node_port, spec.health_check_node_port);
    let single = Patch::Merge(json!({"spec": {"ipFamilyPolicy": "SingleStack"}}));
    let spec = services.patch("web", &PatchParams::default(), &single).await.unwrap().spec.unwrap();
    assert_eq!((spec.ip_families.unwrap().len(), spec.cluster_ips.unwrap()), (1, vec![addresses[0].clone()]));
}

#[tokio::test]
async fn what_the_real_server_refuses_of_services_is_refused() {
    let client = mk_client(&mk_server());
    let services: Api<Service> = Api::default_namespaced(client);
    let cases = [
        (json!({"ports": [{"port": 0, "targetPort": 1}]}), "spec.ports[0].port"),
        (json!({"type": "LoadBalancer"}), "spec.ports"),
        (json!({"ports": [{"port": 1}], "type": "Odd"}), "spec.type"),
        (json!({"ports": [{"port": 1}, {"port": 2, "name": "b"}]}), "spec.ports[0].name"),
        (json!({"ports": [{"port": 1, "nodePort": 30000}]}), "spec.ports[0].nodePort"),
        (json!({"ports": [{"port": 1, "nodePort": 80}], "type": "NodePort"}), "spec.ports[0].nodePort"),
        (json!({"ports": [{"port": 1}], "clusterIP": "10.96.0.1"}), "spec.clusterIPs[0]"),
        (json!({"ports": [{"port": 1}], "clusterIP": "192.0.2.1"}), "spec.clusterIPs[0]"),
        (json!({"ports": [{"port": 1}], "ipFamilies": ["IPv4", "IPv6"]}), "spec.ipFamilyPolicy"),
        (json!({"ports": [{"port": 1}], "loadBalancerClass": "x.y/z"}), "spec.loadBalancerClass"),
        (
            json!({"ports": [{"port": 1}], "loadBalancerSourceRanges": ["10.0.0.0/8"]}),
            "spec.loadBalancerSourceRanges",
        ),
    ];
    for (spec, field) in cases {
        let object = service(json!({"metadata": {"name": "web"}, "spec": spec}));
        let (code, _, fields) = refusal(services.create(&PostParams::default(), &object).await);
        assert_eq!((code, fields), (422, vec![field.to_owned()]), "{spec}");
    }
}

#[tokio::test]
async fn a_deleted_service_gives_its_addresses_and_ports_back() {
    let client = mk_client(&mk_server());
    let services: Api<Service> = Api::default_namespaced(client);
    let spec =
        json!({"type": "NodePort", "clusterIP": "10.96.7.7", "ports": [{"port": 80, "nodePort": 31000}]});
    for name in ["first", "second"] {
        let object = service(json!({"metadata": {"name": name}, "spec": spec}));
        services.create(&PostParams::default(), &object).await.unwrap();
        let again = service(json!({"metadata": {"name": "again"}, "spec": spec}));
        let (_, _, fields) = refusal(services.create(&PostParams::default(), &again).await);
        assert_eq!(fields, ["spec.clusterIPs[0]", "spec.ports[0].nodePort"]);
        services.delete(name, &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test]
async fn lists_page_through_one_consistent_state() {
    let client = mk_client(&mk_server());
    let widgets = mk_widgets(&client);
    for name in ["a", "b", "c", "d"] {
        widgets.create(&PostParams::default(), &mk_widget(name, &json!({"size": 1}))).await.unwrap();
    }
    let first = widgets.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(2));
    widgets.delete("c", &DeleteParams::default()).await.unwrap();
    widgets.create(&PostParams::default(), &mk_widget("cc", &json!({"size": 1}))).await.unwrap();
    let token = first.metadata.continue_.unwrap();
    let second = widgets.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    let names: Vec<_> = first.items.iter().chain(&second.items).map(ResourceExt::name_any).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!(first.metadata.resource_version, second.metadata.resource_version);
}

#[tokio::test]
async fn selectors_choose_by_label_and_field() {
    let client = mk_client(&mk_server());
    let services: Api<Service> = Api::default_namespaced(client);
    for (name, ty, tier) in
        [("a", "LoadBalancer", "front"), ("b", "ClusterIP", "front"), ("c", "LoadBalancer", "back")]
    {
        let object = service(json!({
            "metadata": {"name": name, "labels": {"tier": tier}}, "spec": {"type": ty, "ports": [{"port": 80}]},
        }));
        services.create(&PostParams::default(), &object).await.unwrap();
    }
    for (labels, fields, expected) in [
        ("tier in (front,back)", "spec.type=LoadBalancer", vec!["a", "c"]),
        ("tier!=back,tier", "", vec!["a", "b"]),
        ("!tier", "", vec!["kubernetes"]),
        ("tier notin (front)", "metadata.name!=kubernetes", vec!["c"]),
    ] {
        let found = services.list(&ListParams::default().labels(labels).fields(fields)).await.unwrap();
        let names: Vec<_> = found.items.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, expected, "{labels} {fields}");
    }
    let unknown = services.list(&ListParams::default().fields("spec.odd=1")).await;
    assert_eq!(refusal(unknown).0, 400);
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_one_goes() {
    let client = mk_client(&mk_server());
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let map = json!({"metadata": {"name": "m", "finalizers": ["example.com/hold"]}});
    maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    maps.delete("m", &DeleteParams::default()).await.unwrap();
    assert!(maps.get("m").await.unwrap().metadata.deletion_timestamp.is_some());
    let add = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}));
    assert_eq!(refusal(maps.patch("m", &PatchParams::default(), &add).await).0, 422);
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("m", &PatchParams::default(), &release).await.unwrap();
    assert!(maps.get_opt("m").await.unwrap().is_none());
}

#[tokio::test]
async fn dependents_go_with_their_owner_unless_they_are_orphaned() {
    let client = mk_client(&mk_server());
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for (policy, survives) in [
        (PropagationPolicy::Background, false),
        (PropagationPolicy::Foreground, false),
        (PropagationPolicy::Orphan, true),
    ] {
        let owner: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "owner"}})).unwrap();
        let owner = maps.create(&PostParams::default(), &owner).await.unwrap();
        let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid()});
        let child = json!({"metadata": {"name": "child", "ownerReferences": [reference]}});
        maps.create(&PostParams::default(), &serde_json::from_value(child).unwrap()).await.unwrap();
        let options = DeleteParams { propagation_policy: Some(policy.clone()), ..DeleteParams::default() };
        maps.delete("owner", &options).await.unwrap();
        assert!(maps.get_opt("owner").await.unwrap().is_none(), "{policy:?}");
        let child = maps.get_opt("child").await.unwrap();
        assert_eq!(child.is_some(), survives, "{policy:?}");
        if let Some(child) = child {
            assert!(child.owner_references().is_empty());
        }
    }
}

#[tokio::test]
async fn names_are_generated_and_missing_namespaces_are_reported() {
    let client = mk_client(&mk_server());
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"generateName": "x-"}})).unwrap();
    let first = maps.create(&PostParams::default(), &map).await.unwrap().name_any();
    let second = maps.create(&PostParams::default(), &map).await.unwrap().name_any();
    assert!(first.starts_with("x-") && first.len() == 7 && first != second, "{first} {second}");
    let elsewhere: Api<ConfigMap> = Api::namespaced(client, "absent");
    assert_eq!(refusal(elsewhere.create(&PostParams::default(), &map).await).0, 404);
}

#[tokio::test]
async fn a_namespace_goes_with_everything_in_it() {
    let client = mk_client(&mk_server());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
    let uid = namespaces.create(&PostParams::default(), &namespace).await.unwrap().uid().unwrap();
    let secrets: Api<Secret> = Api::namespaced(client, "n");
    let secret =
        serde_json::from_value(json!({"metadata": {"name": "s"}, "stringData": {"password": "pw"}})).unwrap();
    let stored = secrets.create(&PostParams::default(), &secret).await.unwrap();
    assert_eq!(stored.data.unwrap()["password"].0, b"pw");
    namespaces.delete("n", &DeleteParams::default()).await.unwrap();
    assert_eq!(refusal(secrets.create(&PostParams::default(), &secret).await).0, 403);
    let gone = kube::runtime::wait::await_condition(
        namespaces,
        "n",
        kube::runtime::wait::conditions::is_deleted(&uid),
    );
    drop(tokio::time::timeout(std::time::Duration::from_secs(5), gone).await.unwrap());
    assert!(secrets.list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_dry_run_answers_and_changes_nothing() {
    let client = mk_client(&mk_server());
    let nodes: Api<Node> = Api::all(client);
    let node: Node = serde_json::from_value(json!({"metadata": {"name": "n1"}})).unwrap();
    let options = PostParams { dry_run: true, ..PostParams::default() };
    assert_eq!(nodes.create(&options, &node).await.unwrap().name_any(), "n1");
    assert!(nodes.get_opt("n1").await.unwrap().is_none());
}

#[tokio::test]
async fn strategic_merge_joins_lists_by_key_and_custom_resources_refuse_it() {
    let client = mk_client(&mk_server());
    let nodes: Api<Node> = Api::all(client.clone());
    let node = json!({
        "metadata": {"name": "n1"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]},
    });
    nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    let patch = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    let patched = nodes.patch_status("n1", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    let conditions = patched.status.unwrap().conditions.unwrap();
    let shown: Vec<_> = conditions.iter().map(|one| (one.type_.as_str(), one.status.as_str())).collect();
    assert_eq!(shown, [("Ready", "False"), ("DiskPressure", "False")]);
    let widgets = mk_widgets(&client);
    widgets.create(&PostParams::default(), &mk_widget("a", &json!({"size": 1}))).await.unwrap();
    let refused = widgets.patch("a", &PatchParams::default(), &Patch::Strategic(json!({}))).await;
    assert_eq!(refusal(refused).0, 415);
}

#[tokio::test]
async fn the_owner_of_the_server_applies_objects_with_their_status() {
    let server = mk_server();
    let applied = server
        .apply(
            "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nstatus: {conditions: [{type: Ready, status: 'True'}]}\n\
             ---\napiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 4}\nstatus: {used: 2}\n",
        )
        .unwrap();
    assert_eq!(applied.iter().map(|object| object.name.as_str()).collect::<Vec<_>>(), ["n1", "w"]);
    let client = mk_client(&server);
    assert_eq!(mk_widgets(&client).get("w").await.unwrap().data["status"], json!({"used": 2}));
    let refused = server
        .apply("apiVersion: v1\nkind: Node\nmetadata: {name: n2}\n---\nkind: Odd\nmetadata: {name: x}\n");
    assert_eq!(
        refused.unwrap_err().to_string(),
        "document 2: Odd \"x\": no matches for kind \"Odd\" in version \"\": not a kind of this server"
    );
}

#[tokio::test]
async fn addresses_beyond_loopback_are_refused() {
    let server = mk_server();
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let refused = server.serve(listener).unwrap_err().to_string();
    assert!(refused.contains("everyone who reaches the address is administrator"), "{refused}");
}

#[tokio::test]
async fn a_request_meant_for_another_host_is_refused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = mk_server();
    let address = server.serve(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    for (host, status) in [
        ("attacker.example", "403"),
        ("127.0.0.1.attacker.example:80", "403"),
        ("localhost", "200"),
        ("127.0.0.1:1", "200"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET /api/v1/secrets HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
        assert_eq!(answer.contains("SecretList"), status == "200", "{host}: {answer}");
    }
}

#[tokio::test]
async fn events_of_both_groups_are_the_same_objects() {
    let client = mk_client(&mk_server());
    let new: Api<k8s_openapi::api::events::v1::Event> = Api::default_namespaced(client.clone());
    let old: Api<k8s_openapi::api::core::v1::Event> = Api::default_namespaced(client);
    let event = json!({
        "metadata": {"name": "e"}, "eventTime": "2025-01-01T00:00:00.000000Z", "action": "Assign",
        "reason": "IPAllocated", "note": "Assigned IP", "type": "Normal", "reportingController": "c",
        "reportingInstance": "i",
        "regarding": {"kind": "Service", "name": "web", "namespace": "default"},
    });
    new.create(&PostParams::default(), &serde_json::from_value(event).unwrap()).await.unwrap();
    let selected = ListParams::default().fields("involvedObject.name=web,type=Normal");
    let found = old.list(&selected).await.unwrap().items;
    assert_eq!(found[0].message.as_deref(), Some("Assigned IP"));
    assert_eq!(found[0].reporting_component.as_deref(), Some("c"));
    let found = new.list(&ListParams::default().fields("regarding.name=web")).await.unwrap().items;
    assert_eq!(found[0].note.as_deref(), Some("Assigned IP"));
    let strayed =
        json!({"metadata": {"name": "f"}, "involvedObject": {"kind": "Service", "namespace": "other"}});
    let refused = old.create(&PostParams::default(), &serde_json::from_value(strayed).unwrap()).await;
    assert_eq!(refusal(refused).2, ["involvedObject.namespace"]);
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused() {
    let server = metallb_apiserver::Server::builder().max_body(2_000).build().unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(mk_client(&server));
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "x".repeat(3_000)}});
    let refused = maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await;
    assert_eq!(refusal(refused).0, 413);
}

#[tokio::test]
async fn a_rule_that_became_stricter_only_blocks_new_errors() {
    let server = mk_server();
    let widgets = mk_widgets(&mk_client(&server));
    widgets.create(&PostParams::default(), &mk_widget("a", &json!({"size": 9}))).await.unwrap();
    let mut definition = mk_definition();
    *definition
        .pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size/maximum")
        .unwrap() = json!(5);
    server.apply_object(&definition).unwrap();
    let options = PatchParams::default();
    let label = Patch::Merge(json!({"spec": {"label": "x"}}));
    widgets.patch("a", &options, &label).await.unwrap();
    widgets.patch_status("a", &options, &Patch::Merge(json!({"status": {"used": 1}}))).await.unwrap();
    let worse = Patch::Merge(json!({"spec": {"size": 10}}));
    assert_eq!(refusal(widgets.patch("a", &options, &worse).await).2, ["spec.size"]);
    let refused = widgets.create(&PostParams::default(), &mk_widget("b", &json!({"size": 9}))).await;
    assert_eq!(refusal(refused).2, ["spec.size"]);
}

#[tokio::test]
async fn a_definition_with_a_rule_that_cannot_be_evaluated_is_refused_and_names_it() {
    let mut definition = mk_definition();
    let schema = definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    schema["x-kubernetes-validations"] = json!([{"rule": "isURL(self.spec.label)", "message": "m"}]);
    let refused =
        metallb_apiserver::Server::builder().crds([definition.clone()]).build().unwrap_err().to_string();
    assert!(refused.contains("undeclared reference to 'isURL'"), "{refused}");
    let schema = definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    schema["x-kubernetes-validations"] =
        json!([{"rule": "self.metadata.name != 'x' || self.spec.size < 5", "message": "too large for x"}]);
    let server = metallb_apiserver::Server::builder().crds([definition]).build().unwrap();
    let widgets = mk_widgets(&mk_client(&server));
    let Err(kube::Error::Api(status)) =
        widgets.create(&PostParams::default(), &mk_widget("x", &json!({"size": 9}))).await
    else {
        panic!("the rule was not evaluated")
    };
    assert_eq!(
        status.message,
        "Widget.example.com \"x\" is invalid: <nil>: Invalid value: \"object\": too large for x"
    );
    widgets.create(&PostParams::default(), &mk_widget("y", &json!({"size": 9}))).await.unwrap();
    // Broken schema and broken rule: the schema comes first, and says so.
    let (_, _, fields) = refusal(
        widgets.create(&PostParams::default(), &mk_widget("x", &json!({"size": 9, "mode": "odd"}))).await,
    );
    assert_eq!(fields, ["spec.mode", "<nil>"]);
}
