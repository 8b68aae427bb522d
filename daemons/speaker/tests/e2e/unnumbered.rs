//! A peer that is known by its interface.

use metallb_k8s::crd::{ConfigurationResult, ConfigurationState};
use serde_json::json;

use crate::harness::eventually;
use crate::harness::namespace::sh;
use crate::site::{cluster, in_namespace, peer, speaker};

// req: T8
#[test]
fn what_keeps_a_peer_behind_an_interface_down_is_said_in_words_and_it_never_has_an_address_that_nobody_has() {
    let name = "unnumbered::what_keeps_a_peer_behind_an_interface_down_is_said_in_words_and_it_never_has_an_address_that_nobody_has";
    in_namespace(name, async || {
        let cluster = cluster().await;
        let spec = json!({
            "peerAddress": null, "sourceAddress": null, "interface": "eth7",
            "peerASN": null, "dynamicASN": "external",
        });
        peer(&cluster, "leaf", &spec);
        let speaker = speaker(&cluster, &[]);
        speaker.says(&["session configured", "address=the router on eth7"]).await;
        speaker.shows("metallb_bgp_session_up{peer=\"eth7\",node=\"node1\"}", "0.0").await;
        let message = cluster.event("node1", "BGPPeerDown").await;
        assert!(
            message.contains("BGP session leaf does not come up: this node has no interface eth7"),
            "{message}"
        );
        assert!(message.contains("spec.interface"), "{message}");
        cluster
            .until_system::<ConfigurationState>("speaker-node1", |state| {
                let result = state.status.as_ref().and_then(|status| status.result);
                result == Some(ConfigurationResult::Valid)
            })
            .await;
        sh("ip link add eth7 type veth peer name other7 && ip link set eth7 up && ip link set other7 up");
        speaker
            .says(&["session does not come up", "no router has advertised itself on interface eth7"])
            .await;
        let session = eventually("a session", async || {
            let state = speaker.state().await;
            state["sessions"].get(0).cloned()
        })
        .await;
        assert_eq!((&session["interface"], &session["remote"]), (&json!("eth7"), &json!(null)), "{session}");
        let nowhere = |line: &String| line.contains("leaf") && line.contains("[::]");
        assert!(!speaker.log().iter().any(nowhere), "{:?}", speaker.log());
    });
}
