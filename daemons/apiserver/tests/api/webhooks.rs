//! Webhooks that are called: admission and conversion.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use kube::core::ApiResource;
use kube::{Api, Client, ResourceExt};
use metallb_apiserver::Server;
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::support::{mk_client, mk_definition, mk_widget, mk_widgets, refusal};

/// A webhook on loopback, for the service `hooks/hook`.
struct Hook {
    address: SocketAddr,
    /// The certificate of its authority, as a `caBundle`.
    bundle: String,
    seen: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    /// Answers every review by a function.
    async fn start(answer: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Self {
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let bundle = BASE64.encode(authority.self_signed(&authority_key).unwrap().pem());
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["hook.hooks.svc".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, reviews) = (Arc::new(answer), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer, reviews) =
                    (acceptor.clone(), Arc::clone(&answer), Arc::clone(&reviews));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service =
                        hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                            let (answer, reviews) = (Arc::clone(&answer), Arc::clone(&reviews));
                            async move {
                                let body = request.into_body().collect().await?.to_bytes();
                                let review: Value = serde_json::from_slice(&body).unwrap();
                                reviews.lock().unwrap().push(review.clone());
                                let body = Full::new(Bytes::from(answer(&review).to_string()));
                                Ok::<_, hyper::Error>(http::Response::new(body))
                            }
                        });
                    drop(
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        Self { address, bundle, seen }
    }

    fn client_config(&self) -> Value {
        json!({"service": {"name": "hook", "namespace": "hooks", "path": "/review"}, "caBundle": self.bundle})
    }

    /// A configuration of one webhook about config maps and widgets.
    fn configuration(&self, change: &Value) -> Value {
        let operations = ["CREATE", "UPDATE", "DELETE"];
        let mut hook = json!({
            "name": "all.hooks.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": self.client_config(),
            "rules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": operations, "resources": ["configmaps"]},
                {"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": operations, "resources": ["widgets"]},
            ],
        });
        json_patch::merge(&mut hook, change);
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "hooks"}, "webhooks": [hook],
        })
    }

    fn requests(&self) -> Vec<Value> {
        self.seen.lock().unwrap().iter().map(|review| review["request"].clone()).collect()
    }
}

fn reply(review: &Value, response: Value) -> Value {
    let mut response = response;
    response["uid"] = review["request"]["uid"].clone();
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

fn allow(review: &Value) -> Value {
    reply(review, json!({"allowed": true}))
}

fn mk_hooked(hook: &Hook, change: &Value) -> (Server, Client) {
    let server = Server::builder()
        .crds([mk_definition()])
        .service_backend("hooks", "hook", 443, hook.address)
        .build()
        .unwrap();
    server.apply_object(&hook.configuration(change)).unwrap();
    let client = mk_client(&server);
    (server, client)
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

fn message<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> (u16, String, String) {
    let Err(kube::Error::Api(status)) = result else { panic!("expected a refusal, got {result:?}") };
    (status.code, status.reason, status.message)
}

#[tokio::test]
async fn every_kind_of_write_is_reviewed_with_what_was_and_what_will_be() {
    let hook = Hook::start(allow).await;
    let (server, client) = mk_hooked(&hook, &json!({}));
    let widgets = mk_widgets(&client);
    let made = widgets.create(&PostParams::default(), &mk_widget("a", &json!({"size": 1}))).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"size": 2}}));
    widgets.patch("a", &PatchParams::default(), &patch).await.unwrap();
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    widgets.patch("a", &dry, &Patch::Merge(json!({"spec": {"size": 7}}))).await.unwrap();
    let apply = Patch::Apply(
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "b"}, "spec": {"size": 3}}),
    );
    widgets.patch("b", &PatchParams::apply("t"), &apply).await.unwrap();
    // The status has a rule of its own, which nobody asked for.
    widgets
        .patch_status("a", &PatchParams::default(), &Patch::Merge(json!({"status": {"used": 1}})))
        .await
        .unwrap();
    widgets.delete("a", &DeleteParams::default()).await.unwrap();
    widgets.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    assert!(widgets.list(&ListParams::default()).await.unwrap().items.is_empty());
    let shown: Vec<_> = hook
        .requests()
        .iter()
        .map(|request| {
            let size = |field: &str| request[field]["spec"]["size"].clone();
            (
                request["operation"].as_str().unwrap().to_owned(),
                request["name"].as_str().unwrap().to_owned(),
                size("oldObject"),
                size("object"),
                request["dryRun"].as_bool().unwrap(),
            )
        })
        .collect();
    let row = |operation: &str, name: &str, old: Value, new: Value, dry| {
        (operation.to_owned(), name.to_owned(), old, new, dry)
    };
    assert_eq!(
        shown,
        [
            row("CREATE", "a", Value::Null, json!(1), false),
            row("UPDATE", "a", json!(1), json!(2), false),
            row("UPDATE", "a", json!(2), json!(7), true),
            row("CREATE", "b", Value::Null, json!(3), false),
            row("DELETE", "a", json!(2), Value::Null, false),
            row("DELETE", "b", json!(3), Value::Null, false),
        ]
    );
    let first = &hook.requests()[0];
    assert_eq!(first["object"]["metadata"]["uid"], json!(made.uid()));
    assert_eq!(first["object"]["spec"]["mode"], "slow");
    assert_eq!(first["userInfo"]["username"], "system:admin");
    assert_eq!(first["kind"], json!({"group": "example.com", "version": "v1", "kind": "Widget"}));
    assert_eq!(first["namespace"], "default");
    server.shutdown().await;
}

