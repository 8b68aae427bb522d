//! Versions that fit together, and such that do not.

use serde_json::json;

use super::*;

fn mk_snapshot(pods: &[(&str, &str, &str, Option<&str>)]) -> Snapshot {
    let mut snapshot = Snapshot { namespace: "metallb-system".to_owned(), ..Snapshot::default() };
    for (name, component, image, said) in pods {
        snapshot.objects.push(json!({
            "kind": "Pod", "metadata": { "name": name, "labels": { "component": component } },
            "spec": { "containers": [{ "name": component, "image": image }] },
        }));
        if let Some(said) = said {
            snapshot.voices.say(name, &format!("metallb_build_info{{version=\"{said}\"}} 1\n"));
        }
    }
    snapshot
}

#[test]
fn one_version_everywhere_needs_no_remark() {
    let snapshot = mk_snapshot(&[
        ("c", "controller", "x/controller:v0.1.0", Some("0.1.0")),
        ("a", "speaker", "x/speaker:v0.1.0", Some("0.1.0")),
        ("b", "speaker", "x/speaker:v0.1.0", None),
    ]);
    let found = versions("0.1.0", Some("v1.33.0".to_owned()), &snapshot);
    assert_eq!(found.remarks, [""; 0]);
    insta::assert_snapshot!("one", text(&found, 80));
}

#[test]
fn a_rollout_that_runs_is_seen() {
    let snapshot = mk_snapshot(&[
        ("c", "controller", "x/controller:v0.2.0", Some("0.2.0")),
        ("a", "speaker", "x/speaker:v0.1.0", Some("0.1.0")),
        ("b", "speaker", "x/speaker:v0.2.0", Some("0.2.0")),
        ("d", "speaker", "x/speaker:v0.2.0", Some("0.2.0")),
    ]);
    let found = versions("0.3.0", None, &snapshot);
    insta::assert_snapshot!("rollout", text(&found, 80));
}

#[test]
fn an_image_that_holds_another_version_than_its_tag_says_is_named() {
    let snapshot = mk_snapshot(&[
        ("c", "controller", "x/controller:v0.2.0", Some("0.1.0")),
        ("a", "speaker", "x/speaker:main", Some("0.1.0")),
    ]);
    let found = versions("0.1.0", None, &snapshot);
    assert_eq!(found.remarks, ["the image x/controller:v0.2.0 holds version 0.1.0"]);
}

#[test]
fn who_may_not_see_pods_is_told_so() {
    let mut snapshot = mk_snapshot(&[]);
    assert!(versions("0.1.0", None, &snapshot).remarks[0].starts_with("no daemon runs in namespace"));
    snapshot.refused.push(("Pod".to_owned(), "pods is forbidden".to_owned()));
    assert_eq!(versions("0.1.0", None, &snapshot).remarks, ["the pods cannot be seen: pods is forbidden"]);
}

#[test]
fn a_tag_that_says_no_version_is_not_compared() {
    let snapshot =
        mk_snapshot(&[("c", "controller", "x/controller", None), ("a", "speaker", "x/speaker:main", None)]);
    let remarks = versions("0.1.0", None, &snapshot).remarks;
    assert!(remarks.iter().all(|remark| !remark.contains("this program is")), "{remarks:?}");
}
