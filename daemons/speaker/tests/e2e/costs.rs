//! What is asked of a speaker must not hold up its announcements: figures for `docs/performance.md`.

use serde_json::json;

use crate::collector::Collector;
use crate::harness::costs::{SIZES, assigned, measure, until};
use crate::site::{cluster, endpoint, in_namespace, peer, speaker};

#[test]
#[ignore = "prints figures: cargo test --release --test e2e -- --ignored --nocapture costs"]
fn what_scrapes_and_states_of_a_speaker_cost() {
    in_namespace("costs::what_scrapes_and_states_of_a_speaker_cost", async || {
        for services in SIZES {
            let cluster = cluster().await;
            cluster.pool("web", &["10.128.0.0/16"]);
            let _collector = Collector::start(None, false);
            peer(&cluster, "router", &json!({}));
            cluster.configure("L2Advertisement", "all", &json!({}));
            cluster.configure("BGPAdvertisement", "all", &json!({}));
            assigned(&cluster, services);
            for number in 0..services {
                endpoint(&cluster, &format!("s{number}"), true);
            }
            let speaker = speaker(&cluster, &["--log-level=debug"]);
            // Each by both protocols.
            let announced = |text: &str| text.matches("metallb_speaker_announced{").count();
            until(&speaker, |text| announced(text) == 2 * services).await;
            measure(&speaker, services).await;
        }
    });
}