#[tokio::test]
async fn a_refusal_stops_the_write_and_warnings_are_passed_on() {
    let hook = Hook::start(|review| {
        let name = review["request"]["name"].as_str().unwrap_or_default();
        let response = match name {
            "plain" => json!({"allowed": false, "status": {"message": "not this one"}}),
            "coded" => {
                json!({"allowed": false, "status": {"message": "bad", "code": 422, "reason": "Invalid"}})
            }
            "silent" => json!({"allowed": false}),
            _ => json!({"allowed": true, "warnings": ["mind the gap"]}),
        };
        reply(review, response)
    })
    .await;
    let (_server, client) = mk_hooked(&hook, &json!({}));
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let denied = "admission webhook \"all.hooks.example.com\" denied the request";
    for (name, code, reason, text) in [
        ("plain", 400, "", format!("{denied}: not this one")),
        ("coded", 422, "Invalid", format!("{denied}: bad")),
        ("silent", 400, "", format!("{denied} without explanation")),
    ] {
        let refused = message(maps.create(&PostParams::default(), &map(name)).await);
        assert_eq!(refused, (code, reason.to_owned(), text));
        assert!(maps.get_opt(name).await.unwrap().is_none());
    }
    let body = serde_json::to_vec(&map("fine")).unwrap();
    let request = http::Request::post("/api/v1/namespaces/default/configmaps")
        .header("Content-Type", "application/json")
        .body(kube::client::Body::from(body))
        .unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!(response.headers()["warning"], "299 - \"mind the gap\"");
}

#[tokio::test]
async fn a_webhook_that_fails_is_ignored_or_refuses_by_its_policy() {
    let hook = Hook::start(|_| json!({"odd": true})).await;
    let fail = json!({});
    let ignore = json!({"failurePolicy": "Ignore"});
    let url = "https://hook.hooks.svc:443/review?timeout=10s";
    let failed = |why: &str| {
        format!(
            "Internal error occurred: failed calling webhook \"all.hooks.example.com\": failed to call webhook: Post \"{url}\": {why}"
        )
    };
    let (server, client) = mk_hooked(&hook, &fail);
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let create = async || maps.create(&PostParams::default(), &map("m")).await;
    // It answers, but not as it should.
    let refused = message(create().await);
    assert!(
        refused.2.ends_with("received invalid webhook response: webhook response was absent"),
        "{refused:?}"
    );
    // Nobody is there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    server.set_service_backend("hooks", "hook", 443, Some(free));
    let refused = message(create().await);
    assert_eq!((refused.0, refused.1.as_str()), (500, "InternalError"));
    assert_eq!(refused.2, failed(&format!("dial tcp {free}: connect: connection refused")));
    server.set_service_backend("hooks", "hook", 443, None);
    assert_eq!(message(create().await).2, failed("service \"hook\" not found"));
    server
        .apply(
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: hooks}\n---\napiVersion: v1\nkind: Service\n\
             metadata: {name: hook, namespace: hooks}\nspec: {ports: [{port: 443}]}\n",
        )
        .unwrap();
    assert_eq!(message(create().await).2, failed("no endpoints available for service \"hook\""));
    // Somebody else is there.
    let stranger = Hook::start(allow).await;
    server.set_service_backend("hooks", "hook", 443, Some(stranger.address));
    let unknown = failed("tls: failed to verify certificate: x509: certificate signed by unknown authority");
    assert_eq!(message(create().await).2, unknown);
    server.apply_object(&hook.configuration(&ignore)).unwrap();
    create().await.unwrap();
    assert!(stranger.requests().is_empty());
}

