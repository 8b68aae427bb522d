//! Services for which nobody works.

use serde_json::json;

use crate::collector::Collector;
use crate::site::{cluster, endpoint, in_namespace, peer, service, speaker};

#[test]
fn a_service_without_a_ready_endpoint_is_announced_with_the_flag_only() {
    let test = "without_endpoints::a_service_without_a_ready_endpoint_is_announced_with_the_flag_only";
    in_namespace(test, async || {
        let cluster = cluster().await;
        let collector = Collector::start(None, false);
        peer(&cluster, "router", &json!({}));
        cluster.configure("BGPAdvertisement", "all", &json!({}));
        service(&cluster, "idle", &["192.0.2.200"]).await;
        endpoint(&cluster, "idle", false);
        service(&cluster, "web", &["192.0.2.201"]).await;
        let mut without = speaker(&cluster, &[]);
        collector.routes(&["192.0.2.201/32"]).await;
        without.terminate().await;
        collector.session(false).await;
        let _with = speaker(&cluster, &["--announce-without-endpoints"]);
        collector.routes(&["192.0.2.200/32", "192.0.2.201/32"]).await;
    });
}
