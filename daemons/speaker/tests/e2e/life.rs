//! Starts, outages and ends.

use kube::ResourceExt;
use kube::api::ListParams;
use metallb_k8s::crd::{ServiceBGPStatus, ServiceL2Status};
use serde_json::json;

use crate::collector::Collector;
use crate::harness::{Cluster, NAMESPACE, eventually};
use crate::site::{cluster, in_namespace, peer, service, speaker};

const STALE: &str = "\
apiVersion: metallb.io/v1beta1
kind: KIND
metadata:
  name: NODE-gone
  namespace: metallb-system
  labels: {metallb.io/node: NODE, metallb.io/service-name: gone, metallb.io/service-namespace: default}
spec: {}
status: {node: NODE, serviceName: gone, serviceNamespace: default}
";

#[test]
fn statuses_of_a_former_run_go_and_those_of_others_stay() {
    in_namespace("life::statuses_of_a_former_run_go_and_those_of_others_stay", async || {
        let cluster = cluster().await;
        for kind in ["ServiceL2Status", "ServiceBGPStatus"] {
            for node in ["node1", "node2"] {
                cluster.apply(&STALE.replace("KIND", kind).replace("NODE", node));
            }
        }
        let _speaker = speaker(&cluster, &[]);
        eventually("only the other node's are left", async || {
            let layer2 = cluster.system::<ServiceL2Status>().list(&ListParams::default()).await.unwrap();
            let bgp = cluster.system::<ServiceBGPStatus>().list(&ListParams::default()).await.unwrap();
            let layer2: Vec<String> = layer2.iter().map(ResourceExt::name_any).collect();
            let bgp: Vec<String> = bgp.iter().map(ResourceExt::name_any).collect();
            (layer2 == ["node2-gone"] && bgp == ["node2-gone"]).then_some(())
        })
        .await;
    });
}

#[test]
fn what_a_dead_owner_said_goes_with_one_look() {
    in_namespace("life::what_a_dead_owner_said_goes_with_one_look", async || {
        let cluster = cluster().await;
        cluster.configure("L2Advertisement", "all", &json!({}));
        let stale = STALE.replace("KIND", "ServiceL2Status").replace("NODE", "node2").replace("gone", "web");
        cluster.apply(&stale);
        let speaker = speaker(&cluster, &[]);
        let path = "/servicel2statuses";
        let looks = || {
            let requests = cluster.front.requests().into_iter();
            requests.filter(|request| request.method == "GET" && request.path.ends_with(path)).count()
        };
        speaker.ready().await;
        let before = looks();
        service(&cluster, "web", &["192.0.2.200"]).await;
        let api = cluster.system::<ServiceL2Status>();
        eventually("only our own is left", async || {
            let found = api.list(&ListParams::default()).await.unwrap();
            let nodes: Vec<_> =
                found.iter().map(|found| found.status.as_ref().map(|status| status.node.as_str())).collect();
            (nodes == [Some("node1")]).then_some(())
        })
        .await;
        // What the test itself asked did not go through the front.
        assert_eq!(looks() - before, 1);
    });
}

#[test]
fn what_dead_owners_said_of_many_services_goes_with_one_look_that_is_repeated_until_it_is_answered() {
    let name = "life::what_dead_owners_said_of_many_services_goes_with_one_look_that_is_repeated_until_it_is_answered";
    in_namespace(name, async || {
        let cluster = cluster().await;
        for number in 0..30 {
            let web = format!("web{number}");
            let stale =
                STALE.replace("KIND", "ServiceL2Status").replace("NODE", "node2").replace("gone", &web);
            cluster.apply(&stale);
            service(&cluster, &web, &[&format!("192.0.2.{}", 200 + number)]).await;
        }
        let speaker = speaker(&cluster, &[]);
        speaker.ready().await;
        let path = "/servicel2statuses";
        let looks = || {
            let requests = cluster.front.requests().into_iter();
            requests.filter(|request| request.method == "GET" && request.path.ends_with(path)).count()
        };
        let before = looks();
        let refusals = std::sync::atomic::AtomicUsize::new(2);
        cluster.front.refuse(move |request| {
            use std::sync::atomic::Ordering::SeqCst;
            let is_look = request.method == "GET" && request.path.ends_with(path);
            let refused =
                is_look && refusals.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            refused.then_some(503)
        });
        cluster.configure("L2Advertisement", "all", &json!({}));
        let api = cluster.system::<ServiceL2Status>();
        eventually("only our own are left", async || {
            let found = api.list(&ListParams::default()).await.unwrap();
            let nodes: Vec<_> =
                found.iter().map(|found| found.status.as_ref().map(|status| status.node.as_str())).collect();
            (nodes == [Some("node1"); 30]).then_some(())
        })
        .await;
        assert_eq!(looks() - before, 3, "two of them were refused");
    });
}

