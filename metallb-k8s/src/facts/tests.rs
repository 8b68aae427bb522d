//! What becomes of Kubernetes objects.

use std::{collections::BTreeSet, sync::Arc};

use metallb_core::{
    facts::{Demand, FamilyPolicy, Places, RequestError, Service, Serving, TrafficPolicy},
    keys::{Family, Port, Protocol, ServiceKey},
};
use serde_json::{Value, json};

use super::{
    ClassFilter, SeenService, ServiceRecord, SliceIndex, SliceRecord, SpeakerPod, is_leaving, node, objects,
    service,
};
use crate::watch::{ObjectKey, Tracked};

fn mk_service(change: impl FnOnce(&mut Value)) -> objects::Service {
    let mut object = json!({
        "metadata": {
            "name": "a", "namespace": "web", "uid": "u", "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": { "app": "a" },
            "managedFields": [{ "manager": "kubectl", "fieldsV1": { "f:spec": {} } }],
        },
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "ports": [{ "name": "http", "port": 80, "targetPort": "http", "nodePort": 30000 }],
            "selector": { "app": "a" },
        },
        "status": { "loadBalancer": {} },
    });
    change(&mut object);
    serde_json::from_value(object).unwrap()
}

fn fact(change: impl FnOnce(&mut Value)) -> Service {
    service(&mk_service(change), &ClassFilter::default()).unwrap()
}

fn annotated(annotations: Value) -> Service {
    fact(|object| object["metadata"]["annotations"] = annotations)
}

