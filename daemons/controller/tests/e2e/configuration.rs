//! Configuration that is wrong, changes or moves.

use std::fmt::Debug;

use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use metallb_k8s::crd::{
    Condition, ConditionStatus, ConfigurationResult, ConfigurationState, IPAddressPool, L2Advertisement,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{Cluster, addresses};
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

/// Changes a status as another tool does.
async fn change<K>(cluster: &Cluster, name: &str, status: &Value)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let params = PatchParams { field_manager: Some("other-tool".to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({ "status": status }));
    cluster.system::<K>().patch_status(name, &params, &patch).await.unwrap();
}

#[tokio::test]
async fn a_status_that_somebody_else_changes_or_deletes_is_put_right() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    let right = |pool: &IPAddressPool| counters(pool) == Some([0, 0, 16, 0]);
    cluster.until_system("web", right).await;
    change::<IPAddressPool>(&cluster, "web", &json!({ "assignedIPv4": 99, "conditions": [] })).await;
    cluster.until_system("web", |pool| right(pool) && pool_accepted(pool).is_some()).await;

    let valid = |state: &ConfigurationState| {
        let summary = state.status.as_ref().map(|status| status.error_summary.as_str());
        result(state) == Some(ConfigurationResult::Valid) && summary == Some("")
    };
    let before = cluster.until_system("controller", valid).await;
    change::<ConfigurationState>(&cluster, "controller", &json!({ "errorSummary": "all is lost" })).await;
    cluster.until_system("controller", valid).await;
    cluster.system::<ConfigurationState>().delete("controller", &DeleteParams::default()).await.unwrap();
    let again = cluster.until_system("controller", |state| valid(state) && state.uid() != before.uid()).await;
    let managers = again.managed_fields().iter().filter_map(|entry| entry.manager.as_deref());
    assert!(managers.collect::<Vec<_>>().contains(&"poolReconciler"));
}

#[tokio::test]
async fn somebody_who_undoes_a_status_again_and_again_is_named_and_not_answered_at_once_for_ever() {
    let (cluster, daemon) = with_pool(&["192.0.2.0/28"]).await;
    let right = |pool: &IPAddressPool| counters(pool) == Some([0, 0, 16, 0]);
    let mut undone = 0;
    while cluster.events("web", "StatusContested").await.is_empty() {
        cluster.until_system("web", right).await;
        change::<IPAddressPool>(&cluster, "web", &json!({ "assignedIPv4": 99 })).await;
        undone += 1;
        assert!(undone < 20, "nothing was ever said");
    }
    let message = cluster.event("web", "StatusContested").await;
    assert!(message.contains("\"other-tool\"") && message.contains("let only MetalLB write it"), "{message}");
    daemon.says(&["WARN", "contested", "other-tool", "error="]).await;
    let writes = cluster.front.requests();
    let writes = writes.iter().filter(|request| request.writes("/ipaddresspools/web/status"));
    assert!(writes.count() <= undone + 2, "one for each change");
    // It is put right all the same.
    cluster.until_system("web", right).await;
}

#[tokio::test]
async fn the_controller_judges_pools_and_only_mentions_the_rest() {
    let (cluster, daemon) = with_pool(&["192.0.2.0/28"]).await;
    let peer =
        json!({ "myASN": 64500, "peerASN": 64501, "peerAddress": "192.0.2.99", "bfdProfile": "missing" });
    cluster.configure("BGPPeer", "router", &peer);
    cluster
        .until_system::<ConfigurationState>("controller", |state| {
            let conditions = state.status.iter().flat_map(|status| &status.conditions);
            result(state) == Some(ConfigurationResult::Valid)
                && conditions.into_iter().any(|condition| condition.message.contains("missing"))
        })
        .await;
    daemon.shows("metallb_k8s_client_config_stale_bool", "0.0").await;
}
