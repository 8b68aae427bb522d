//! Watches, through kube-rs and by hand.

use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use metallb_apiserver::Server;
use serde_json::json;

use crate::support::{mk_client, mk_definition, mk_server, mk_widget, mk_widgets};

fn map(name: &str, labels: &serde_json::Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> S::Item {
    tokio::time::timeout(Duration::from_secs(5), stream.next()).await.unwrap().unwrap()
}

/// Kind and name of an event.
fn shown(event: WatchEvent<ConfigMap>) -> String {
    match event {
        WatchEvent::Added(object) => format!("added {}", object.name_any()),
        WatchEvent::Modified(object) => format!("modified {}", object.name_any()),
        WatchEvent::Deleted(object) => format!("deleted {}", object.name_any()),
        WatchEvent::Bookmark(bookmark) => format!("bookmark {}", bookmark.metadata.resource_version),
        WatchEvent::Error(status) => format!("error {}", status.code),
    }
}

#[tokio::test]
async fn a_watch_resumes_after_a_version_without_gap_or_repeat() {
    let client = mk_client(&mk_server());
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let first = maps.create(&PostParams::default(), &map("a", &json!({}))).await.unwrap();
    maps.create(&PostParams::default(), &map("b", &json!({}))).await.unwrap();
    let from = first.resource_version().unwrap();
    let mut events = maps.watch(&WatchParams::default(), &from).await.unwrap().boxed();
    assert_eq!(shown(next(&mut events).await.unwrap()), "added b");
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(shown(next(&mut events).await.unwrap()), "deleted a");
}

#[tokio::test]
async fn objects_that_leave_the_selection_are_deleted_for_the_watcher() {
    let client = mk_client(&mk_server());
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let mut events = maps.watch(&WatchParams::default().labels("x=1"), "0").await.unwrap().boxed();
    maps.create(&PostParams::default(), &map("a", &json!({"x": "2"}))).await.unwrap();
    let label = |value: &str| Patch::Merge(json!({"metadata": {"labels": {"x": value}}}));
    let options = PatchParams::default();
    maps.patch("a", &options, &label("1")).await.unwrap();
    assert_eq!(shown(next(&mut events).await.unwrap()), "added a");
    maps.patch("a", &options, &label("2")).await.unwrap();
    assert_eq!(shown(next(&mut events).await.unwrap()), "deleted a");
    maps.patch("a", &options, &label("1")).await.unwrap();
    assert_eq!(shown(next(&mut events).await.unwrap()), "added a");
}

#[tokio::test]
async fn versions_older_than_the_history_are_gone() {
    let server = Server::builder().history(3).build().unwrap();
    let client = mk_client(&server);
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let first = maps.create(&PostParams::default(), &map("a", &json!({}))).await.unwrap();
    for number in 0..4 {
        let patch = Patch::Merge(json!({"data": {"n": number.to_string()}}));
        maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
    }
    let version = first.resource_version().unwrap();
    let Err(kube::Error::Api(status)) = maps.watch(&WatchParams::default(), &version).await.map(|_| ())
    else {
        panic!("the watch began at version {version}");
    };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
}

#[tokio::test]
async fn a_watch_from_a_version_that_was_not_reached_yet_is_silent_until_it_is() {
    let server = Server::builder().build().unwrap();
    let client = mk_client(&server);
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let first = maps.create(&PostParams::default(), &map("a", &json!({}))).await.unwrap();
    let now: u64 = first.resource_version().unwrap().parse().unwrap();
    let later = (now + 3).to_string();
    let mut events = maps.watch(&WatchParams::default(), &later).await.unwrap().boxed();
    for name in ["b", "c", "d", "e"] {
        maps.create(&PostParams::default(), &map(name, &json!({}))).await.unwrap();
    }
    assert_eq!(shown(next(&mut events).await.unwrap()), "added e");
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_ended_and_told_so() {
    let server = Server::builder().watch_buffer(2).build().unwrap();
    let client = mk_client(&server);
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let mut events = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    maps.create(&PostParams::default(), &map("a", &json!({}))).await.unwrap();
    for number in 0..64 {
        let patch = Patch::Merge(json!({"data": {"n": number.to_string()}}));
        maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
    }
    let mut last = String::new();
    while let Some(event) =
        tokio::time::timeout(Duration::from_secs(5), events.try_next()).await.unwrap().unwrap()
    {
        last = shown(event);
    }
    assert_eq!(last, "error 410");
}

#[tokio::test]
async fn bookmarks_come_and_a_timeout_ends_the_watch() {
    let client = mk_client(&mk_server());
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let options = WatchParams::default().timeout(1);
    let events: Vec<_> = maps.watch(&options, "0").await.unwrap().map_ok(shown).try_collect().await.unwrap();
    assert!(events.len() >= 3 && events.iter().all(|event| event.starts_with("bookmark ")), "{events:?}");
}

#[tokio::test]
async fn kube_watchers_follow_by_list_and_by_streaming() {
    for streaming in [false, true] {
        let client = mk_client(&mk_server());
        let widgets = mk_widgets(&client);
        widgets.create(&PostParams::default(), &mk_widget("a", &json!({"size": 1}))).await.unwrap();
        let config = watcher::Config::default().page_size(1);
        let config = if streaming { watcher::Config::default().streaming_lists() } else { config };
        let mut events = watcher(widgets.clone(), config).boxed();
        assert!(matches!(next(&mut events).await.unwrap(), Event::Init));
        assert!(
            matches!(next(&mut events).await.unwrap(), Event::InitApply(object) if object.name_any() == "a")
        );
        assert!(matches!(next(&mut events).await.unwrap(), Event::InitDone));
        widgets.create(&PostParams::default(), &mk_widget("b", &json!({"size": 1}))).await.unwrap();
        assert!(matches!(next(&mut events).await.unwrap(), Event::Apply(object) if object.name_any() == "b"));
        widgets.delete("b", &DeleteParams::default()).await.unwrap();
        assert!(
            matches!(next(&mut events).await.unwrap(), Event::Delete(object) if object.name_any() == "b")
        );
    }
}

#[tokio::test]
async fn watches_end_when_their_kind_goes_and_when_the_server_stops() {
    let server = mk_server();
    let client = mk_client(&server);
    let widgets = mk_widgets(&client);
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let mut events = widgets.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let mut other = services.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    next(&mut other).await.unwrap();
    let definitions: Api<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    > = Api::all(client);
    definitions.delete("widgets.example.com", &DeleteParams::default()).await.unwrap();
    assert!(matches!(next(&mut events).await.unwrap(), WatchEvent::Error(status) if status.code == 410));
    assert!(widgets.get("a").await.is_err());
    server.apply_object(&mk_definition()).unwrap();
    assert!(widgets.get_opt("a").await.unwrap().is_none());
    server.shutdown().await;
    let ended = tokio::time::timeout(Duration::from_secs(5), async { while other.next().await.is_some() {} });
    ended.await.unwrap();
}
