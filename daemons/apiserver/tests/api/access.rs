//! Tokens, reviews, and roles that are enforced.

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SubjectAccessReview};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::{Api, Client};
use metallb_apiserver::Server;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::kubectl::Kubectl;
use crate::support::{mk_client, mk_definition, mk_widget, mk_widgets, refusal};

/// A service account `default/agent` with a role in its namespace and a role for the cluster.
fn manifests(local: &Value, cluster: &Value) -> String {
    format!(
        "
apiVersion: v1
kind: ServiceAccount
metadata: {{name: agent}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: agent}}
rules: {local}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: agent}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: agent}}
subjects: [{{kind: ServiceAccount, name: agent}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: 'agent:all'}}
rules: {cluster}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: 'agent:all'}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'agent:all'}}
subjects: [{{kind: ServiceAccount, name: agent, namespace: default}}]
"
    )
}

/// A strict server and a client with the token of `default/agent`.
fn mk_strict(local: &Value, cluster: &Value) -> (Server, Client) {
    let server = Server::builder().crds([mk_definition()]).strict_rbac(true).build().unwrap();
    server.apply(&manifests(local, cluster)).unwrap();
    let token = server.token_for("default", "agent").unwrap();
    let client = Client::new(server.service().with_token(&token), "default");
    (server, client)
}

