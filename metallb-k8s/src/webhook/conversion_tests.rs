use super::*;

#[expect(clippy::needless_pass_by_value, reason = "reads better where it is used")]
fn peer(version: &str, spec: Value) -> Value {
    json!({
        "apiVersion": format!("metallb.io/{version}"), "kind": "BGPPeer",
        "metadata": {
            "name": "r", "namespace": "metallb-system", "uid": "u", "resourceVersion": "7", "generation": 3,
            "labels": { "a": "b" }, "annotations": { "note": "kept" }, "somethingNew": [1],
        },
        "spec": spec, "status": { "conditions": [{ "type": "Accepted" }], "somethingNew": true },
    })
}

fn mk_review(wanted: &str, objects: &[Value]) -> ConversionReview {
    serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1beta1", "kind": "ConversionReview",
        "request": { "uid": "u1", "desiredAPIVersion": wanted, "objects": objects },
    }))
    .unwrap()
}

/// The answer as it goes over the wire.
fn answer(wanted: &str, objects: &[Value]) -> Value {
    let answer = json!(convert(mk_review(wanted, objects)));
    assert_eq!(answer["apiVersion"], "apiextensions.k8s.io/v1beta1");
    assert_eq!(answer["kind"], "ConversionReview");
    assert_eq!(answer["response"]["uid"], "u1");
    assert!(answer.get("request").is_none());
    answer["response"].clone()
}

fn converted(wanted: &str, object: &Value) -> Value {
    let response = answer(wanted, std::slice::from_ref(object));
    assert_eq!(response["result"]["status"], "Success", "{response}");
    response["convertedObjects"][0].clone()
}

fn refusal(wanted: &str, objects: &[Value]) -> String {
    let response = answer(wanted, objects);
    assert_eq!(response["result"]["status"], "Failure");
    assert_eq!(response["convertedObjects"], json!([]));
    response["result"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn everything_but_version_spec_and_annotation_stays_as_it_is() {
    let new = peer("v1beta2", json!({ "myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1", "vrf": "red" }));
    let old = converted(OLD, &new);
    assert_eq!(old["apiVersion"], OLD);
    assert_eq!(old["status"], new["status"]);
    assert_eq!(old["spec"], json!({ "myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1", "peerPort": 179 }));
    let mut metadata = old["metadata"].clone();
    let annotations = metadata["annotations"].as_object_mut().unwrap();
    assert!(annotations.remove("metallb.io/v1beta2-fields").is_some());
    assert_eq!(metadata, new["metadata"]);
    let back = converted(NEW, &old);
    assert_eq!(back["metadata"], new["metadata"]);
    assert_eq!(back["spec"]["vrf"], "red");
    assert_eq!(back["status"], new["status"]);
}

#[test]
fn objects_of_several_versions_keep_their_order() {
    let spec = json!({ "myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1" });
    let (old, mut new) = (peer("v1beta1", spec.clone()), peer("v1beta2", spec));
    new["metadata"]["name"] = json!("s");
    let response = answer(NEW, &[old, new.clone()]);
    let objects = response["convertedObjects"].as_array().unwrap();
    assert_eq!((&objects[0]["metadata"]["name"], &objects[1]), (&json!("r"), &new));
    assert!(objects.iter().all(|object| object["apiVersion"] == NEW));
}

#[test]
fn an_object_without_annotations_gets_none() {
    let mut old = peer("v1beta1", json!({ "myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1" }));
    old["metadata"] = json!({ "name": "r" });
    assert_eq!(converted(NEW, &old)["metadata"], json!({ "name": "r" }));
}

#[test]
fn what_cannot_be_converted_fails_the_review_and_is_named() {
    let fine = json!({ "myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1" });
    let unknown = "BGPPeer has no version \"metallb.io/v2\"";
    assert!(refusal("metallb.io/v2", &[peer("v1beta2", fine.clone())]).contains(unknown));
    assert!(refusal(NEW, &[peer("v2", fine.clone())]).contains(unknown));
    let bad = peer("v1beta1", json!({ "myASN": "many", "peerASN": 2, "peerAddress": "192.0.2.1" }));
    let message = refusal(NEW, &[peer("v1beta1", fine), bad]);
    assert!(
        message.contains("BGPPeer \"r\" cannot be converted") && message.contains("spec.myASN"),
        "{message}"
    );
    let other = json!({ "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool" });
    assert!(refusal(NEW, &[other]).contains("\"IPAddressPool\" is not converted here"));
    for odd in [json!(null), json!(7), json!([]), json!({ "kind": "BGPPeer", "apiVersion": OLD })] {
        refusal(NEW, &[odd]);
    }
}

#[test]
fn a_review_without_a_request_fails() {
    let review = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview" });
    let answer = json!(convert(serde_json::from_value(review).unwrap()));
    assert_eq!(answer["response"]["result"]["status"], "Failure");
    assert_eq!(answer["kind"], "ConversionReview");
}