#[test]
fn a_service_that_is_made_anew_while_nobody_looks_has_its_events() {
    in_namespace("life::a_service_that_is_made_anew_while_nobody_looks_has_its_events", async || {
        let mut cluster = cluster().await;
        cluster.configure("L2Advertisement", "all", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        let _speaker = speaker(&cluster, &[]);
        cluster.event("web", "nodeAssigned").await;
        cluster.front.down().await;
        cluster.delete(cluster.services(), "web").await;
        service(&cluster, "web", &["192.0.2.200"]).await;
        cluster.front.up().await;
        eventually("an event of each", async || {
            let told = cluster.events("web", "nodeAssigned").await;
            let about: std::collections::BTreeSet<_> =
                told.iter().map(|event| event.involved_object.uid.clone()).collect();
            (about.len() == 2).then_some(())
        })
        .await;
    });
}

#[test]
fn a_restart_writes_no_status_that_is_right_already() {
    in_namespace("life::a_restart_writes_no_status_that_is_right_already", async || {
        let cluster = cluster().await;
        cluster.configure("L2Advertisement", "all", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        let api = cluster.system::<ServiceL2Status>();
        let found = async || {
            let found = api.list(&ListParams::default()).await.unwrap().items.pop()?;
            found.status.is_some().then_some(found)
        };
        let mut first = speaker(&cluster, &[]);
        let before = eventually("a status", found).await;
        let (status, _) = first.terminate().await;
        assert_eq!(status.code(), Some(0));
        let second = speaker(&cluster, &[]);
        // The status of a service that came later is written after all of the first round.
        second.says(&["announcing", "192.0.2.200"]).await;
        service(&cluster, "late", &["192.0.2.201"]).await;
        eventually("two statuses", async || {
            (api.list(&ListParams::default()).await.unwrap().items.len() == 2).then_some(())
        })
        .await;
        let after = api.get(&before.name_any()).await.unwrap();
        assert_eq!((before.uid(), before.resource_version()), (after.uid(), after.resource_version()));
        let path = format!("/servicel2statuses/{}/status", before.name_any());
        let writes = cluster.front.requests().into_iter().filter(|request| request.writes(&path));
        assert_eq!(writes.count(), 1, "nor is it written twice when it is new");
    });
}

/// What was written to the API server about services and their statuses, by method and path.
fn writes(cluster: &Cluster) -> Vec<(String, String)> {
    let about = ["/servicel2statuses", "/servicebgpstatuses", "/events", "/services/"];
    let requests = cluster.front.requests().into_iter().filter(|request| request.method != "GET");
    let requests = requests.filter(|request| about.iter().any(|part| request.path.contains(part)));
    requests.map(|request| (request.method.to_string(), request.path)).collect()
}

#[test]
fn a_restart_with_membership_writes_nothing_that_is_written() {
    in_namespace("life::a_restart_with_membership_writes_nothing_that_is_written", async || {
        let cluster = cluster().await;
        let collector = Collector::start(None, false);
        peer(&cluster, "router", &json!({}));
        cluster.configure("L2Advertisement", "all", &json!({}));
        cluster.configure("BGPAdvertisement", "all", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        let layer2 = cluster.system::<ServiceL2Status>();
        let bgp = cluster.system::<ServiceBGPStatus>();
        let written = async |count: usize| {
            let layer2 = layer2.list(&ListParams::default()).await.unwrap();
            let bgp = bgp.list(&ListParams::default()).await.unwrap();
            let full = layer2.iter().filter(|found| found.status.is_some()).count() == count
                && bgp.iter().filter(|found| found.status.is_some()).count() == count;
            full.then_some(())
        };
        let args = ["--ml-bindaddr=10.0.0.1", "--ml-labels=app=metallb"];
        let mut first = speaker(&cluster, &args);
        collector.routes(&["192.0.2.200/32"]).await;
        eventually("both statuses", async || written(1).await).await;
        cluster.event("web", "nodeAssigned").await;
        first.terminate().await;
        let before = writes(&cluster).len();
        let second = speaker(&cluster, &args);
        second.says(&["announcing", "192.0.2.200"]).await;
        collector.routes(&["192.0.2.200/32"]).await;
        // What belongs to a service that came later is written after all of the first round.
        service(&cluster, "late", &["192.0.2.201"]).await;
        eventually("the statuses of both", async || written(2).await).await;
        eventually("the new one is told about", async || {
            let late = |(_, path): &(String, String)| path.contains("/events");
            (writes(&cluster)[before..].iter().filter(|write| late(write)).count() >= 2).then_some(())
        })
        .await;
        let after = writes(&cluster).split_off(before);
        // About the one that is new two events, and two statuses in two writes each (the object and its status); and an
        // event about the session.
        assert_eq!(after.len(), 7, "{after:?}");
        assert!(after.iter().all(|(method, _)| method != "DELETE"), "{after:?}");
        let told = cluster.events("web", "nodeAssigned").await;
        let counts: Vec<_> = told.iter().map(|event| event.count).collect();
        assert_eq!(counts, [Some(1); 2], "once for each protocol");
    });
}

#[test]
fn announcements_do_not_wait_for_statuses_that_cannot_be_read() {
    in_namespace("life::announcements_do_not_wait_for_statuses_that_cannot_be_read", async || {
        let cluster = cluster().await;
        cluster.configure("L2Advertisement", "all", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        cluster.apply(&STALE.replace("KIND", "ServiceL2Status").replace("NODE", "node1"));
        cluster.front.refuse(|request| request.path.contains("/servicel2statuses").then_some(503));
        let speaker = speaker(&cluster, &[]);
        speaker.says(&["announcing", "192.0.2.200"]).await;
        speaker.ready().await;
        assert_eq!(writes(&cluster), [], "nothing is known about what stands there");
        cluster.front.relent();
        cluster.event("web", "nodeAssigned").await;
        eventually("its own status, and no other", async || {
            let found = cluster.system::<ServiceL2Status>().list(&ListParams::default()).await.unwrap();
            let named = |name: &str| {
                found
                    .iter()
                    .any(|found| found.status.as_ref().is_some_and(|status| status.service_name == name))
            };
            (named("web") && !named("gone")).then_some(())
        })
        .await;
    });
}

#[test]
fn announcements_go_on_while_the_api_server_is_gone() {
    in_namespace("life::announcements_go_on_while_the_api_server_is_gone", async || {
        let mut cluster = cluster().await;
        cluster.configure("L2Advertisement", "all", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        service(&cluster, "goes", &["192.0.2.201"]).await;
        let speaker = speaker(&cluster, &[]);
        let series = |name: &str, ip: &str| {
            format!(
                "metallb_speaker_announced{{service=\"default/{name}\",protocol=\"layer2\",node=\"node1\",ip=\"{ip}\"}}"
            )
        };
        speaker.shows(&series("goes", "192.0.2.201"), "1.0").await;
        cluster.front.down().await;
        speaker.says(&["the API server cannot be reached, trying again"]).await;
        cluster.delete(cluster.services(), "goes").await;
        speaker.shows(&series("web", "192.0.2.200"), "1.0").await;
        speaker.shows(&series("goes", "192.0.2.201"), "1.0").await;
        cluster.front.up().await;
        eventually("what vanished meanwhile is withdrawn", async || {
            (!speaker.scrape().await.contains("192.0.2.201")).then_some(())
        })
        .await;
        speaker.shows(&series("web", "192.0.2.200"), "1.0").await;
    });
}

#[test]
fn an_api_server_that_cannot_be_reached_at_the_start_is_waited_for() {
    in_namespace("life::an_api_server_that_cannot_be_reached_at_the_start_is_waited_for", async || {
        let mut cluster = cluster().await;
        pod_of_a_daemon_set(&cluster);
        cluster.configure("L2Advertisement", "all", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        cluster.front.down().await;
        let args = ["--pod-name=speaker-1"];
        let mut first = speaker(&cluster, &args);
        first.says(&["trying again", "error="]).await;
        first.shows("metallb_k8s_client_config_loaded_bool", "0.0").await;
        assert_eq!((first.probe("/healthz").await, first.probe("/readyz").await), (Some(200), Some(503)));
        let (status, _) = first.terminate().await;
        assert_eq!(status.code(), Some(0));

        let second = speaker(&cluster, &args);
        second.says(&["trying again", "error="]).await;
        cluster.front.up().await;
        second.ready().await;
        second.shows("metallb_k8s_client_config_loaded_bool", "1.0").await;
        let api = cluster.system::<ServiceL2Status>();
        let status =
            eventually("a status", async || api.list(&ListParams::default()).await.unwrap().items.pop())
                .await;
        let owner = &status.owner_references()[0];
        assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("DaemonSet", "speaker"));
    });
}

#[test]
fn sigterm_ends_it_even_if_the_api_server_is_mute() {
    in_namespace("life::sigterm_ends_it_even_if_the_api_server_is_mute", async || {
        let cluster = cluster().await;
        let collector = Collector::start(None, false);
        peer(&cluster, "router", &json!({ "enableGracefulRestart": true }));
        cluster.configure("BGPAdvertisement", "all", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        let args = ["--ml-bindaddr=10.0.0.1", "--ml-labels=app=metallb"];
        let mut speaker = speaker(&cluster, &args);
        collector.routes(&["192.0.2.200/32"]).await;
        cluster.front.silence(true);
        let (status, _) = speaker.terminate().await;
        assert_eq!(status.code(), Some(0));
    });
}

#[test]
fn a_restart_with_graceful_restart_withdraws_nothing() {
    in_namespace("life::a_restart_with_graceful_restart_withdraws_nothing", async || {
        let cluster = cluster().await;
        let collector = Collector::start(None, false);
        peer(&cluster, "router", &json!({ "enableGracefulRestart": true }));
        cluster.configure("BGPAdvertisement", "all", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        let mut speaker = speaker(&cluster, &[]);
        collector.routes(&["192.0.2.200/32"]).await;
        let (status, _) = speaker.terminate().await;
        assert_eq!(status.code(), Some(0));
        collector.session(false).await;
        assert!(collector.withdrawn().is_empty(), "{:?}", collector.withdrawn());
    });
}

#[test]
fn a_restart_says_that_there_are_no_more_routes_only_when_it_knows_who_lives() {
    let test = "life::a_restart_says_that_there_are_no_more_routes_only_when_it_knows_who_lives";
    in_namespace(test, async || {
        let cluster = cluster().await;
        // The label is ignored where every speaker is on such a node, and so not before it is known which there are.
        for node in ["node1", "node2"] {
            cluster.apply(&format!(
                "apiVersion: v1\nkind: Node\nmetadata:\n  name: {node}\n  labels:\n    \
                 node-role.kubernetes.io/control-plane: \"\"\n    \
                 node.kubernetes.io/exclude-from-external-load-balancers: \"\"\n"
            ));
        }
        // One that is ready and is not heard is waited for.
        cluster.server.apply_object(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "speaker-2", "namespace": NAMESPACE, "labels": { "app": "metallb" } },
            "spec": { "nodeName": "node2", "containers": [{ "name": "speaker", "image": "example.com/speaker" }] },
            "status": {
                "podIPs": [{ "ip": "10.0.0.9" }], "conditions": [{ "type": "Ready", "status": "True" }],
            },
        }));
        let collector = Collector::start(None, false);
        peer(&cluster, "router", &json!({ "enableGracefulRestart": true }));
        cluster.configure("BGPAdvertisement", "all", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        let speaker = speaker(&cluster, &["--ml-bindaddr=10.0.0.1", "--ml-labels=app=metallb"]);
        collector.session(true).await;
        assert_eq!(collector.complete().await, ["192.0.2.200/32"]);
        drop(speaker);
    });
}

#[test]
fn a_cordoned_node_withdraws_in_spite_of_graceful_restart() {
    in_namespace("life::a_cordoned_node_withdraws_in_spite_of_graceful_restart", async || {
        let cluster = cluster().await;
        cluster.apply("apiVersion: v1\nkind: Node\nmetadata:\n  name: node1\nspec:\n  unschedulable: true\n");
        let collector = Collector::start(None, false);
        peer(&cluster, "router", &json!({ "enableGracefulRestart": true }));
        cluster.configure("BGPAdvertisement", "all", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        let mut speaker = speaker(&cluster, &[]);
        collector.routes(&["192.0.2.200/32"]).await;
        speaker.terminate().await;
        collector.session(false).await;
        assert_eq!(collector.withdrawn(), ["192.0.2.200/32"]);
    });
}

/// The Pod `speaker-1` of the DaemonSet `speaker`.
pub(crate) fn pod_of_a_daemon_set(cluster: &Cluster) {
    let containers = json!([{ "name": "speaker", "image": "example.com/speaker" }]);
    let labels = json!({ "app": "metallb" });
    let owner = cluster.server.apply_object(&json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": { "name": "speaker", "namespace": NAMESPACE },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": containers } },
        },
    }));
    let owner = json!([{
        "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "speaker", "uid": owner["metadata"]["uid"],
    }]);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "speaker-1", "namespace": NAMESPACE, "ownerReferences": owner },
        "spec": { "containers": containers },
    });
    cluster.server.apply_object(&pod);
}