fn message<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> String {
    let Err(kube::Error::Api(status)) = result else { panic!("expected a refusal, got {result:?}") };
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    status.message
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

const AGENT: &str = "system:serviceaccount:default:agent";

#[tokio::test]
async fn refusals_have_the_words_of_the_real_server() {
    let (server, client) = mk_strict(&json!([]), &json!([]));
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    assert_eq!(
        message(maps.list(&ListParams::default()).await),
        format!(
            "configmaps is forbidden: User \"{AGENT}\" cannot list resource \"configmaps\" in API group \"\" in the \
             namespace \"default\""
        )
    );
    assert_eq!(
        message(maps.get("m").await),
        format!(
            "configmaps \"m\" is forbidden: User \"{AGENT}\" cannot get resource \"configmaps\" in API group \"\" in \
             the namespace \"default\""
        )
    );
    let widgets = mk_widgets(&client);
    let status = Patch::Merge(json!({"status": {"used": 1}}));
    assert_eq!(
        message(widgets.patch_status("w", &PatchParams::default(), &status).await),
        format!(
            "widgets.example.com \"w\" is forbidden: User \"{AGENT}\" cannot patch resource \"widgets/status\" in \
             API group \"example.com\" in the namespace \"default\""
        )
    );
    let namespaces: Api<Namespace> = Api::all(client.clone());
    assert_eq!(
        message(namespaces.list(&ListParams::default()).await),
        format!(
            "namespaces is forbidden: User \"{AGENT}\" cannot list resource \"namespaces\" in API group \"\" at the \
             cluster scope"
        )
    );
    let metrics = client.request_text(Request::get("/metrics").body(Vec::new()).unwrap()).await;
    assert_eq!(message(metrics), format!("forbidden: User \"{AGENT}\" cannot get path \"/metrics\""));
    // What everybody may: see what there is.
    client.apiserver_version().await.unwrap();
    client.list_api_groups().await.unwrap();
    let refused = server.rbac_usage().refused;
    assert_eq!(refused.len(), 5, "{refused:?}");
    assert!(
        refused
            .iter()
            .any(|refusal| refusal.request.ends_with("\"default\", named \"m\"") && refusal.count == 1)
    );
}

#[tokio::test]
async fn verbs_are_those_of_the_request() {
    type Do = fn(Api<ConfigMap>) -> futures::future::BoxFuture<'static, Result<(), kube::Error>>;
    let cases: Vec<(&str, Do)> = vec![
        ("get", |api| Box::pin(async move { api.get("m").await.map(drop) })),
        ("list", |api| Box::pin(async move { api.list(&ListParams::default()).await.map(drop) })),
        ("watch", |api| Box::pin(async move { api.watch(&WatchParams::default(), "0").await.map(drop) })),
        ("create", |api| {
            Box::pin(async move { api.create(&PostParams::default(), &map("new")).await.map(drop) })
        }),
        ("update", |api| {
            Box::pin(async move { api.replace("m", &PostParams::default(), &map("m")).await.map(drop) })
        }),
        ("patch", |api| {
            Box::pin(async move {
                let patch = Patch::Merge(json!({"data": {"a": "b"}}));
                api.patch("m", &PatchParams::default(), &patch).await.map(drop)
            })
        }),
        ("delete", |api| Box::pin(async move { api.delete("m", &DeleteParams::default()).await.map(drop) })),
        ("deletecollection", |api| {
            Box::pin(async move {
                let only = ListParams::default().labels("none=such");
                api.delete_collection(&DeleteParams::default(), &only).await.map(drop)
            })
        }),
    ];
    for (granted, _) in &cases {
        let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": [granted]}]);
        for (verb, act) in &cases {
            let (server, client) = mk_strict(&rules, &json!([]));
            let admin: Api<ConfigMap> = Api::default_namespaced(mk_client(&server));
            admin.create(&PostParams::default(), &map("m")).await.unwrap();
            let outcome = act(Api::default_namespaced(client)).await;
            assert_eq!(outcome.is_ok(), granted == verb, "{verb} with {granted}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_role_reaches_no_further_than_its_namespace() {
    let rules =
        json!([{"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["get", "list"]}]);
    let (server, client) = mk_strict(&rules, &json!([]));
    server.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n").unwrap();
    let here: Api<ConfigMap> = Api::default_namespaced(client.clone());
    here.list(&ListParams::default()).await.unwrap();
    for elsewhere in [Api::<ConfigMap>::namespaced(client.clone(), "other"), Api::all(client.clone())] {
        message(elsewhere.list(&ListParams::default()).await);
    }
    // A namespace belongs to itself.
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.get("default").await.unwrap();
    message(namespaces.get("other").await);
    message(namespaces.list(&ListParams::default()).await);
}

#[tokio::test]
async fn named_objects_are_listed_and_watched_by_a_field_selector() {
    let rules = json!([{
        "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"],
        "verbs": ["get", "list", "watch", "create", "patch"],
    }]);
    let (_server, client) = mk_strict(&rules, &json!([]));
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let mine = ListParams::default().fields("metadata.name=mine");
    assert!(maps.list(&mine).await.unwrap().items.is_empty());
    drop(maps.watch(&WatchParams::default().fields("metadata.name=mine"), "0").await.unwrap());
    message(maps.list(&ListParams::default()).await);
    message(maps.list(&ListParams::default().fields("metadata.name=other")).await);
    message(maps.watch(&WatchParams::default(), "0").await.map(drop));
    message(maps.get("other").await);
    // A create by POST has no name yet; one by apply has.
    message(maps.create(&PostParams::default(), &map("mine")).await);
    let apply = Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}));
    maps.patch("mine", &PatchParams::apply("t"), &apply).await.unwrap();
}

#[tokio::test]
async fn an_apply_that_creates_needs_both_verbs() {
    let rules = json!([{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["patch"]}]);
    let (server, client) = mk_strict(&rules, &json!([]));
    let widgets = mk_widgets(&client);
    let apply = |size: u8| {
        Patch::Apply(json!({
            "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": size},
        }))
    };
    let refused = message(widgets.patch("w", &PatchParams::apply("t"), &apply(1)).await);
    assert!(refused.contains("cannot create resource \"widgets\""), "{refused}");
    mk_widgets(&mk_client(&server))
        .create(&PostParams::default(), &mk_widget("w", &json!({"size": 2})))
        .await
        .unwrap();
    widgets.patch("w", &PatchParams::apply("t").force(), &apply(1)).await.unwrap();
}

#[tokio::test]
async fn without_strict_rules_a_token_may_do_everything() {
    let server = Server::builder().build().unwrap();
    server.apply(&manifests(&json!([]), &json!([]))).unwrap();
    let token = server.token_for("default", "agent").unwrap();
    let client = Client::new(server.service().with_token(&token), "default");
    Api::<ConfigMap>::all(client).list(&ListParams::default()).await.unwrap();
    assert!(server.rbac_usage().refused.is_empty());
}

#[tokio::test]
async fn tokens_that_nobody_made_or_whose_account_is_gone_are_refused() {
    let (server, client) =
        mk_strict(&json!([]), &json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]));
    let pods: Api<Pod> = Api::all(client);
    pods.list(&ListParams::default()).await.unwrap();
    let stranger = Api::<Pod>::all(Client::new(server.service().with_token("guess\n"), "default"));
    let (code, reason, _) = refusal(stranger.list(&ListParams::default()).await);
    assert_eq!((code, reason.as_str()), (401, "Unauthorized"));
    let accounts: Api<ServiceAccount> = Api::default_namespaced(mk_client(&server));
    accounts.delete("agent", &DeleteParams::default()).await.unwrap();
    assert_eq!(refusal(pods.list(&ListParams::default()).await).0, 401);
    let made_again = serde_json::from_value(json!({"metadata": {"name": "agent"}})).unwrap();
    accounts.create(&PostParams::default(), &made_again).await.unwrap();
    assert_eq!(refusal(pods.list(&ListParams::default()).await).0, 401);
    let missing = server.token_for("default", "absent").unwrap_err().to_string();
    assert_eq!(missing, "there is no service account default/absent; apply it before its token is made");
}

