//! What is written to status resources, and when nothing is.

use std::collections::BTreeSet;

use jiff::Timestamp;
use metallb_core::{
    config::Kind,
    ipam::Usage,
    keys::{InterfaceName, NodeName, PeerName, ServiceKey},
};
use serde_json::{Value, json};

use super::{
    Identity, Write,
    conditions::Verdict,
    status::{
        Component, PoolUse, ServiceStatus, ServiceStatusRecord, StatusKind, configuration_state, label_value,
        plan_object_status, plan_service_status,
    },
};
use crate::{
    convert::Judgement,
    crd::{self, ConfigurationResult},
    watch::StatusTarget,
};

fn target(kind: Kind, status: Value) -> StatusTarget {
    let (name, identity) = ("x".to_owned(), Identity::new("u", "1"));
    StatusTarget { kind, name, identity, generation: Some(1), status, rewritten_by: None }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn accepted() -> Verdict {
    Verdict::accepted(&[])
}

fn usage(assigned_v4: u128, available_v6: u128) -> PoolUse {
    PoolUse { usage: Usage { assigned_v4, available_v6, ..Usage::default() }, ..PoolUse::default() }
}

fn status_of(write: Option<Write>) -> Value {
    match write {
        Some(Write::ObjectStatus { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pool_gets_all_counters_in_every_write_and_the_largest_where_they_do_not_fit() {
    let status = status_of(plan_object_status(
        &target(Kind::Pool, Value::Null),
        &accepted(),
        Some(usage(3, u128::MAX)),
        at(5),
    ));
    assert_eq!((&status["assignedIPv4"], &status["availableIPv6"]), (&json!(3), &json!(i64::MAX)));
    assert_eq!((&status["assignedIPv6"], &status["availableIPv4"]), (&json!(0), &json!(0)));
    assert_eq!(status["conditions"][0]["type"], "Accepted");
    let pool: crd::IPAddressPoolStatus = serde_json::from_value(status).unwrap();
    assert_eq!(pool.conditions.len(), 1);
}

#[test]
fn a_status_that_stands_already_is_not_written_even_beside_entries_of_others() {
    let plan = |kind, status: Value, usage: &Option<PoolUse>| {
        plan_object_status(&target(kind, status), &accepted(), usage.clone(), at(99))
    };
    for (kind, usage) in [(Kind::Pool, Some(usage(1, 2))), (Kind::Peer, None)] {
        let mut status = status_of(plan(kind, Value::Null, &usage));
        assert_eq!(plan(kind, status.clone(), &usage), None);
        status["example.com"] = json!("x");
        assert_eq!(plan(kind, status, &usage), None);
    }
}

#[test]
fn a_pool_names_who_uses_it_and_nobody_when_all_are_gone() {
    let used = |names: &[&str]| PoolUse {
        users: names.iter().map(|name| ServiceKey::new("web", *name)).collect(),
        services: names.len(),
        ..PoolUse::default()
    };
    let status = |before: Value, names: &[&str]| {
        status_of(plan_object_status(&target(Kind::Pool, before), &accepted(), Some(used(names)), at(5)))
    };
    let before = status(Value::Null, &["a", "b"]);
    assert_eq!((&before["services"], &before["usedBy"]), (&json!(2), &json!(["web/a", "web/b"])));
    let after = status(before, &[]);
    assert_eq!((&after["services"], &after["usedBy"]), (&json!(0), &json!([])));
}

#[test]
fn a_changed_counter_does_not_touch_the_time_of_the_condition() {
    let first = plan_object_status(&target(Kind::Pool, Value::Null), &accepted(), Some(usage(1, 0)), at(5));
    let first = status_of(first);
    let second =
        plan_object_status(&target(Kind::Pool, first.clone()), &accepted(), Some(usage(2, 0)), at(50));
    let second = status_of(second);
    assert_eq!((&second["assignedIPv4"], &second["conditions"]), (&json!(2), &first["conditions"]));
}

#[test]
fn a_service_status_is_written_when_it_differs_and_removed_when_unwanted() {
    let wanted = |interfaces: &[&str]| {
        let interfaces = interfaces.iter().map(|name| InterfaceName::new(*name)).collect();
        ServiceStatus::layer2(ServiceKey::new("web", "a"), NodeName::new("n1"), interfaces)
    };
    let found = |status: &ServiceStatus| {
        let object = json!({
            "metadata": { "name": "x", "labels": status.labels() }, "spec": {}, "status": status.status(),
        });
        ServiceStatusRecord::layer2(&crd::decode(object).unwrap())
    };
    let (one, two) = (wanted(&["eth0"]), wanted(&["eth0", "eth1"]));
    let plan = |wanted: Option<&ServiceStatus>, found: Option<&ServiceStatusRecord>| {
        plan_service_status("x", StatusKind::Layer2, wanted, found)
    };
    assert_eq!(plan(Some(&one), Some(&found(&one))), None);
    assert!(
        matches!(plan(Some(&two), Some(&found(&one))), Some(Write::ServiceStatus { status, based_on: Some(_) }) if status == two)
    );
    assert_eq!(plan(Some(&one), None), Some(Write::ServiceStatus { status: one.clone(), based_on: None }));
    assert!(matches!(plan(None, Some(&found(&one))), Some(Write::Remove { .. })));
    assert_eq!(plan(None, None), None);
}

#[test]
fn names_differ_by_service_node_and_kind_and_are_the_same_next_time() {
    let layer2 = |service: &str, node: &str| {
        ServiceStatus::layer2(ServiceKey::new("web", service), NodeName::new(node), BTreeSet::new())
            .object_name()
    };
    let bgp = ServiceStatus::bgp(
        ServiceKey::new("web", "a"),
        NodeName::new("n1"),
        BTreeSet::from([PeerName::new("router")]),
    );
    let names = BTreeSet::from([layer2("a", "n1"), layer2("b", "n1"), layer2("a", "n2"), bgp.object_name()]);
    assert_eq!((names.len(), layer2("a", "n1")), (4, layer2("a", "n1")));
}

#[test]
fn long_names_of_nodes_become_labels_that_the_server_takes() {
    let long = |last: &str| format!("{}.{last}", "a".repeat(200));
    assert_eq!(label_value("n1.example.com"), "n1.example.com");
    assert!(label_value(&long("x")).len() <= 63);
    assert_ne!(label_value(&long("x")), label_value(&long("y")));
}

#[test]
fn the_state_of_the_configuration_keeps_its_time_until_the_verdict_changes() {
    let state = |errors: &[&str], before: Option<&_>, second| {
        let errors: Vec<_> = errors.iter().map(|error| (*error).to_owned()).collect();
        let judgement = Judgement { errors, warnings: Vec::new() };
        configuration_state(&Component::Controller, &judgement, before, at(second))
    };
    let valid = state(&[], None, 1);
    assert_eq!((valid.result, valid.error_summary.as_str()), (Some(ConfigurationResult::Valid), ""));
    assert_eq!(state(&[], Some(&valid), 2), valid);
    let invalid = state(&["one", "two"], Some(&valid), 3);
    assert_eq!(invalid.error_summary, "one\ntwo");
    let condition = &invalid.conditions[0];
    assert_eq!(
        (condition.kind.as_str(), condition.reason.as_str()),
        ("poolReconcilerValid", "ConfigurationError")
    );
    assert_eq!(condition.last_transition_time.0, at(3));
}

#[test]
fn a_warning_stands_in_the_message_of_a_valid_configuration() {
    let component = Component::Speaker(NodeName::new("n1"));
    let lacking = Judgement { errors: Vec::new(), warnings: vec!["no session".to_owned()] };
    let state = configuration_state(&component, &lacking, None, at(1));
    assert_eq!((state.result, state.error_summary.as_str()), (Some(ConfigurationResult::Valid), ""));
    assert_eq!(state.conditions[0].message, "warning: no session");
    let gone = configuration_state(&component, &Judgement::default(), Some(&state), at(2));
    assert_eq!(gone.conditions[0].message, "");
    assert_eq!(gone.conditions[0].last_transition_time.0, at(1));
}
