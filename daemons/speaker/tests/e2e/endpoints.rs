//! Metrics, probes, debug state and log lines.

use serde_json::json;

use crate::collector::Collector;
use crate::harness::prometheus::{Prometheus, families, style_remarks};
use crate::harness::state::Form;
use crate::harness::{Cluster, Daemon};
use crate::site::{cluster, in_namespace, peer, service, speaker};

/// A speaker that announces by both protocols, with membership.
async fn busy() -> (Cluster, Collector, Daemon) {
    let cluster = cluster().await;
    let collector = Collector::start(None, false);
    peer(&cluster, "router", &json!({}));
    cluster.configure("BFDProfile", "fast", &json!({}));
    peer(&cluster, "silent", &json!({ "peerAddress": "10.0.0.3", "bfdProfile": "fast" }));
    cluster.configure("L2Advertisement", "all", &json!({}));
    cluster.configure("BGPAdvertisement", "all", &json!({}));
    service(&cluster, "web", &["192.0.2.200"]).await;
    let args = ["--ml-bindaddr=10.0.0.1", "--ml-labels=app=metallb"];
    let speaker = speaker(&cluster, &args);
    collector.routes(&["192.0.2.200/32"]).await;
    let series = "metallb_speaker_announced{service=\"default/web\",protocol=\"layer2\",node=\"node1\",ip=\"192.0.2.200\"}";
    speaker.shows(series, "1.0").await;
    let nobody_there =
        "metallb_bgp_last_error_info{peer=\"10.0.0.3\",node=\"node1\",code=\"0\",subcode=\"0\"}";
    speaker.shows(nobody_there, "1.0").await;
    (cluster, collector, speaker)
}

#[test]
fn every_metric_has_its_name_type_and_labels() {
    in_namespace("endpoints::every_metric_has_its_name_type_and_labels", async || {
        let (_cluster, _collector, speaker) = busy().await;
        insta::assert_snapshot!("speaker", families(&speaker.scrape().await));
    });
}

#[test]
fn promtool_has_only_the_remarks_on_inherited_names() {
    in_namespace("endpoints::promtool_has_only_the_remarks_on_inherited_names", async || {
        let (_cluster, _collector, speaker) = busy().await;
        let Some(remarks) = style_remarks(&speaker.scrape().await) else { return };
        insta::assert_snapshot!("speaker_remarks", remarks);
    });
}

#[test]
fn a_real_prometheus_takes_every_series() {
    in_namespace("endpoints::a_real_prometheus_takes_every_series", async || {
        let (_cluster, _collector, speaker) = busy().await;
        let Some(prometheus) = Prometheus::start(speaker.metrics).await else { return };
        let announced = |protocol: &str| {
            format!(
                "metallb_speaker_announced{{service=\"default/web\",protocol=\"{protocol}\",ip=\"192.0.2.200\",node=\"node1\"}}"
            )
        };
        for (query, value) in [
            (announced("layer2").as_str(), 1.0),
            (&announced("bgp"), 1.0),
            ("metallb_bgp_session_up{peer=\"10.0.0.2\",node=\"node1\"}", 1.0),
            ("metallb_bgp_session_up{peer=\"10.0.0.3\",node=\"node1\"}", 0.0),
            ("metallb_bgp_state{peer=\"10.0.0.2\",state=\"Established\"}", 1.0),
            ("metallb_bgp_state{peer=\"10.0.0.3\",state=\"Established\"}", 0.0),
            ("sum(metallb_bgp_state{peer=\"10.0.0.3\"})", 1.0),
            ("absent(metallb_bgp_last_error_info{peer=\"10.0.0.2\"})", 1.0),
            ("metallb_layer2_ownership_changes_total{ip=\"192.0.2.200\"}", 1.0),
            ("metallb_config_object_accepted{kind=\"BGPPeer\",name=\"router\"}", 1.0),
            ("metallb_bgp_announced_prefixes_total{peer=\"10.0.0.2\"}", 1.0),
            ("metallb_bgp_updates_total{peer=\"10.0.0.3\"}", 0.0),
            ("metallb_bgp_opens_sent{peer=\"10.0.0.2\"}", 1.0),
            ("metallb_bfd_session_up{peer=\"10.0.0.3\",node=\"node1\"}", 0.0),
            ("metallb_bfd_session_down_events{peer=\"10.0.0.3\"}", 0.0),
            ("metallb_layer2_requests_received{ip=\"192.0.2.200\",node=\"node1\"}", 0.0),
            ("metallb_layer2_requests_received_total{ip=\"192.0.2.200\",node=\"node1\"}", 0.0),
            ("metallb_layer2_gratuitous_sent{ip=\"192.0.2.200\"} > bool 0", 1.0),
            ("metallb_membership_members", 1.0),
            ("metallb_k8s_client_config_loaded_bool", 1.0),
            ("metallb_k8s_client_config_stale_bool", 0.0),
            ("metallb_k8s_client_update_errors_total", 0.0),
        ] {
            prometheus.answers(query, value).await;
        }
        assert_eq!(prometheus.families().await, families(&speaker.scrape().await));
    });
}