#[tokio::test]
async fn reviews_tell_whose_token_it_is_and_what_they_may() {
    let urls = json!([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]);
    let (server, client) = mk_strict(&json!([]), &urls);
    let admin = mk_client(&server);
    let token = server.token_for("default", "agent").unwrap();
    let ask =
        |token: &str| serde_json::from_value(json!({"metadata": {}, "spec": {"token": token}})).unwrap();
    let reviews: Api<TokenReview> = Api::all(admin.clone());
    let status = reviews.create(&PostParams::default(), &ask(&token)).await.unwrap().status.unwrap();
    let user = status.user.unwrap();
    assert_eq!((status.authenticated, user.username.as_deref()), (Some(true), Some(AGENT)));
    assert_eq!(
        user.groups.unwrap(),
        ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    );
    let status = reviews.create(&PostParams::default(), &ask("guess")).await.unwrap().status.unwrap();
    assert_eq!((status.authenticated, status.error.is_some()), (None, true));

    let access: Api<SubjectAccessReview> = Api::all(admin);
    let may = |path: &str| {
        let spec = json!({"user": AGENT, "nonResourceAttributes": {"path": path, "verb": "get"}});
        serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap()
    };
    let status = access.create(&PostParams::default(), &may("/metrics")).await.unwrap().status.unwrap();
    assert_eq!(
        (status.allowed, status.reason.as_deref()),
        (
            true,
            Some(
                "RBAC: allowed by ClusterRoleBinding \"agent:all\" of ClusterRole \"agent:all\" to ServiceAccount \
                 \"agent/default\""
            )
        )
    );
    assert!(!access.create(&PostParams::default(), &may("/debug")).await.unwrap().status.unwrap().allowed);
    let neither = serde_json::from_value(json!({"metadata": {}, "spec": {"user": "x"}})).unwrap();
    assert_eq!(refusal(access.create(&PostParams::default(), &neither).await).2, ["spec.resourceAttributes"]);

    let own: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let spec = json!({"resourceAttributes": {"verb": "list", "resource": "pods"}});
    let question = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
    assert!(!own.create(&PostParams::default(), &question).await.unwrap().status.unwrap().allowed);
    // Reviews about others need a rule themselves.
    let reviews: Api<TokenReview> = Api::all(client);
    message(reviews.create(&PostParams::default(), &ask(&token)).await);
}

#[tokio::test]
async fn the_usage_names_what_was_needed_and_what_was_not() {
    let local = json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["a", "b"], "verbs": ["get"]},
    ]);
    let cluster = json!([
        {"apiGroups": [""], "resources": ["configmaps", "pods"], "verbs": ["list"]},
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
    ]);
    let (server, client) = mk_strict(&local, &cluster);
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    maps.list(&ListParams::default()).await.unwrap();
    assert_eq!(refusal(maps.get("absent").await).0, 404);
    let access: Api<SubjectAccessReview> = Api::all(mk_client(&server));
    let spec = json!({"user": AGENT, "nonResourceAttributes": {"path": "/metrics", "verb": "get"}});
    let question = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
    access.create(&PostParams::default(), &question).await.unwrap();

    let usage = server.rbac_usage();
    let used: Vec<_> = usage.used.iter().map(|one| format!("{}: {}", one.role, one.permission)).collect();
    // The cluster's bindings are asked first: the local rule for the same list is superfluous.
    assert_eq!(
        used,
        [
            "ClusterRole agent:all: list configmaps",
            "ClusterRole agent:all: get /metrics",
            "Role default/agent: get configmaps"
        ]
    );
    assert!(usage.used.iter().all(|one| one.subjects == [AGENT]));
    assert_eq!(
        usage.unused,
        [
            "ClusterRole agent:all: list pods",
            "Role default/agent: get leases.coordination.k8s.io named \"a\"",
            "Role default/agent: get leases.coordination.k8s.io named \"b\"",
            "Role default/agent: list configmaps",
        ]
    );
    assert!(usage.refused.is_empty(), "{:?}", usage.refused);
}

#[tokio::test]
async fn a_binding_to_a_role_that_is_not_there_is_named_in_the_refusal() {
    let (server, client) = mk_strict(&json!([]), &json!([]));
    server
        .apply(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: dangling}\n\
             roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: absent}\n\
             subjects: [{kind: Group, name: 'system:serviceaccounts', apiGroup: rbac.authorization.k8s.io}]\n",
        )
        .unwrap();
    let refused = message(Api::<Pod>::all(client).list(&ListParams::default()).await);
    assert!(
        refused.ends_with("cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io \"absent\" not found"),
        "{refused}"
    );
}

