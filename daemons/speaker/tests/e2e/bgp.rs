//! What the BGP peer is told, and what is told about it.

use kube::ResourceExt;
use kube::api::ListParams;
use metallb_bgp::session::OfferedFamilies;
use metallb_bgp::types::{Community, LargeCommunity};
use metallb_k8s::crd::{BGPPeer, ConfigurationResult, ConfigurationState, ServiceBGPStatus};
use serde_json::json;

use crate::collector::Collector;
use crate::harness::{Cluster, eventually};
use crate::site::{self, cluster, in_namespace, peer, service, speaker};

/// Waits until the speaker's verdict on the configuration contains all of these; none: until it is good.
async fn verdict(cluster: &Cluster, words: &[&str]) {
    let wanted = if words.is_empty() { ConfigurationResult::Valid } else { ConfigurationResult::Invalid };
    cluster
        .until_system::<ConfigurationState>("speaker-node1", |state| {
            state.status.as_ref().is_some_and(|status| {
                status.result == Some(wanted) && words.iter().all(|word| status.error_summary.contains(word))
            })
        })
        .await;
}

async fn statuses(cluster: &Cluster) -> Vec<ServiceBGPStatus> {
    cluster.system::<ServiceBGPStatus>().list(&ListParams::default()).await.unwrap().items
}

#[test]
fn prefixes_come_with_their_attributes_and_go_with_their_service() {
    in_namespace("bgp::prefixes_come_with_their_attributes_and_go_with_their_service", async || {
        let cluster = cluster().await;
        let collector = Collector::start(None, true);
        peer(&cluster, "router", &json!({ "peerASN": 64500, "dualStackAddressFamily": true }));
        cluster.configure(
            "Community",
            "names",
            &json!({ "communities": [{ "name": "blue", "value": "64500:7" }] }),
        );
        cluster.configure(
            "BGPAdvertisement",
            "hosts",
            &json!({ "localPref": 150, "communities": ["blue", "large:64500:1:2", "no-export"] }),
        );
        cluster.configure(
            "BGPAdvertisement",
            "nets",
            &json!({ "aggregationLength": 26, "aggregationLengthV6": 124 }),
        );
        service(&cluster, "web", &["192.0.2.200", "2001:db8::42"]).await;
        let _speaker = speaker(&cluster, &[]);
        collector.routes(&["192.0.2.192/26", "192.0.2.200/32", "2001:db8::40/124", "2001:db8::42/128"]).await;
        let host = collector.route("192.0.2.200/32").await;
        assert_eq!(host.local_pref, Some(150));
        assert_eq!(host.next_hop.address(), "10.0.0.1".parse::<std::net::IpAddr>().unwrap());
        let communities: Vec<String> = host.communities.iter().map(ToString::to_string).collect();
        assert_eq!(
            communities,
            [Community(64500 << 16 | 7), Community(0xFFFF_FF01)].map(|one| one.to_string())
        );
        assert!(host.large_communities.iter().eq([&LargeCommunity::new(64500, 1, 2)]));
        let net = collector.route("192.0.2.192/26").await;
        assert!(net.communities.is_empty() && net.local_pref == Some(100), "{net:?}");

        let message = cluster.event("web", "nodeAssigned").await;
        assert_eq!(message, "announcing from node \"node1\" with protocol \"bgp\"");
        let found = eventually("a status", async || {
            statuses(&cluster).await.pop().filter(|found| found.status.is_some())
        })
        .await;
        let status = found.status.clone().unwrap();
        assert_eq!([status.node, status.service_name, status.service_namespace], ["node1", "web", "default"]);
        assert_eq!(status.peers, ["router"]);
        assert_eq!(found.labels()["metallb.io/node"], "node1");
        assert_eq!(found.labels()["metallb.io/service-name"], "web");

        cluster.delete(cluster.services(), "web").await;
        collector.routes(&[]).await;
        assert!(collector.is_up(), "withdrawn, not cut");
        eventually("no status", async || statuses(&cluster).await.is_empty().then_some(())).await;
    });
}

#[test]
fn a_password_that_comes_later_starts_the_session() {
    in_namespace("bgp::a_password_that_comes_later_starts_the_session", async || {
        let cluster = cluster().await;
        let collector = Collector::start(Some("s3cret-word"), false);
        peer(&cluster, "router", &json!({ "passwordSecret": { "name": "router" } }));
        let speaker = speaker(&cluster, &[]);
        verdict(&cluster, &["BGPPeer \"router\"", "spec.passwordSecret", "router"]).await;
        assert!(!collector.is_up());
        site::secret(&cluster, "router", "s3cret-word");
        collector.session(true).await;
        verdict(&cluster, &[]).await;
        let message = cluster.event("node1", "BGPPeerUp").await;
        assert!(message.contains("router"), "{message}");
        assert!(!speaker.log().join("\n").contains("s3cret-word"));
    });
}