#[test]
fn the_debug_state_shows_announcements_and_sessions() {
    in_namespace("endpoints::the_debug_state_shows_announcements_and_sessions", async || {
        let (_cluster, _collector, speaker) = busy().await;
        let state = speaker.state().await;
        let announced = state["announcements"]["announced"].as_array().unwrap();
        assert_eq!(announced.len(), 2, "{state}");
        assert!(announced.iter().all(|entry| entry["layer2Owner"] == json!("node1")), "{state}");
        let sessions = state["sessions"].as_array().unwrap();
        let states: Vec<&str> = sessions.iter().map(|session| session["state"].as_str().unwrap()).collect();
        assert_eq!((sessions[0]["peer"].as_str(), states[0]), (Some("router"), "Established"), "{state}");
        assert_ne!(states[1], "Established");
        let watched = &state["bfd"]["sessions"];
        assert_eq!(
            (&watched[0]["peer"], &watched[0]["state"]),
            (&json!("silent"), &json!("Down")),
            "{state}"
        );
        assert_eq!(watched[1], json!(null), "the other peer has no profile");
        assert_eq!((speaker.probe("/healthz").await, speaker.probe("/readyz").await), (Some(200), Some(200)));
    });
}

#[test]
fn the_debug_state_says_why_services_are_announced_or_not() {
    in_namespace("endpoints::the_debug_state_says_why_services_are_announced_or_not", async || {
        let (cluster, _collector, speaker) = busy().await;
        cluster.service("idle", json!({}), json!({})).await;
        let assigned = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "idle" },
            "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.201" }] } },
        });
        cluster.server.apply_object(&assigned);
        let idle = crate::harness::eventually("the service is known with its address", async || {
            let (status, text) = speaker.state_at("/default/idle").await;
            let state: serde_json::Value = serde_json::from_str(&text).ok()?;
            let idle = state["services"][0].clone();
            (status == 200 && idle["problem"].is_object()).then_some(idle)
        })
        .await;
        assert_eq!(idle["problem"]["reason"], json!("no_ready_endpoint"));
        let address = &idle["addresses"][0];
        assert_eq!(
            (&address["layer2"]["owner"], &address["layer2"]["decision"]),
            (&json!(null), &json!(null))
        );
        assert_eq!(address["layer2"]["nodes"][0]["rejection"]["reason"], json!("no_ready_endpoint"));
        assert_eq!(address["bgp"]["rejection"]["reason"], json!("no_ready_endpoint"));

        let state = speaker.state_of("default/web").await;
        assert_eq!(state["announcements"]["announced"].as_array().unwrap().len(), 2, "of this service only");
        let [web] = state["services"].as_array().unwrap().as_slice() else { panic!("{state}") };
        let address = &web["addresses"][0];
        assert_eq!((&web["readyHere"], &web["readyOn"]), (&json!(true), &json!(["node1"])));
        let decision = json!({ "reason": "only_candidate", "message": "it is the only candidate" });
        assert_eq!(
            (&address["layer2"]["owner"], &address["layer2"]["decision"]),
            (&json!("node1"), &decision)
        );
        let prefix = json!([{ "prefix": "192.0.2.200/32", "peers": ["router", "silent"] }]);
        assert_eq!(address["bgp"]["prefixes"], prefix);

        let state = speaker.state().await;
        assert_eq!(state["services"].as_array().unwrap().len(), 2, "{state}");
        assert_eq!(
            state["services"][1]["addresses"][0]["layer2"]["nodes"],
            json!(null),
            "of one service only"
        );
        assert_eq!(state["membership"]["members"], json!(["node1"]));
        let (status, text) = speaker.state_at("/default/nobody").await;
        assert_eq!((status, text.as_str()), (404, "no service \"default/nobody\" is known here\n"));

        let mut form = Form::default();
        form.add(&state);
        form.add(&speaker.state_of("default/web").await);
        form.add(&speaker.state_of("default/idle").await);
        form.is_documented("Speaker", &RARE);
    });
}

/// What a healthy speaker with numbered peers on one link need not have.
const RARE: [&str; 16] = [
    "announcements.configurationProblems[]",
    "services[].addresses[].layer2.announcedOn[]",
    "services[].addresses[].sharedWith[]",
    "sessions[].withheld[]",
    "sessions[].interface",
    "sessions[].givenUp[]",
    "sessions[].pending[]",
    "sessions[].negotiated.missingFamilies[]",
    "sessions[].nextHops.linkLocal",
    "sessions[].nextHops.ipv4.reason",
    "sessions[].nextHops.ipv4.message",
    "bfd.closedPorts[]",
    "bfd.sessions[].detectionTimeMillis",
    "bfd.sessions[].remoteDiscriminator",
    "sessions[].nextHops.ipv6.reason",
    "sessions[].nextHops.ipv6.message",
];

#[test]
fn log_lines_name_their_protocol_and_failures_their_error() {
    in_namespace("endpoints::log_lines_name_their_protocol_and_failures_their_error", async || {
        let (_cluster, _collector, mut speaker) = busy().await;
        for words in [
            ["session configured", "router"],
            ["session established", "router"],
            ["routes changed", "192.0.2.200"],
        ] {
            let line = speaker.says(&words).await;
            assert!(line.contains("protocol=\"bgp\""), "{line}");
        }
        let line = speaker.says(&["announcing", "ip=192.0.2.200"]).await;
        assert!(line.contains("protocol=\"layer2\""), "{line}");
        speaker.terminate().await;
        for line in speaker.log() {
            let failure = line.contains("WARN") || line.contains("ERROR");
            assert!(!failure || line.contains("error="), "{line}");
            let session = line.contains("session") || line.contains("peer=");
            assert!(!session || line.contains("bgp"), "{line}");
        }
    });
}
