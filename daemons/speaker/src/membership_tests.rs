//! The task among many others, with an owner that is busy.

use metallb_core::keys::InterfaceName;
use metallb_core::membership::InterfaceFacts;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);
const PEERS: u8 = 200;
const NODES: [&str; 2] = ["us", "other"];

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
    taking_part(start(NodeName::new(name), &mk_args(), None).unwrap())
}

/// One that takes part as soon as its start is over.
fn taking_part(started: Started) -> Started {
    let (handle, mut heard) = (started.handle.clone(), started.heard.clone());
    tokio::spawn(async move {
        if heard.wait_for(|heard| heard.speakers.settled).await.is_ok() {
            handle.take_part();
        }
    });
    started
}

async fn view_with(view: &mut watch::Receiver<Heard>, condition: impl Fn(&Heard) -> bool) -> Heard {
    let found = tokio::time::timeout(PATIENCE, view.wait_for(condition)).await;
    found.expect("the view never shows it").unwrap().clone()
}

#[tokio::test]
async fn an_owner_that_is_busy_while_everybody_says_something_stops_nobody() {
    let us = NodeName::new("us");
    let Started { handle, heard: mut view, address } = mk_speaker("us");
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
        view_with(&mut other.heard, |view| view.speakers.metadata.contains_key(&us)).await;
    }
    for number in 0..100 {
        handle.set_metadata(mk_metadata(&format!("change-{number}")));
    }
    handle.set_metadata(mk_metadata("after"));
    for other in &mut others {
        let said = view_with(&mut other.heard, |view| {
            view.speakers.metadata.get(&us).is_some_and(|metadata| **metadata == mk_metadata("after"))
        });
        said.await;
    }
    let seen = view_with(&mut view, |view| view.speakers.metadata.len() == usize::from(PEERS) + 1).await;
    assert_eq!(seen.speakers.changed_metadata(&View::default()).count(), usize::from(PEERS) + 1);
    assert_eq!(seen.speakers.changed_metadata(&seen.speakers).count(), 0);
    view_with(&mut view, |view| view.speakers.members.len() == usize::from(PEERS) + 1).await;
}

#[tokio::test]
async fn a_peer_that_is_no_peer_any_more_is_forgotten() {
    let Started { handle, heard: mut view, address } = mk_speaker("us");
    let other = mk_speaker("other");
    other.handle.set_peers(BTreeMap::from([(NodeName::new("us"), Peer::new(address, true))]));
    other.handle.set_metadata(mk_metadata("eth0"));
    let name = NodeName::new("other");
    handle.set_peers(BTreeMap::from([(name.clone(), Peer::new(other.address, true))]));
    let before = view_with(&mut view, |view| view.speakers.metadata.contains_key(&name)).await;
    handle.set_peers(BTreeMap::new());
    let after = view_with(&mut view, |view| !view.speakers.metadata.contains_key(&name)).await;
    assert_eq!(after.speakers.changed_metadata(&before.speakers).collect::<Vec<_>>(), [(&name, None)]);
}

#[tokio::test]
async fn the_view_ends_with_the_task() {
    let started = start(NodeName::new("us"), &mk_args(), None).unwrap();
    let Started { handle, heard: mut view, .. } = started;
    drop(handle);
    tokio::time::timeout(PATIENCE, async { while view.changed().await.is_ok() {} }).await.unwrap();
}

fn mk_sealed(name: &str, file: &std::path::Path) -> Started {
    let secret = Secret::new(std::fs::read(file).unwrap());
    let args = MembershipArgs { secret: Some(file.to_owned()), ..mk_args() };
    taking_part(start(NodeName::new(name), &args, Some(secret)).unwrap())
}

async fn numbers(handle: &Handle) -> BTreeMap<&'static str, u64> {
    let numbers = tokio::time::timeout(PATIENCE, handle.numbers()).await.unwrap().unwrap();
    numbers.dropped.into_iter().map(|(reason, count)| (reason.as_str(), count)).collect()
}

#[tokio::test]
async fn speakers_whose_secret_changes_on_one_node_after_the_other_never_lose_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let files = NODES.map(|name| dir.path().join(name));
    for file in &files {
        std::fs::write(file, "the first secret of all").unwrap();
    }
    let (mut us, mut other) = (mk_sealed("us", &files[0]), mk_sealed("other", &files[1]));
    us.handle.set_peers(BTreeMap::from([(NodeName::new("other"), Peer::new(other.address, true))]));
    other.handle.set_peers(BTreeMap::from([(NodeName::new("us"), Peer::new(us.address, true))]));
    view_with(&mut us.heard, |view| view.speakers.members.len() == 2).await;
    view_with(&mut other.heard, |view| view.speakers.members.len() == 2).await;
    for (step, file) in files.iter().enumerate() {
        std::fs::write(file, "the second secret of all").unwrap();
        let (node, peer) = if step == 0 { (&us, &other) } else { (&other, &us) };
        // One that has nothing but the new secret is heard once this node follows.
        let late = mk_sealed("late", file);
        late.handle.set_peers(BTreeMap::from([(NodeName::new(NODES[step]), Peer::new(node.address, true))]));
        let late_peer = (NodeName::new("late"), Peer::new(late.address, false));
        let known_peer = (NodeName::new(NODES[1 - step]), Peer::new(peer.address, true));
        node.handle.set_peers(BTreeMap::from([late_peer, known_peer]));
        view_with(&mut node.heard.clone(), |view| view.speakers.members.len() == 3).await;
        // What is said now arrives, whichever secret seals it.
        for (from, to) in [(&us.handle, &mut other.heard.clone()), (&other.handle, &mut us.heard.clone())] {
            let interface = format!("step-{step}");
            from.set_metadata(mk_metadata(&interface));
            view_with(to, |view| {
                view.speakers.metadata.values().any(|told| **told == mk_metadata(&interface))
            })
            .await;
        }
    }
    for (view, name) in [(&us.heard, "other"), (&other.heard, "us")] {
        assert!(view.borrow().speakers.members.contains(&NodeName::new(name)));
    }
    for handle in [&us.handle, &other.handle] {
        assert_eq!(numbers(handle).await["forged"], 0);
    }
}

#[tokio::test]
async fn a_flood_of_datagrams_keeps_neither_commands_nor_heartbeats_waiting() {
    let (us, mut other) = (mk_speaker("us"), mk_speaker("other"));
    us.handle.set_peers(BTreeMap::from([(NodeName::new("other"), Peer::new(other.address, true))]));
    other.handle.set_peers(BTreeMap::from([(NodeName::new("us"), Peer::new(us.address, true))]));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stopped, address) = (Arc::clone(&stop), us.address);
    let flood = std::thread::spawn(move || {
        let socket = StdSocket::bind("127.0.0.1:0").unwrap();
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            // A full queue of the kernel is what this wants.
            drop(socket.send_to(&[2; 64], address));
        }
    });
    for change in 0..5 {
        let interface = format!("change-{change}");
        us.handle.set_metadata(mk_metadata(&interface));
        let told =
            |view: &Heard| view.speakers.metadata.values().any(|told| **told == mk_metadata(&interface));
        view_with(&mut other.heard, told).await;
        assert!(numbers(&us.handle).await["stranger"] > 0 || change == 0);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    flood.join().unwrap();
    let mut view = us.heard.clone();
    let seen = view_with(&mut view, |view| !view.complaints.is_empty()).await;
    let said: Vec<&str> = seen.new_complaints(&Heard::default()).collect();
    assert_eq!(said.len(), 1, "one word for a flood: {said:?}");
    assert_eq!(seen.new_complaints(&seen).count(), 0);
}