#[test]
fn what_the_speaker_cannot_do_for_a_peer_is_told() {
    in_namespace("bgp::what_the_speaker_cannot_do_for_a_peer_is_told", async || {
        let cluster = cluster().await;
        let collector = Collector::start(None, false);
        peer(&cluster, "link", &json!({ "peerAddress": "fe80::1", "sourceAddress": null }));
        peer(&cluster, "router", &json!({}));
        let speaker = speaker(&cluster, &[]);
        verdict(&cluster, &["BGPPeer \"link\": spec.peerAddress"]).await;
        collector.session(true).await;
        let line = speaker.says(&["spec.peerAddress"]).await;
        assert!(line.contains("protocol=\"bgp\"") && line.contains("error="), "{line}");
        cluster.delete(cluster.system::<BGPPeer>(), "link").await;
        verdict(&cluster, &[]).await;
        assert!(collector.is_up());
    });
}

#[test]
fn the_end_of_a_conflict_shows_what_is_wrong_with_the_peer_itself() {
    in_namespace("bgp::the_end_of_a_conflict_shows_what_is_wrong_with_the_peer_itself", async || {
        let cluster = cluster().await;
        let link = |label: &str| {
            let selectors = json!([{ "matchLabels": { label: "a" } }]);
            json!({ "peerAddress": "fe80::1", "sourceAddress": null, "nodeSelectors": selectors })
        };
        peer(&cluster, "old", &link("rack"));
        peer(&cluster, "young", &link("room"));
        cluster.apply("apiVersion: v1\nkind: Node\nmetadata:\n  name: node1\n  labels: {rack: a, room: a}\n");
        let _speaker = speaker(&cluster, &[]);
        verdict(&cluster, &["BGPPeer \"young\": BGPPeer \"old\" is the same neighbour and older"]).await;
        cluster.delete(cluster.system::<BGPPeer>(), "old").await;
        verdict(&cluster, &["BGPPeer \"young\": spec.peerAddress"]).await;
    });
}

#[test]
fn a_peer_that_the_node_gets_by_a_label_is_judged_then() {
    in_namespace("bgp::a_peer_that_the_node_gets_by_a_label_is_judged_then", async || {
        let cluster = cluster().await;
        let link = json!({
            "peerAddress": "fe80::1", "sourceAddress": null,
            "nodeSelectors": [{ "matchLabels": { "rack": "a" } }],
        });
        peer(&cluster, "link", &link);
        let _speaker = speaker(&cluster, &[]);
        verdict(&cluster, &[]).await;
        cluster.apply("apiVersion: v1\nkind: Node\nmetadata:\n  name: node1\n  labels: {rack: a}\n");
        verdict(&cluster, &["BGPPeer \"link\": spec.peerAddress"]).await;
    });
}

