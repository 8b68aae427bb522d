//! The webhooks' port, as the API server would call it, and the certificates behind it.

use std::path::Path;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use metallb_k8s::webhook::certificate::{Material, host_name, issue};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::controller;
use super::harness::daemon::free_port;
use super::harness::{Cluster, Daemon, NAMESPACE, eventually};

const SECRET: &str = "metallb-webhook-cert";
const SERVICE: &str = "metallb-webhook-service";
const CONFIGURATION: &str = "metallb-webhook-configuration";
const POOLS: &str = "/validate-metallb-io-v1beta1-ipaddresspool";

/// A controller with webhooks on a port of its own.
struct Site {
    cluster: Cluster,
    daemon: Daemon,
    port: u16,
}

impl Site {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        configure(&cluster);
        let (daemon, port) = serving(&cluster, &[]);
        daemon.ready().await;
        Self { cluster, daemon, port }
    }

    fn secrets(&self) -> Api<Secret> {
        self.cluster.system()
    }

    /// Waits until the API server trusts whoever signed what is shown, and is something else than before.
    async fn trusted(&self, before: &str) -> String {
        trusted(&self.cluster, self.port, before).await
    }
}

pub(crate) fn serving(cluster: &Cluster, args: &[&str]) -> (Daemon, u16) {
    let port = free_port();
    let flag = format!("--webhook-port={port}");
    let args: Vec<&str> = ["--webhook-mode=enabled", flag.as_str()].iter().chain(args).copied().collect();
    (controller(cluster, &args), port)
}

/// The webhook configuration as a manifest has it.
fn configure(cluster: &Cluster) {
    let service = json!({ "name": SERVICE, "namespace": NAMESPACE, "path": POOLS });
    let webhook = |name: &str| {
        json!({
            "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Ignore",
            "clientConfig": { "service": service },
            "rules": [{
                "apiGroups": ["metallb.io"], "apiVersions": ["v1beta1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["nothings"],
            }],
        })
    };
    cluster.server.apply_object(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": CONFIGURATION },
        "webhooks": [webhook("one.metallb.io"), webhook("two.metallb.io")],
    }));
}

async fn trusted(cluster: &Cluster, port: u16, before: &str) -> String {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(cluster.client.clone());
    eventually("the authority is in every webhook and the certificate is signed by it", async || {
        let found = api.get(CONFIGURATION).await.unwrap().webhooks.unwrap_or_default();
        let bundles: Option<Vec<ByteString>> =
            found.into_iter().map(|webhook| webhook.client_config.ca_bundle).collect();
        let bundles = bundles?;
        let bundle = String::from_utf8(bundles.first()?.0.clone()).unwrap();
        let same = bundles.iter().all(|other| other.0 == bundle.as_bytes());
        (same && bundle != before).then_some(())?;
        connect(port, &bundle).await.map(|_| bundle)
    })
    .await
}

type Connection = tokio_rustls::client::TlsStream<TcpStream>;

/// Connects as the API server does: by the name of the Service, trusting this authority alone.
async fn connect(port: u16, authority: &str) -> Option<Connection> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let name = ServerName::try_from(host_name(SERVICE, NAMESPACE)).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()
}

