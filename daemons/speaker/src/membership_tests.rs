//! The task among many others, with an owner that is busy.

use metallb_core::keys::InterfaceName;
use metallb_core::membership::InterfaceFacts;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);
const PEERS: u8 = 200;

fn mk_args() -> MembershipArgs {
    MembershipArgs {
        bind: ([127, 0, 0, 1], 0).into(),
        labels: String::new(),
        secret: None,
        secret_name: None,
        wan: false,
    }
}

fn mk_metadata(interface: &str) -> Metadata {
    let interfaces = BTreeMap::from([(InterfaceName::new(interface), InterfaceFacts::default())]);
    Metadata { interfaces, ..Metadata::default() }
}

fn mk_speaker(name: &str) -> Started {
    start(NodeName::new(name), &mk_args(), None).unwrap()
}

async fn view_with(view: &mut watch::Receiver<View>, condition: impl Fn(&View) -> bool) -> View {
    let found = tokio::time::timeout(PATIENCE, view.wait_for(condition)).await;
    found.expect("the view never shows it").unwrap().clone()
}

#[tokio::test]
async fn an_owner_that_is_busy_while_everybody_says_something_stops_nobody() {
    let us = NodeName::new("us");
    let Started { handle, mut view, address } = mk_speaker("us");
    let mut others = Vec::new();
    let mut peers = BTreeMap::new();
    for number in 0..PEERS {
        let name = format!("node-{number}");
        let other = mk_speaker(&name);
        other.handle.set_metadata(mk_metadata(&name));
        other.handle.set_peers(BTreeMap::from([(us.clone(), Peer::new(address, true))]));
        peers.insert(NodeName::new(name), Peer::new(other.address, true));
        others.push(other);
    }
    handle.set_peers(peers);
    handle.set_metadata(mk_metadata("before"));
    // The owner looks at nothing until everybody knows everybody's metadata, and has much to say meanwhile.
    for other in &mut others {
        view_with(&mut other.view, |view| view.metadata.contains_key(&us)).await;
    }
    for number in 0..100 {
        handle.set_metadata(mk_metadata(&format!("change-{number}")));
    }
    handle.set_metadata(mk_metadata("after"));
    for other in &mut others {
        let said = view_with(&mut other.view, |view| {
            view.metadata.get(&us).is_some_and(|metadata| **metadata == mk_metadata("after"))
        });
        said.await;
    }
    let seen = view_with(&mut view, |view| view.metadata.len() == usize::from(PEERS) + 1).await;
    assert_eq!(seen.changed_metadata(&View::default()).count(), usize::from(PEERS) + 1);
    assert_eq!(seen.changed_metadata(&seen).count(), 0);
    view_with(&mut view, |view| view.members.len() == usize::from(PEERS) + 1).await;
}

#[tokio::test]
async fn a_peer_that_is_no_peer_any_more_is_forgotten() {
    let Started { handle, mut view, address } = mk_speaker("us");
    let other = mk_speaker("other");
    other.handle.set_peers(BTreeMap::from([(NodeName::new("us"), Peer::new(address, true))]));
    other.handle.set_metadata(mk_metadata("eth0"));
    let name = NodeName::new("other");
    handle.set_peers(BTreeMap::from([(name.clone(), Peer::new(other.address, true))]));
    let before = view_with(&mut view, |view| view.metadata.contains_key(&name)).await;
    handle.set_peers(BTreeMap::new());
    let after = view_with(&mut view, |view| !view.metadata.contains_key(&name)).await;
    assert_eq!(after.changed_metadata(&before).collect::<Vec<_>>(), [(&name, None)]);
}

#[tokio::test]
async fn the_view_ends_with_the_task() {
    let Started { handle, mut view, .. } = mk_speaker("us");
    drop(handle);
    tokio::time::timeout(PATIENCE, async { while view.changed().await.is_ok() {} }).await.unwrap();
}