#[tokio::test]
async fn a_webhook_that_does_not_answer_is_waited_for_no_longer_than_it_says() {
    let hook = Hook::start(allow).await;
    // Accepts and stays silent.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (server, client) = mk_hooked(&hook, &json!({"timeoutSeconds": 1}));
    server.set_service_backend("hooks", "hook", 443, Some(silent.local_addr().unwrap()));
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let refused = message(maps.create(&PostParams::default(), &map("m")).await);
    assert!(refused.2.ends_with("?timeout=1s\": context deadline exceeded"), "{refused:?}");
}

#[tokio::test]
async fn selectors_choose_namespaces_and_objects() {
    let hook = Hook::start(allow).await;
    let selectors = json!({
        "namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]}]},
        "objectSelector": {"matchLabels": {"watched": "yes"}},
    });
    let (_server, client) = mk_hooked(&hook, &selectors);
    let labelled = |name: &str, value: &str| -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": name, "labels": {"watched": value}}})).unwrap()
    };
    let here: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let system: Api<ConfigMap> = Api::namespaced(client, "kube-system");
    here.create(&PostParams::default(), &labelled("a", "yes")).await.unwrap();
    here.create(&PostParams::default(), &labelled("b", "no")).await.unwrap();
    system.create(&PostParams::default(), &labelled("c", "yes")).await.unwrap();
    // The old object counts too: nobody escapes by taking the label off.
    let off = Patch::Merge(json!({"metadata": {"labels": null}}));
    here.patch("a", &PatchParams::default(), &off).await.unwrap();
    let names: Vec<_> = hook.requests().iter().map(|request| request["name"].clone()).collect();
    assert_eq!(names, ["a", "a"]);
}

#[tokio::test]
async fn a_write_beside_a_slow_webhook_is_seen_and_reviewed_again() {
    let server_slot: Arc<Mutex<Option<Server>>> = Arc::default();
    let slot = Arc::clone(&server_slot);
    // The owner writes the object while the webhook thinks about another write of it.
    let hook = Hook::start(move |review| {
        if let Some(server) = slot.lock().unwrap().take() {
            server
                .apply_object(&json!({
                    "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "default"},
                    "data": {"other": "writer"},
                }))
                .unwrap();
        }
        allow(review)
    })
    .await;
    let (server, client) = mk_hooked(&hook, &json!({}));
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    maps.create(&PostParams::default(), &map("m")).await.unwrap();
    *server_slot.lock().unwrap() = Some(server.clone());
    let patch = Patch::Merge(json!({"data": {"own": "writer"}}));
    let written = maps.patch("m", &PatchParams::default(), &patch).await.unwrap();
    let data = written.data.unwrap();
    assert_eq!(
        data.into_iter().collect::<Vec<_>>(),
        [("other".to_owned(), "writer".to_owned()), ("own".to_owned(), "writer".to_owned())]
    );
    assert_eq!(hook.requests().len(), 3);
}

/// `v1` calls a field `size` that `v2`, the stored version, calls `width`.
fn mk_versions(hook: &Hook) -> Value {
    let version = |name: &str, field: &str, storage: bool| {
        let spec = json!({"type": "object", "properties": {(field): {"type": "integer", "minimum": 1}}});
        json!({
            "name": name, "served": true, "storage": storage, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": spec, "status": {"type": "object", "properties": {"used": {"type": "integer"}}},
            }}},
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "boxes.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "boxes", "kind": "Box"},
            "versions": [version("v1", "size", false), version("v2", "width", true)],
            "conversion": {"strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"], "clientConfig": hook.client_config(),
            }},
        },
    })
}