/// Sends a request, perhaps saying that its body is longer than it is; returns status and body.
async fn send(port: u16, authority: &str, path: &str, body: &str, length: usize) -> (u16, String) {
    let mut connection = connect(port, authority).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: webhook\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    if let Err(error) = connection.read_to_string(&mut answer).await {
        assert_ne!(answer, "", "{error}");
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn post(port: u16, authority: &str, path: &str, body: &Value) -> (u16, Value) {
    let text = body.to_string();
    let (status, answer) = send(port, authority, path, &text, text.len()).await;
    (status, serde_json::from_str(&answer).unwrap_or(Value::String(answer)))
}

fn new_pool(name: &str, addresses: &[&str]) -> Value {
    let kind = json!({ "group": "metallb.io", "version": "v1beta1", "kind": "IPAddressPool" });
    let resource = json!({ "group": "metallb.io", "version": "v1beta1", "resource": "ipaddresspools" });
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "42", "kind": kind, "resource": resource, "name": name, "namespace": NAMESPACE,
            "operation": "CREATE", "userInfo": {},
            "object": {
                "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
                "metadata": { "name": name, "namespace": NAMESPACE }, "spec": { "addresses": addresses },
            },
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_reviewed_against_what_there_is() {
    let site = Site::start().await;
    let authority = site.trusted("").await;
    site.cluster.pool("web", &["192.0.2.0/24"]);
    let refusal = eventually("the watch shows the pool", async || {
        let (status, answer) = post(site.port, &authority, POOLS, &new_pool("b", &["192.0.2.7/32"])).await;
        assert_eq!((status, &answer["response"]["uid"]), (200, &json!("42")), "{answer}");
        (answer["response"]["allowed"] == false).then_some(answer)
    })
    .await;
    let message = refusal["response"]["status"]["message"].as_str().unwrap();
    assert!(message.contains("overlaps with already defined CIDR \"192.0.2.0/24\""), "{message}");
    let (_, answer) = post(site.port, &authority, POOLS, &new_pool("b", &["198.51.100.7/24"])).await;
    assert_eq!(answer["response"]["allowed"], true);
    assert!(
        answer["response"]["warnings"][0].as_str().unwrap().contains("means 198.51.100.0-198.51.100.255")
    );
    site.daemon.says(&["change refused", "IPAddressPool"]).await;
}

fn new_community(name: &str) -> Value {
    let mut review = new_pool(name, &[]);
    let request = &mut review["request"];
    request["kind"]["kind"] = json!("Community");
    request["resource"]["resource"] = json!("communities");
    request["object"]["kind"] = json!("Community");
    request["object"]["spec"] = json!({ "communities": [] });
    review
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_may_not_be_listed_is_named_where_it_is_needed_and_other_reviews_go_on() {
    let cluster = Cluster::start().await;
    configure(&cluster);
    cluster.front.refuse(|request| request.path.ends_with("/communities").then_some(403));
    let (daemon, port) = serving(&cluster, &[]);
    daemon.lacks(&["not allowed to list communities.metallb.io"]).await;
    let authority = trusted(&cluster, port, "").await;
    let communities = "/validate-metallb-io-v1beta1-community";
    let refusal = eventually("it is known that the kind may not be listed", async || {
        let (status, answer) = post(port, &authority, communities, &new_community("c")).await;
        (status == 200).then_some(answer)
    })
    .await;
    let response = &refusal["response"];
    assert_eq!(
        (&response["allowed"], &response["status"]["code"]),
        (&json!(false), &json!(503)),
        "{refusal}"
    );
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains("communities.metallb.io") && message.contains("Role"), "{message}");
    let (status, answer) = post(port, &authority, POOLS, &new_pool("a", &["192.0.2.0/24"])).await;
    assert_eq!((status, &answer["response"]["allowed"]), (200, &json!(true)), "{answer}");
    cluster.front.relent();
    eventually("it is judged once it may be listed", async || {
        let (_, answer) = post(port, &authority, communities, &new_community("c")).await;
        (answer["response"]["allowed"] == true).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_review_is_refused_and_what_is_too_long_is_not_read() {
    let site = Site::start().await;
    let authority = site.trusted("").await;
    let peer = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "BGPPeer", "metadata": { "name": "r" },
        "spec": { "myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1" },
    });
    let conversion = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "request": { "uid": "7", "desiredAPIVersion": "metallb.io/v1beta2", "objects": [peer] },
    });
    let (status, answer) = post(site.port, &authority, "/convert", &conversion).await;
    assert_eq!((status, &answer["response"]["result"]["status"]), (200, &json!("Success")), "{answer}");
    assert_eq!(answer["response"]["convertedObjects"][0]["apiVersion"], "metallb.io/v1beta2");
    for path in ["/convert", POOLS] {
        assert_eq!(post(site.port, &authority, path, &json!({ "no": "review" })).await.0, 400, "{path}");
        assert_eq!(send(site.port, &authority, path, "", 3 * 1024 * 1024 + 1).await.0, 413, "{path}");
    }
    let other = "/validate-metallb-io-v1beta1-community";
    assert_eq!(post(site.port, &authority, other, &new_pool("p", &["192.0.2.0/24"])).await.0, 400);
    assert_eq!(post(site.port, &authority, "/validate", &json!({})).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_lost_or_broken_is_made_anew_and_trusted() {
    let site = Site::start().await;
    let first = site.trusted("").await;
    // The controller is too quick for anybody to see that it is gone.
    site.secrets().delete(SECRET, &DeleteParams::default()).await.unwrap();
    let second = site.trusted(&first).await;
    let broken = json!({ "data": { "tls.crt": ByteString(b"rubbish".to_vec()) } });
    site.secrets().patch(SECRET, &PatchParams::default(), &Patch::Merge(broken)).await.unwrap();
    let words = ["made a new webhook certificate", "a certificate or key in it cannot be read"];
    site.daemon.says(&words).await;
    let third = site.trusted("").await;
    assert_eq!(third, second, "the authority was not broken");
    let lines = site.daemon.log();
    let said = lines.iter().filter(|line| line.contains("made a new webhook certificate")).count();
    assert_eq!(said, 1, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_somebody_removed_is_put_back() {
    let site = Site::start().await;
    let authority = site.trusted("").await;
    configure_without_trust(&site.cluster).await;
    assert_eq!(site.trusted("").await, authority);
}

async fn configure_without_trust(cluster: &Cluster) {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(cluster.client.clone());
    let mut found = api.get(CONFIGURATION).await.unwrap();
    for webhook in found.webhooks.iter_mut().flatten() {
        webhook.client_config.ca_bundle = None;
    }
    api.replace(CONFIGURATION, &kube::api::PostParams::default(), &found).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_near_its_end_is_renewed_at_the_start() {
    let cluster = Cluster::start().await;
    configure(&cluster);
    let host = host_name(SERVICE, NAMESPACE);
    let long_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * 330);
    let old = issue(long_ago, &host, None).unwrap();
    put(&cluster, &old);
    let (daemon, port) = serving(&cluster, &[]);
    daemon.says(&["made a new webhook certificate", "expires soon"]).await;
    assert_eq!(trusted(&cluster, port, "").await, old.authority, "the same authority signed it");
    let secret = cluster.system::<Secret>().get(SECRET).await.unwrap();
    let new = Material::of_secret(&secret.data.unwrap()).unwrap();
    assert_ne!(new.certificate, old.certificate);
}

fn put(cluster: &Cluster, material: &Material) {
    cluster.server.apply_object(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SECRET, "namespace": NAMESPACE },
        "data": material.secret_data(),
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_controllers_that_start_at_once_agree_on_a_certificate_and_both_serve() {
    let cluster = Cluster::start().await;
    configure(&cluster);
    let only = ["--webhook-mode=onlywebhook"];
    let (one, first) = serving(&cluster, &only);
    let (two, second) = serving(&cluster, &only);
    one.ready().await;
    two.ready().await;
    let authority = trusted(&cluster, first, "").await;
    assert_eq!(trusted(&cluster, second, "").await, authority);
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> = cluster.system();
    assert!(leases.list(&kube::api::ListParams::default()).await.unwrap().items.is_empty(), "nobody leads");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rotation_the_files_are_used_once_they_are_there() {
    let cluster = Cluster::start().await;
    let files = tempfile::tempdir().unwrap();
    let directory = format!("--cert-dir={}", files.path().display());
    let (daemon, port) = serving(&cluster, &["--disable-cert-rotation", &directory]);
    daemon.says(&["cannot use the certificate", "tls.crt"]).await;
    daemon.says(&["caches are synced"]).await;
    assert_eq!(daemon.probe("/readyz").await, Some(503));
    let material = issue(jiff::Timestamp::now(), &host_name(SERVICE, NAMESPACE), None).unwrap();
    let write = |name: &str, text: &str| std::fs::write(Path::join(files.path(), name), text).unwrap();
    write("tls.key", &material.key);
    write("tls.crt", &material.certificate);
    daemon.ready().await;
    assert!(connect(port, &material.authority).await.is_some());
    assert!(cluster.system::<Secret>().get_opt(SECRET).await.unwrap().is_none());
}
