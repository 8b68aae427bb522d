//! What answers mean.

use serde_json::{Value, json};

use super::*;
use crate::explain::chain::State;

fn judge(route: Option<Route>, answers: &[(&str, &[u8])], owners: &[&str]) -> Step {
    let snapshot = Snapshot { namespace: "metallb-system".to_owned(), ..Snapshot::default() };
    let object: Value = json!({ "metadata": { "name": "web", "namespace": "default" } });
    let subject = Subject { snapshot: &snapshot, object: &object };
    let macs = |last: &[u8]| last.iter().map(|last| MacAddr::new([2, 0, 0, 0, 0, *last])).collect();
    let seen = Seen {
        route,
        trouble: None,
        answers: answers.iter().map(|(address, last)| (address.parse().unwrap(), macs(last))).collect(),
    };
    let nodes = [("192.0.2.11", "node-a"), ("192.0.2.12", "node-b")];
    let nodes =
        nodes.into_iter().map(|(address, node)| (address.parse().unwrap(), node.to_owned())).collect();
    let owners = owners.iter().copied().collect();
    let mut chain = Chain::default();
    verdict(&mut chain, subject, "192.0.2.100".parse().unwrap(), &seen, &nodes, &owners);
    chain.steps.remove(0)
}

fn direct() -> Route {
    Route { interface: "eth0".to_owned(), gateway: None }
}

#[test]
fn the_owner_alone_answers() {
    let step = judge(Some(direct()), &[("192.0.2.100", &[1]), ("192.0.2.11", &[1])], &["node-a"]);
    assert_eq!((step.state, step.reason), (State::Good, None));
    assert_eq!(step.text, "02:00:00:00:00:01 (node-a) answers ARP for 192.0.2.100 on eth0");
}

#[test]
fn two_that_answer_are_named() {
    let answers = [("192.0.2.100", &[1, 9][..]), ("192.0.2.11", &[1])];
    let step = judge(Some(direct()), &answers, &["node-a"]);
    assert_eq!(step.reason, Some("duplicate_answers"));
    assert_eq!(
        step.text,
        "02:00:00:00:00:01 (node-a) and 02:00:00:00:00:09 answer ARP for 192.0.2.100 on eth0: clients reach now one, now another"
    );
}

#[test]
fn a_node_that_should_not_answer_is_named() {
    let answers = [("192.0.2.100", &[2][..]), ("192.0.2.11", &[1]), ("192.0.2.12", &[2])];
    let step = judge(Some(direct()), &answers, &["node-a"]);
    assert_eq!(step.reason, Some("answered_elsewhere"));
    assert!(
        step.text.ends_with("(node-b) answers ARP for 192.0.2.100 on eth0, and node-a says that it does")
    );
}

#[test]
fn silence_is_wrong_only_where_somebody_should_speak() {
    assert_eq!(judge(Some(direct()), &[], &["node-a"]).reason, Some("no_answer"));
    assert_eq!(judge(Some(direct()), &[], &[]).state, State::Note);
}

#[test]
fn the_way_there_counts() {
    assert_eq!(judge(None, &[], &["node-a"]).reason, Some("no_route"));
    let by_router = Route { interface: "eth0".to_owned(), gateway: Some("192.0.2.1".parse().unwrap()) };
    let step = judge(Some(by_router), &[], &["node-a"]);
    assert_eq!(step.state, State::Note);
    assert!(step.text.contains("by the router 192.0.2.1 on eth0"), "{}", step.text);
}