fn wanted(service: &Service) -> Vec<String> {
    match &service.demand {
        Demand::Addresses(request) => request.wanted_addresses().iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plain_service_asks_for_one_address_of_its_family() {
    let fact = fact(|_| {});
    assert_eq!(fact.key, ServiceKey::new("web", "a"));
    assert_eq!(fact.ports, BTreeSet::from([Port::new(Protocol::Tcp, 80)]));
    assert_eq!((fact.traffic_policy, fact.sharing_key), (TrafficPolicy::Cluster, None));
    let Demand::Addresses(request) = fact.demand else { panic!() };
    assert_eq!((request.families().preferred(), request.families().second()), (Family::V4, None));
}

#[test]
fn managed_fields_and_foreign_annotations_are_not_kept() {
    let object = mk_service(|object| {
        object["metadata"]["annotations"] = json!({ "example.com/big": "x", "metallb.io/address-pool": "p" });
    });
    assert!(object.metadata.managed_fields.is_none());
    let kept: Vec<_> = object.metadata.annotations.unwrap().into_keys().collect();
    assert_eq!(kept, ["metallb.io/address-pool"]);
}

#[test]
fn the_order_of_cluster_ips_decides_the_preferred_family() {
    let fact = fact(|object| {
        object["spec"]["clusterIPs"] = json!(["fd00::1", "10.0.0.1"]);
        object["spec"]["ipFamilyPolicy"] = json!("PreferDualStack");
    });
    let Demand::Addresses(request) = fact.demand else { panic!() };
    assert_eq!(request.policy(), FamilyPolicy::PreferDual);
    assert_eq!((request.families().preferred(), request.families().second()), (Family::V6, Some(Family::V4)));
}

#[test]
fn a_service_without_cluster_ip_asks_for_nothing() {
    for cluster_ips in [json!(["None"]), json!([]), Value::Null] {
        let fact = fact(|object| {
            object["spec"]["clusterIP"] = cluster_ips.get(0).cloned().unwrap_or_default();
            object["spec"]["clusterIPs"] = cluster_ips;
        });
        assert_eq!(fact.demand, Demand::None);
    }
}

#[test]
fn wanted_addresses_stand_in_the_annotation_or_in_the_field() {
    assert_eq!(wanted(&annotated(json!({ "metallb.io/loadBalancerIPs": " 192.0.2.1 " }))), ["192.0.2.1"]);
    assert_eq!(
        wanted(&annotated(json!({ "metallb.universe.tf/loadBalancerIPs": "192.0.2.2" }))),
        ["192.0.2.2"]
    );
    assert_eq!(wanted(&fact(|object| object["spec"]["loadBalancerIP"] = json!("192.0.2.3"))), ["192.0.2.3"]);
    let mapped = json!({ "metallb.io/loadBalancerIPs": "::ffff:192.0.2.4" });
    assert_eq!(wanted(&annotated(mapped)), ["192.0.2.4"]);
}

#[test]
fn the_annotation_is_a_list_and_the_field_is_not() {
    let dual = |object: &mut Value| {
        object["spec"]["clusterIPs"] = json!(["10.0.0.1", "fd00::1"]);
        object["spec"]["ipFamilyPolicy"] = json!("RequireDualStack");
    };
    let listed = fact(|object| {
        dual(object);
        object["metadata"]["annotations"] = json!({ "metallb.io/loadBalancerIPs": "192.0.2.1, 2001:db8::1" });
    });
    assert_eq!(wanted(&listed), ["192.0.2.1", "2001:db8::1"]);
    let in_field = fact(|object| {
        dual(object);
        object["spec"]["loadBalancerIP"] = json!("192.0.2.1,2001:db8::1");
    });
    let unreadable = RequestError::InvalidAddress { text: "192.0.2.1,2001:db8::1".into() };
    assert_eq!(in_field.demand, Demand::Invalid(unreadable));
}

#[test]
fn an_empty_annotation_asks_for_nothing_even_beside_one_of_the_old_prefix() {
    let fact = annotated(json!({
        "metallb.io/address-pool": "", "metallb.universe.tf/address-pool": "old",
        "metallb.io/allow-shared-ip": "", "metallb.universe.tf/allow-shared-ip": "k",
        "metallb.io/loadBalancerIPs": "", "metallb.universe.tf/loadBalancerIPs": "192.0.2.1",
    }));
    assert_eq!((wanted(&fact), &fact.sharing_key), (Vec::new(), &None));
    let Demand::Addresses(request) = fact.demand else { panic!() };
    assert_eq!(request.wanted_pool(), None);
}

#[test]
fn the_present_prefix_wins_over_the_old_one() {
    let both = json!({ "metallb.io/address-pool": "new", "metallb.universe.tf/address-pool": "old" });
    let Demand::Addresses(request) = annotated(both).demand else { panic!() };
    assert_eq!(request.wanted_pool().map(ToString::to_string), Some("new".to_owned()));
}

#[test]
fn wishes_that_make_no_sense_are_reported_as_such() {
    let invalid = |service: Service| match service.demand {
        Demand::Invalid(error) => error,
        other => panic!("{other:?}"),
    };
    let both = fact(|object| {
        object["spec"]["loadBalancerIP"] = json!("192.0.2.3");
        object["metadata"]["annotations"] = json!({ "metallb.io/loadBalancerIPs": "192.0.2.3" });
    });
    assert_eq!(invalid(both), RequestError::WantedTwice);
    let unreadable = annotated(json!({ "metallb.io/loadBalancerIPs": "192.0.2.300" }));
    assert_eq!(invalid(unreadable), RequestError::InvalidAddress { text: "192.0.2.300".into() });
    let comma = annotated(json!({ "metallb.io/loadBalancerIPs": "192.0.2.1," }));
    let told = invalid(comma).to_string();
    assert!(told.starts_with("metallb.io/loadBalancerIPs: \"192.0.2.1,\" has a comma"), "{told}");
    let twice = annotated(json!({ "metallb.io/loadBalancerIPs": "192.0.2.1,192.0.2.2" }));
    assert_eq!(invalid(twice), RequestError::TwoAddressesOfOneFamily { family: Family::V4 });
}

#[test]
fn an_annotation_that_means_nothing_is_named_with_what_was_perhaps_meant() {
    let unknown = |name: &str| {
        let object = mk_service(|object| object["metadata"]["annotations"] = json!({ name: "x" }));
        ServiceRecord::cut(&object, &ClassFilter::default()).unwrap().unknown
    };
    for (written, meant) in [
        ("metallb.io/address-pools", Some("metallb.io/address-pool")),
        ("metallb.io/loadbalancerips", Some("metallb.io/loadBalancerIPs")),
        ("metallb.io/loadBalancerIP", Some("metallb.io/loadBalancerIPs")),
        ("metallb.universe.tf/allow-share-ip", Some("metallb.io/allow-shared-ip")),
        ("metallb.io/colour", None),
    ] {
        assert_eq!(unknown(written), [(written.to_owned(), meant)]);
    }
    for known in
        ["metallb.io/allow-shared-ip", "metallb.universe.tf/address-pool", "example.com/address-pools"]
    {
        assert_eq!(unknown(known), []);
    }
}

#[test]
fn an_annotation_that_a_template_left_behind_is_named() {
    let object = mk_service(|object| {
        object["metadata"]["annotations"] = json!({
            "metallb.io/allow-shared-ip": "<no value>",
            "metallb.universe.tf/address-pool": "{{ .Values.pool }}",
            "metallb.io/loadBalancerIPs": "192.0.2.1",
            "example.com/key": "${KEY}",
        });
    });
    let found = ServiceRecord::cut(&object, &ClassFilter::default()).unwrap().unfilled;
    assert_eq!(found, ["metallb.io/allow-shared-ip", "metallb.universe.tf/address-pool"]);
}

#[test]
fn only_services_of_our_class_are_ours() {
    let classed = |class: Value| mk_service(|object| object["spec"]["loadBalancerClass"] = class);
    let (without, with) = (ClassFilter::default(), ClassFilter::new("metallb.io/metallb"));
    let ours = |object: &objects::Service, filter: &ClassFilter| service(object, filter).is_some();
    assert!(ours(&classed(Value::Null), &without) && !ours(&classed(Value::Null), &with));
    let ours_by_class = classed(json!("metallb.io/metallb"));
    assert!(!ours(&ours_by_class, &without) && ours(&ours_by_class, &with));
    assert!(!ours(&classed(json!("other")), &with));
}

#[test]
fn a_service_that_was_ours_is_cleaned_up_and_others_are_none_of_our_business() {
    let plain = |annotations: Value| {
        mk_service(|object| {
            object["spec"]["type"] = json!("ClusterIP");
            object["metadata"]["annotations"] = annotations;
        })
    };
    let cleaned =
        service(&plain(json!({ "metallb.io/ip-allocated-from-pool": "p" })), &ClassFilter::default());
    assert_eq!(cleaned.map(|fact| fact.demand), Some(Demand::None));
    assert_eq!(service(&plain(json!({})), &ClassFilter::default()), None);
}

#[test]
fn addresses_and_pools_are_read_back_from_status_and_annotation() {
    let object = mk_service(|object| {
        object["metadata"]["annotations"] = json!({ "metallb.io/ip-allocated-from-pool": "p1, p2" });
        object["status"]["loadBalancer"]["ingress"] = json!([{ "ip": "192.0.2.1", "ipMode": "VIP" }, { "ip": "2001:db8::1" }, { "hostname": "elsewhere" }]);
    });
    let record = ServiceRecord::cut(&object, &ClassFilter::default()).unwrap();
    assert_eq!(record.fact.assigned.len(), 2);
    assert_eq!(record.fact.recorded_pools.len(), 2);
    assert!(record.foreign_ingress && record.annotated);
}

#[test]
fn a_new_version_with_the_same_content_does_not_matter() {
    let record = |version: &str, shared: &str| {
        let object = mk_service(|object| {
            object["metadata"]["resourceVersion"] = json!(version);
            object["metadata"]["annotations"] = json!({ "metallb.io/allow-shared-ip": shared });
        });
        ServiceRecord::cut(&object, &ClassFilter::default()).unwrap()
    };
    assert!(!record("8", "k").differs(&record("7", "k")));
    assert!(record("8", "other").differs(&record("8", "k")));
}

#[test]
fn old_annotation_names_are_listed_for_the_warning() {
    let object = mk_service(|object| {
        object["metadata"]["annotations"] =
            json!({ "metallb.universe.tf/allow-shared-ip": "k", "metallb.io/address-pool": "p" });
    });
    let record = ServiceRecord::cut(&object, &ClassFilter::default()).unwrap();
    assert_eq!(record.deprecated, ["metallb.universe.tf/allow-shared-ip"]);
    assert_eq!(record.fact.sharing_key.as_ref().map(ToString::to_string), Some("k".to_owned()));
}

#[test]
fn the_state_of_a_node_is_read_from_conditions_labels_and_taints() {
    let read = |object: Value| node(&serde_json::from_value(object).unwrap()).unwrap();
    let well = read(json!({ "metadata": { "name": "n" }, "status": { "conditions": [
        { "type": "NetworkUnavailable", "status": "False" }] } }));
    assert!(!well.network_unavailable && !well.excluded && !well.control_plane && !well.out_of_service);
    let unwell = read(json!({
        "metadata": { "name": "n", "labels": {
            "node.kubernetes.io/exclude-from-external-load-balancers": "",
            "node-role.kubernetes.io/control-plane": "" } },
        "spec": { "taints": [{ "key": "node.kubernetes.io/out-of-service", "effect": "NoExecute" }] },
        "status": { "conditions": [{ "type": "NetworkUnavailable", "status": "True" }] },
    }));
    assert!(unwell.network_unavailable && unwell.excluded && unwell.control_plane && unwell.out_of_service);
}

#[test]
fn the_own_addresses_of_a_node_are_those_called_internal_and_external() {
    let object = json!({ "metadata": { "name": "n" }, "status": { "addresses": [
        { "type": "Hostname", "address": "n" },
        { "type": "ExternalIP", "address": "203.0.113.1" },
        { "type": "InternalIP", "address": "192.0.2.1" },
        { "type": "InternalIP", "address": "nonsense" },
        { "type": "InternalIP", "address": "2001:db8::1" }] } });
    let read = node(&serde_json::from_value(object).unwrap()).unwrap();
    let expected: Vec<std::net::IpAddr> = ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().unwrap()).into();
    assert_eq!(read.internal_addresses, expected);
    assert_eq!(read.external_addresses, ["203.0.113.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(read.own_addresses().len(), 3);
}

// req: G5
#[test]
fn a_node_that_is_cordoned_or_shuts_down_is_leaving() {
    let leaving = |spec: Value, ready: &str| {
        let conditions =
            json!([{ "type": "Ready", "status": ready }, { "type": "DiskPressure", "status": "False" }]);
        let object =
            json!({ "metadata": { "name": "n" }, "spec": spec, "status": { "conditions": conditions } });
        is_leaving(&serde_json::from_value(object).unwrap())
    };
    assert!(!leaving(json!({}), "True"));
    assert!(!leaving(json!({}), "Unknown"));
    assert!(leaving(json!({}), "False"));
    assert!(leaving(json!({ "unschedulable": true }), "True"));
}

fn slice(endpoints: &Value) -> SliceRecord {
    slice_of("IPv4", endpoints).unwrap()
}

fn slice_of(address_type: &str, endpoints: &Value) -> Option<SliceRecord> {
    let object = json!({
        "addressType": address_type,
        "metadata": { "name": "a-1", "namespace": "web", "labels": { "kubernetes.io/service-name": "a" } },
        "endpoints": endpoints,
    });
    SliceRecord::cut(&serde_json::from_value(object).unwrap())
}

#[test]
fn an_endpoint_serves_when_ready_or_unjudged_or_still_serving() {
    let found = slice(&json!([
        { "nodeName": "ready", "conditions": { "ready": true } },
        { "nodeName": "unjudged" },
        { "nodeName": "ending", "conditions": { "ready": false, "serving": true, "terminating": true } },
        { "nodeName": "not-ready", "conditions": { "ready": false, "serving": false } },
        { "nodeName": "failing", "conditions": { "ready": false } },
    ]));
    let nodes = |places: &Places| places.nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(nodes(&found.endpoints.ready), ["ready", "unjudged"]);
    assert_eq!(nodes(&found.endpoints.terminating), ["ending"]);
    assert!(!found.endpoints.ready.elsewhere);
    assert!(slice(&json!([{ "conditions": { "ready": true } }])).endpoints.ready.elsewhere);
}

#[test]
fn families_of_endpoints_are_not_mixed() {
    let endpoints = json!([{ "nodeName": "n1" }]);
    let of = |address_type| slice_of(address_type, &endpoints);
    let service = ServiceKey::new("web", "a");
    let found = super::endpoints(&service, [&of("IPv6").unwrap()]).unwrap();
    assert_eq!((found.v4.anywhere(), found.v6.anywhere()), (Serving::Not, Serving::Ready));
    let found = super::endpoints(&service, [&of("IPv4").unwrap(), &of("IPv6").unwrap()]).unwrap();
    assert_eq!((found.v4.anywhere(), found.v6.anywhere()), (Serving::Ready, Serving::Ready));
    assert_eq!(of("FQDN"), None, "names are nothing that traffic could be sent to");
}

#[test]
fn what_is_being_deleted_counts_as_gone() {
    let deleted = |mut object: Value| {
        object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        object
    };
    let object =
        json!({ "metadata": { "name": "a", "namespace": "web" }, "spec": { "type": "LoadBalancer" } });
    let cut =
        |object: Value| ServiceRecord::cut(&serde_json::from_value(object).unwrap(), &ClassFilter::default());
    assert!(cut(object.clone()).is_some());
    assert!(cut(deleted(object)).is_none());
}

#[test]
fn slices_of_a_service_add_up_and_go_one_by_one() {
    let mut index = SliceIndex::default();
    let service = ServiceKey::new("web", "a");
    let keys = ["a-1", "a-2"].map(|name| ObjectKey::namespaced("web", name));
    let on = |node: &str| Arc::new(slice(&json!([{ "nodeName": node }])));
    let nodes = |index: &SliceIndex| index.endpoints(&service).map(|endpoints| endpoints.nodes().len());
    assert_eq!(index.apply(&keys[0], Some(on("n1"))), BTreeSet::from([service.clone()]));
    index.apply(&keys[1], Some(on("n2")));
    assert_eq!(nodes(&index), Some(2));
    index.apply(&keys[0], None);
    assert_eq!(nodes(&index), Some(1));
    let unready = slice(&json!([{ "nodeName": "n2", "conditions": { "ready": false } }]));
    index.apply(&keys[1], Some(Arc::new(unready)));
    assert_eq!(nodes(&index), None, "none can serve");
}

#[test]
fn a_speakers_pod_counts_once_it_has_an_address_and_until_it_ends() {
    let pod = |change: Value| {
        let mut object = json!({ "metadata": { "name": "s" }, "spec": { "nodeName": "n1" }, "status": {
            "phase": "Running", "podIP": "192.0.2.1", "podIPs": [{ "ip": "192.0.2.1" }, { "ip": "2001:db8::1" }],
            "conditions": [{ "type": "Ready", "status": "True" }] } });
        object["status"].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        SpeakerPod::cut(&serde_json::from_value(object).unwrap())
    };
    let found = pod(json!({})).unwrap();
    assert_eq!((found.node.as_str(), found.addresses.len(), found.ready), ("n1", 2, true));
    assert!(pod(json!({ "phase": "Failed" })).is_none());
    assert!(pod(json!({ "podIP": null, "podIPs": null })).is_none());
    assert!(!pod(json!({ "conditions": [] })).unwrap().ready);
}

#[test]
fn whoever_gives_addresses_sees_those_of_services_of_other_classes_until_they_are_gone() {
    let (without, with) = (ClassFilter::default(), ClassFilter::new("example.com/ours"));
    let holder = |change: fn(&mut Value)| {
        mk_service(|object| {
            object["status"] =
                json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }, { "hostname": "h" }] } });
            change(object);
        })
    };
    let seen = |object: &objects::Service, filter| SeenService::cut(object, filter);
    let theirs = SeenService::Foreign(BTreeSet::from(["192.0.2.1".parse().unwrap()]));
    let foreign = Some(theirs.clone());
    let plain = holder(|_| {});
    assert!(matches!(seen(&plain, &without), Some(SeenService::Ours(_))));
    assert_eq!(seen(&plain, &with), foreign);
    let ending = holder(|object| object["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z"));
    assert_eq!((seen(&ending, &without), seen(&ending, &with)), (None, foreign.clone()));
    let classed = holder(|object| object["spec"]["loadBalancerClass"] = json!("example.com/other"));
    assert_eq!((seen(&classed, &without), seen(&classed, &with)), (foreign.clone(), foreign));
    let internal = holder(|object| object["spec"]["type"] = json!("ClusterIP"));
    assert_eq!(seen(&internal, &with), None);
    let bare = mk_service(|object| object["spec"]["loadBalancerClass"] = json!("example.com/other"));
    assert_eq!(seen(&bare, &without), None);
    assert!(theirs.differs(&seen(&plain, &without).unwrap()));
}
