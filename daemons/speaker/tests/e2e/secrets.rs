//! What nobody but the peers may know is in nothing that a run writes.

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use metallb_k8s::crd::{ConfigurationState, ServiceBGPStatus, ServiceL2Status};
use serde_json::json;

use crate::collector::Collector;
use crate::harness::{Cluster, eventually};
use crate::site::{cluster, in_namespace, peer, secret, service, speaker};

/// Passwords that work and that do not, and the secret of the speakers.
const WORKS: &str = "swordfish-that-works";
const INLINE: &str = "tuna-in-the-resource";
const TOO_LONG: &str = "salmon-";
const SHARED: &str = "herring-among-the-speakers";

/// Everything that the daemon told the API server, as text.
async fn told(cluster: &Cluster) -> String {
    let all = ListParams::default();
    let events: Api<Event> = Api::all(cluster.client.clone());
    let parts = [
        serde_json::to_string(&events.list(&all).await.unwrap().items),
        serde_json::to_string(&cluster.system::<ConfigurationState>().list(&all).await.unwrap().items),
        serde_json::to_string(&cluster.system::<ServiceL2Status>().list(&all).await.unwrap().items),
        serde_json::to_string(&cluster.system::<ServiceBGPStatus>().list(&all).await.unwrap().items),
    ];
    parts.map(Result::unwrap).join("\n")
}

#[test]
fn no_password_or_key_is_written_anywhere() {
    in_namespace("secrets::no_password_or_key_is_written_anywhere", async || {
        let cluster = cluster().await;
        let collector = Collector::start(Some(WORKS), false);
        secret(&cluster, "router", WORKS);
        secret(&cluster, "long", &TOO_LONG.repeat(20));
        peer(&cluster, "router", &json!({ "passwordSecret": { "name": "router" } }));
        peer(&cluster, "long", &json!({ "peerAddress": "10.0.0.3", "passwordSecret": { "name": "long" } }));
        peer(&cluster, "inline", &json!({ "peerAddress": "10.0.0.4", "password": INLINE }));
        cluster.configure("L2Advertisement", "all", &json!({}));
        cluster.configure("BGPAdvertisement", "all", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secretkey"), SHARED).unwrap();
        let path = format!("--ml-secret-key-path={}", directory.path().display());
        let args = ["--ml-bindaddr=10.0.0.1", "--ml-labels=app=metallb", &path, "--log-level=all"];
        let mut speaker = speaker(&cluster, &args);
        collector.routes(&["192.0.2.200/32"]).await;
        // What is wrong is told, without what is wrong with it.
        eventually("the peer whose password is too long is named", async || {
            told(&cluster).await.contains("BGPPeer \\\"long\\\"").then_some(())
        })
        .await;
        cluster.event("web", "nodeAssigned").await;
        let shown = [speaker.scrape().await, speaker.state().await.to_string(), told(&cluster).await];
        speaker.terminate().await;
        let log = speaker.log().join("\n");
        assert!(log.contains("DEBUG") && log.contains("router"), "{log}");
        for (text, what) in shown.iter().chain([&log]).zip(["metrics", "state", "objects", "log"]) {
            for secret in [WORKS, INLINE, TOO_LONG, SHARED] {
                assert!(!text.contains(secret), "{secret:?} is in the {what}");
            }
        }
    });
}