#[test]
fn sigterm_withdraws_everything_and_says_why() {
    in_namespace("bgp::sigterm_withdraws_everything_and_says_why", async || {
        let cluster = cluster().await;
        let collector = Collector::start(None, false);
        peer(&cluster, "router", &json!({}));
        cluster.configure("BGPAdvertisement", "hosts", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        let mut speaker = speaker(&cluster, &[]);
        collector.routes(&["192.0.2.200/32"]).await;
        let (status, _) = speaker.terminate().await;
        assert_eq!(status.code(), Some(0));
        collector.session(false).await;
        assert_eq!(collector.withdrawn(), ["192.0.2.200/32"]);
        let endings = collector.endings().join("; ");
        assert!(endings.contains("speaker on node1 stops"), "{endings}");
    });
}

/// Waits until the verdict is good, with a warning of these words or without any.
async fn warning(cluster: &Cluster, words: Option<&str>) {
    cluster
        .until_system::<ConfigurationState>("speaker-node1", |state| {
            state.status.as_ref().is_some_and(|status| {
                let messages: Vec<&str> =
                    status.conditions.iter().map(|condition| condition.message.as_str()).collect();
                let message = messages.join("\n");
                let is_right = words.map_or(message.is_empty(), |words| {
                    message.contains("warning:") && message.contains(words)
                });
                status.result == Some(ConfigurationResult::Valid) && is_right
            })
        })
        .await;
}

#[test]
fn a_family_that_the_router_has_not_activated_is_a_warning_until_it_has() {
    in_namespace("bgp::a_family_that_the_router_has_not_activated_is_a_warning_until_it_has", async || {
        let cluster = cluster().await;
        let collector = Collector::start(None, false);
        collector.offer(OfferedFamilies::Ipv4);
        peer(&cluster, "router", &json!({ "dualStackAddressFamily": true }));
        cluster.configure("BGPAdvertisement", "hosts", &json!({}));
        service(&cluster, "web", &["192.0.2.200", "2001:db8::42"]).await;
        let speaker = speaker(&cluster, &[]);
        collector.routes(&["192.0.2.200/32"]).await;
        let line = speaker.says(&["session established", "families=\"IPv4 unicast\""]).await;
        assert!(line.contains("capabilities=") && line.contains("route refresh"), "{line}");
        speaker.says(&["a family is not agreed on", "IPv6 unicast", "spec.dualStackAddressFamily"]).await;
        warning(&cluster, Some("BGPPeer \"router\": the router has not activated IPv6 unicast")).await;
        let message = cluster.event("node1", "BGPFamilyNotAgreed").await;
        assert!(message.contains("router") && message.contains("IPv6 unicast"), "{message}");
        let missing = "metallb_bgp_family_missing{peer=\"10.0.0.2\",node=\"node1\",family=\"ipv6\"}";
        let withheld =
            "metallb_bgp_withheld_prefixes{peer=\"10.0.0.2\",node=\"node1\",reason=\"familyNotAgreed\"}";
        speaker.shows(missing, "1.0").await;
        speaker.shows(withheld, "1.0").await;
        let session = speaker.state().await["sessions"][0].clone();
        assert_eq!(session["negotiated"]["missingFamilies"], json!(["IPv6 unicast"]), "{session}");
        let reason = &session["withheld"][0];
        assert_eq!(
            (&reason["reason"], &reason["routes"]),
            (&json!("familyNotAgreed"), &json!(1)),
            "{session}"
        );

        collector.offer(OfferedFamilies::Both);
        collector.routes(&["192.0.2.200/32", "2001:db8::42/128"]).await;
        warning(&cluster, None).await;
        speaker.says(&["every family is agreed on again"]).await;
        speaker.shows(missing, "0.0").await;
        speaker.shows(withheld, "0.0").await;

        // The other family, and then one that is not wanted any more.
        collector.offer(OfferedFamilies::Ipv6);
        collector.routes(&["2001:db8::42/128"]).await;
        warning(&cluster, Some("has not activated IPv4 unicast")).await;
        collector.offer(OfferedFamilies::Ipv4);
        warning(&cluster, Some("has not activated IPv6 unicast")).await;
        peer(&cluster, "router", &json!({}));
        collector.routes(&["192.0.2.200/32"]).await;
        warning(&cluster, None).await;
    });
}

#[test]
fn a_status_names_the_peers_that_have_the_routes() {
    in_namespace("bgp::a_status_names_the_peers_that_have_the_routes", async || {
        let cluster = cluster().await;
        let collector = Collector::start(None, false);
        collector.offer(OfferedFamilies::Ipv4);
        cluster.configure("BGPAdvertisement", "hosts", &json!({}));
        service(&cluster, "four", &["192.0.2.200"]).await;
        service(&cluster, "six", &["2001:db8::42"]).await;
        let speaker = speaker(&cluster, &[]);
        // Peers that are there when it starts would be waited for.
        speaker.ready().await;
        peer(&cluster, "router", &json!({ "dualStackAddressFamily": true }));
        peer(&cluster, "silent", &json!({ "peerAddress": "10.0.0.3" }));
        let named = async |services: &[&str]| {
            let wanted: Vec<_> =
                services.iter().map(|service| ((*service).to_owned(), vec!["router".to_owned()])).collect();
            eventually(&format!("statuses {wanted:?}"), async || {
                let found = statuses(&cluster).await.into_iter().filter_map(|found| found.status);
                let mut found: Vec<_> = found.map(|status| (status.service_name, status.peers)).collect();
                found.sort();
                (found == wanted).then_some(())
            })
            .await;
        };
        named(&["four"]).await;
        collector.offer(OfferedFamilies::Both);
        collector.routes(&["192.0.2.200/32", "2001:db8::42/128"]).await;
        named(&["four", "six"]).await;
        assert_eq!(cluster.event("six", "nodeAssigned").await.matches("bgp").count(), 1);
    });
}

#[test]
fn a_peer_that_refuses_is_told_on_the_node_and_in_the_log() {
    in_namespace("bgp::a_peer_that_refuses_is_told_on_the_node_and_in_the_log", async || {
        let cluster = cluster().await;
        let collector = Collector::start(None, false);
        peer(&cluster, "router", &json!({ "peerASN": 64999 }));
        let speaker = speaker(&cluster, &[]);
        let line = speaker.says(&["session does not come up"]).await;
        assert!(line.contains("protocol=\"bgp\"") && line.contains("error="), "{line}");
        let message = cluster.event("node1", "BGPPeerDown").await;
        assert!(message.contains("router"), "{message}");
        assert!(!collector.is_up());
    });
}