fn convert(review: &Value) -> Value {
    let request = &review["request"];
    let desired = request["desiredAPIVersion"].as_str().unwrap();
    let (from, to) = if desired == "example.com/v2" { ("size", "width") } else { ("width", "size") };
    let convert = |object: &Value| {
        let mut object = object.clone();
        object["apiVersion"] = json!(desired);
        if let Some(value) =
            object.get_mut("spec").and_then(Value::as_object_mut).and_then(|spec| spec.remove(from))
        {
            object["spec"][to] = value;
        }
        object
    };
    let objects: Vec<_> = request["objects"].as_array().unwrap().iter().map(convert).collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "response": {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects},
    })
}

fn boxes(client: &Client, version: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("example.com", version, "Box");
    Api::default_namespaced_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, "boxes"))
}

fn mk_box(version: &str, name: &str, spec: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": format!("example.com/{version}"), "kind": "Box", "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

async fn mk_converting() -> (Hook, Server, Client) {
    let hook = Hook::start(convert).await;
    let server = Server::builder()
        .crds([mk_versions(&hook)])
        .service_backend("hooks", "hook", 443, hook.address)
        .build()
        .unwrap();
    let client = mk_client(&server);
    (hook, server, client)
}

#[tokio::test]
async fn objects_are_stored_in_one_version_and_shown_in_each() {
    let (hook, _server, client) = mk_converting().await;
    let (old, new) = (boxes(&client, "v1"), boxes(&client, "v2"));
    let made = old.create(&PostParams::default(), &mk_box("v1", "a", &json!({"size": 3}))).await.unwrap();
    assert_eq!(
        (made.types.unwrap().api_version.as_str(), &made.data["spec"]),
        ("example.com/v1", &json!({"size": 3}))
    );
    assert_eq!(new.get("a").await.unwrap().data["spec"], json!({"width": 3}));
    let patch = Patch::Merge(json!({"spec": {"size": 4}}));
    assert_eq!(
        old.patch("a", &PatchParams::default(), &patch).await.unwrap().data["spec"],
        json!({"size": 4})
    );
    new.patch("a", &PatchParams::default(), &Patch::Merge(json!({"spec": {"width": 5}}))).await.unwrap();
    assert_eq!(old.get("a").await.unwrap().data["spec"], json!({"size": 5}));
    let status = Patch::Merge(json!({"status": {"used": 1}}));
    assert_eq!(
        old.patch_status("a", &PatchParams::default(), &status).await.unwrap().data["status"]["used"],
        1
    );
    let apply = Patch::Apply(
        json!({"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": "b"}, "spec": {"size": 6}}),
    );
    old.patch("b", &PatchParams::apply("t"), &apply).await.unwrap();
    assert_eq!(new.get("b").await.unwrap().data["spec"], json!({"width": 6}));
    let wrong = old.create(&PostParams::default(), &mk_box("v1", "c", &json!({"size": 0}))).await;
    assert_eq!(refusal(wrong).2, ["spec.size"]);
    // A list is converted at once.
    let before = hook.seen.lock().unwrap().len();
    let listed = old.list(&ListParams::default()).await.unwrap();
    assert_eq!(
        listed.items.iter().map(|item| item.data["spec"]["size"].clone()).collect::<Vec<_>>(),
        [json!(5), json!(6)]
    );
    assert_eq!(hook.seen.lock().unwrap().len(), before + 1);
    let mut events = old.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let Some(Ok(WatchEvent::Added(first))) = events.next().await else { panic!("no event") };
    assert_eq!((first.name_any().as_str(), &first.data["spec"]), ("a", &json!({"size": 5})));
    old.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(new.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn a_conversion_that_fails_is_reported_in_the_words_of_the_real_server() {
    let (hook, server, client) = mk_converting().await;
    let (old, new) = (boxes(&client, "v1"), boxes(&client, "v2"));
    new.create(&PostParams::default(), &mk_box("v2", "a", &json!({"width": 3}))).await.unwrap();
    server.set_service_backend("hooks", "hook", 443, None);
    // The stored version needs nobody.
    new.get("a").await.unwrap();
    let (code, reason, text) = message(old.get("a").await);
    assert_eq!((code, reason.as_str()), (500, ""));
    assert_eq!(
        text,
        "conversion webhook for example.com/v2, Kind=Box failed: Post \"https://hook.hooks.svc:443/review?timeout=30s\": \
         service \"hook\" not found"
    );
    let liar = Hook::start(|review| {
        let mut answer = convert(review);
        answer["response"]["convertedObjects"][0]["metadata"]["name"] = json!("other");
        answer
    })
    .await;
    let mut definition = mk_versions(&liar);
    server.apply_object(&definition).unwrap();
    server.set_service_backend("hooks", "hook", 443, Some(liar.address));
    let (_, _, text) = message(old.get("a").await);
    assert!(text.ends_with("must have the same name: a != other"), "{text}");
    // The right certificate heals it, for requests that come later.
    definition["spec"]["conversion"]["webhook"]["clientConfig"] = hook.client_config();
    server.apply_object(&definition).unwrap();
    server.set_service_backend("hooks", "hook", 443, Some(hook.address));
    assert_eq!(old.get("a").await.unwrap().data["spec"], json!({"size": 3}));
}

#[tokio::test]
async fn a_webhook_for_one_version_reviews_writes_in_the_other() {
    let (hook, server, client) = mk_converting().await;
    let reviewer = Hook::start(allow).await;
    let rules = json!({
        "clientConfig": {"service": {"name": "reviewer", "namespace": "hooks"}, "caBundle": reviewer.bundle},
        "rules": [{"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["boxes"]}],
    });
    server.set_service_backend("hooks", "reviewer", 443, Some(reviewer.address));
    server.apply_object(&hook.configuration(&rules)).unwrap();
    // The name of the certificate is not that of this service.
    let refused =
        boxes(&client, "v2").create(&PostParams::default(), &mk_box("v2", "a", &json!({"width": 3}))).await;
    assert!(message(refused).2.ends_with("x509: certificate is not valid for the name of the webhook"));
    let mut rules = rules;
    rules["clientConfig"] = reviewer.client_config();
    rules["clientConfig"]["service"]["port"] = json!(8443);
    server.set_service_backend("hooks", "hook", 8443, Some(reviewer.address));
    server.apply_object(&hook.configuration(&rules)).unwrap();
    boxes(&client, "v2")
        .create(&PostParams::default(), &mk_box("v2", "a", &json!({"width": 3})))
        .await
        .unwrap();
    let request = &reviewer.requests()[0];
    assert_eq!(request["object"]["spec"], json!({"size": 3}));
    assert_eq!(
        (&request["kind"]["version"], &request["requestKind"]["version"]),
        (&json!("v1"), &json!("v2"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_shows_refusals_and_applies_old_versions() {
    let hook = Hook::start(|review| {
        if review["kind"] == "ConversionReview" {
            return convert(review);
        }
        let wide = review["request"]["object"]["spec"]["width"].as_i64().unwrap_or(0) > 9;
        reply(
            review,
            if wide {
                json!({"allowed": false, "status": {"message": "too wide"}})
            } else {
                json!({"allowed": true})
            },
        )
    })
    .await;
    let server = || {
        let builder = Server::builder().crds([mk_versions(&hook)]);
        builder.service_backend("hooks", "hook", 443, hook.address).build().unwrap()
    };
    let Some(kubectl) = Kubectl::with(server) else { return };
    let rules = json!({"rules": [{
        "apiGroups": ["example.com"], "apiVersions": ["v2"], "operations": ["*"], "resources": ["boxes"],
    }]});
    kubectl.server.apply_object(&hook.configuration(&rules)).unwrap();
    let manifest = |size: u8| {
        format!("apiVersion: example.com/v1\nkind: Box\nmetadata: {{name: a}}\nspec: {{size: {size}}}\n")
    };
    let file = kubectl.path("box.yaml", &manifest(3));
    assert!(kubectl.run(&["apply", "-f", &file]).contains("box.example.com/a created"));
    assert!(kubectl.run(&["apply", "-f", &file]).contains("unchanged"));
    kubectl.path("box.yaml", &manifest(4));
    assert!(kubectl.run(&["apply", "-f", &file]).contains("configured"));
    assert_eq!(kubectl.run(&["get", "boxes.v2.example.com", "a", "-o", "jsonpath={.spec.width}"]), "4");
    kubectl.path("box.yaml", &manifest(10));
    let refused = kubectl.fail(&["apply", "-f", &file]);
    assert!(
        refused.contains("admission webhook \"all.hooks.example.com\" denied the request: too wide"),
        "{refused}"
    );
    tokio::time::timeout(Duration::from_secs(30), kubectl.server.shutdown()).await.unwrap();
}
