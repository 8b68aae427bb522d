//! Configuration that is wrong, changes or moves.

use kube::ResourceExt;
use metallb_k8s::crd::{
    Condition, ConditionStatus, ConfigurationResult, ConfigurationState, IPAddressPool, L2Advertisement,
};
use serde_json::json;

use crate::harness::addresses;
use crate::{POOL, with_pool};

fn accepted(conditions: &[Condition]) -> Option<(ConditionStatus, String)> {
    let condition = conditions.iter().find(|condition| condition.kind == "Accepted")?;
    Some((condition.status, condition.message.clone()))
}

fn pool_accepted(pool: &IPAddressPool) -> Option<(ConditionStatus, String)> {
    accepted(&pool.status.as_ref()?.conditions)
}

fn counters(pool: &IPAddressPool) -> Option<[i64; 4]> {
    let status = pool.status.as_ref()?;
    Some([status.assigned_ipv4, status.assigned_ipv6, status.available_ipv4, status.available_ipv6])
}

fn result(state: &ConfigurationState) -> Option<ConfigurationResult> {
    state.status.as_ref()?.result
}

#[tokio::test]
async fn an_invalid_pool_is_told_and_everything_else_goes_on() {
    let (cluster, daemon) = with_pool(&["192.0.2.0/28"]).await;
    cluster
        .until_system::<ConfigurationState>("controller", |state| {
            result(state) == Some(ConfigurationResult::Valid)
        })
        .await;
    cluster.service("before", json!({}), json!({})).await;
    cluster.assigned("before", &["192.0.2.0"]).await;

    cluster.pool("broken", &["192.0.2.300/24"]);
    let pool = cluster
        .until_system::<IPAddressPool>("broken", |pool| {
            pool_accepted(pool).is_some_and(|(status, _)| status == ConditionStatus::False)
        })
        .await;
    let (_, message) = pool_accepted(&pool).unwrap();
    assert!(message.contains("spec.addresses[0]") && message.contains("192.0.2.300"), "{message}");
    let state = cluster
        .until_system::<ConfigurationState>("controller", |state| {
            result(state) == Some(ConfigurationResult::Invalid)
        })
        .await;
    assert!(state.status.unwrap().error_summary.contains("broken"));
    assert_eq!(state.metadata.labels.unwrap()["metallb.io/component-type"], "controller");
    daemon.says(&["WARN", "broken", "error="]).await;

    cluster.service("after", json!({}), json!({})).await;
    cluster.assigned("after", &["192.0.2.1"]).await;
    cluster.delete(cluster.system::<IPAddressPool>(), "broken").await;
    cluster
        .until_system::<ConfigurationState>("controller", |state| {
            result(state) == Some(ConfigurationResult::Valid)
        })
        .await;
}

#[tokio::test]
async fn a_pool_that_becomes_invalid_keeps_its_addresses_over_a_restart() {
    let (cluster, mut daemon) = with_pool(&["192.0.2.0/28"]).await;
    cluster.service("kept", json!({}), json!({})).await;
    let before = cluster.assigned("kept", &["192.0.2.0"]).await;
    cluster.pool("web", &["192.0.2.0/28", "nonsense"]);
    let pool = cluster
        .until_system::<IPAddressPool>("web", |pool| {
            pool_accepted(pool).is_some_and(|(status, _)| status == ConditionStatus::False)
        })
        .await;
    assert!(pool_accepted(&pool).unwrap().1.contains("spec.addresses[1]"));
    daemon.terminate().await;
    let daemon = crate::controller(&cluster, &[]);
    let message = cluster.event("kept", "AddressHeld").await;
    assert!(message.contains("192.0.2.0") && message.contains("web"), "{message}");
    let after = cluster.services().get("kept").await.unwrap();
    assert_eq!(after.resource_version(), before.resource_version());
    cluster.pool("web", &["192.0.2.0/28"]);
    cluster
        .until_system::<IPAddressPool>("web", |pool| {
            pool_accepted(pool).is_some_and(|(status, _)| status == ConditionStatus::True)
                && counters(pool) == Some([1, 0, 15, 0])
        })
        .await;
    drop(daemon);
}

#[tokio::test]
async fn a_pool_counts_what_it_has() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/29", "2001:db8::/64"]).await;
    let is = |wanted: [i64; 4]| move |pool: &IPAddressPool| counters(pool) == Some(wanted);
    cluster.until_system("web", is([0, 0, 8, i64::MAX])).await;
    let dual = json!({ "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"] });
    cluster.service("dual", dual, json!({})).await;
    cluster.until_system("web", is([1, 1, 7, i64::MAX])).await;
    cluster.delete(cluster.services(), "dual").await;
    cluster.until_system("web", is([0, 0, 8, i64::MAX])).await;
    // An object of the same name is another one.
    cluster.delete(cluster.system::<IPAddressPool>(), "web").await;
    cluster.pool("web", &["192.0.2.0/29", "2001:db8::/64"]);
    cluster.until_system("web", is([0, 0, 8, i64::MAX])).await;
}

#[tokio::test]
async fn addresses_stay_when_their_pool_is_renamed_or_split() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    for (name, address) in [("low", "192.0.2.1"), ("high", "192.0.2.9")] {
        cluster.service(name, json!({}), json!({ "metallb.io/loadBalancerIPs": address })).await;
        cluster.assigned(name, &[address]).await;
    }
    cluster.delete(cluster.system::<IPAddressPool>(), "web").await;
    cluster.pool("lower", &["192.0.2.0/29"]);
    cluster.pool("upper", &["192.0.2.8/29"]);
    let from = |pool: &'static str| {
        move |service: &k8s_openapi::api::core::v1::Service| {
            service.annotations().get(POOL).is_some_and(|found| found == pool)
                && !addresses(service).is_empty()
        }
    };
    let low = cluster.until("low", from("lower")).await;
    let high = cluster.until("high", from("upper")).await;
    assert_eq!((addresses(&low), addresses(&high)), (vec!["192.0.2.1"], vec!["192.0.2.9"]));
}

#[tokio::test]
async fn an_advertisement_for_a_pool_that_comes_later_heals() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    cluster.configure("L2Advertisement", "early", &json!({ "ipAddressPools": ["later"] }));
    let told = |word: &'static str| {
        move |object: &L2Advertisement| {
            let conditions = object.status.as_ref().map(|status| status.conditions.as_slice());
            conditions.and_then(accepted).is_some_and(|(_, message)| message.contains(word))
        }
    };
    cluster.until_system("early", told("later")).await;
    cluster.pool("later", &["198.51.100.0/28"]);
    cluster
        .until_system::<L2Advertisement>("early", |object| {
            let conditions = object.status.as_ref().map(|status| status.conditions.as_slice());
            conditions.and_then(accepted).is_some_and(|(status, message)| {
                status == ConditionStatus::True && !message.contains("later")
            })
        })
        .await;
}