#[tokio::test]
async fn users_of_other_kinds_and_masters_get_tokens_too() {
    let (server, _) = mk_strict(&json!([]), &json!([]));
    let client = |token: &str| Client::new(server.service().with_token(token), "default");
    let master = client(&server.token_for_user("root", &["system:masters"]));
    Api::<Pod>::all(master).list(&ListParams::default()).await.unwrap();
    let user = client(&server.token_for_user("joe", &["staff"]));
    let refused = message(Api::<Pod>::all(user).list(&ListParams::default()).await);
    assert!(refused.contains("User \"joe\" cannot list"), "{refused}");
}

#[tokio::test]
async fn acting_as_somebody_needs_a_rule() {
    let rules = json!([{"apiGroups": [""], "resources": ["users"], "resourceNames": ["joe"], "verbs": ["impersonate"]}]);
    let (server, _) = mk_strict(&json!([]), &rules);
    let token = server.token_for("default", "agent").unwrap();
    let send = async |token: Option<&str>, user: &str, group: Option<&str>| {
        let mut request = Request::get("/api/v1/pods").header("Impersonate-User", user);
        if let Some(group) = group {
            request = request.header("Impersonate-Group", group);
        }
        let service = match token {
            Some(token) => server.service().with_token(token),
            None => server.service(),
        };
        let response = service.oneshot(request.body(String::new()).unwrap()).await.unwrap();
        let code = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    };
    let (code, body) = send(Some(&token), "joe", None).await;
    assert!(
        code == StatusCode::FORBIDDEN && body.contains("joe\\\" cannot list resource \\\"pods\\\""),
        "{body}"
    );
    let (code, body) = send(Some(&token), "ann", None).await;
    assert!(
        code == StatusCode::FORBIDDEN && body.contains("cannot impersonate resource \\\"users\\\""),
        "{body}"
    );
    let (code, body) = send(Some(&token), "joe", Some("system:masters")).await;
    assert!(
        code == StatusCode::FORBIDDEN && body.contains("cannot impersonate resource \\\"groups\\\""),
        "{body}"
    );
    assert_eq!(send(None, "joe", None).await.0, StatusCode::FORBIDDEN);
    assert_eq!(send(None, "joe", Some("system:masters")).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_makes_tokens_and_asks_what_may_be_done() {
    let strict = || Server::builder().strict_rbac(true).build().unwrap();
    let Some(kubectl) = Kubectl::with(strict) else { return };
    kubectl.run(&["create", "serviceaccount", "agent"]);
    kubectl.run(&["create", "role", "reader", "--verb=get,list", "--resource=configmaps"]);
    kubectl.run(&["create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:agent"]);
    kubectl.run(&["create", "clusterrole", "metrics", "--verb=get", "--non-resource-url=/metrics"]);
    kubectl.run(&[
        "create",
        "clusterrolebinding",
        "metrics",
        "--clusterrole=metrics",
        "--serviceaccount=default:agent",
    ]);
    // Stock clients send a token over TLS only, which this server does not have; the one made here is sent by kube-rs.
    let token = kubectl.run(&["create", "token", "agent", "--duration=1h"]);
    let client = Client::new(kubectl.server.service().with_token(token.trim()), "default");
    Api::<ConfigMap>::default_namespaced(client).list(&ListParams::default()).await.unwrap();
    assert!(kubectl.run(&["auth", "whoami"]).contains("system:admin"));
    assert!(kubectl.run(&["auth", "whoami", "--as", AGENT]).contains("system:serviceaccounts:default"));
    kubectl.run(&["get", "configmaps", "--as", AGENT]);
    assert!(kubectl.fail(&["get", "secrets", "--as", AGENT]).contains("cannot list resource \"secrets\""));
    assert_eq!(kubectl.run(&["auth", "can-i", "list", "configmaps", "--as", AGENT]).trim(), "yes");
    assert_eq!(kubectl.run(&["auth", "can-i", "get", "/metrics", "--as", AGENT]).trim(), "yes");
    kubectl.fail(&["auth", "can-i", "create", "configmaps", "--as", AGENT]);
    let listed = kubectl.run(&["auth", "can-i", "--list", "--as", AGENT]);
    assert!(
        listed.lines().any(|line| line.starts_with("configmaps ") && line.contains("[get list]")),
        "{listed}"
    );
    kubectl.server.shutdown().await;
}
