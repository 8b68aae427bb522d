//! Looking for other users of an address before announcing it.

use super::*;

const OTHER: MacAddr = MacAddr::new([2, 0, 0, 0, 3, 3]);

fn probing() -> World {
    let mut world = World::new(|options| {
        options.probe = true;
        options.refresh = None;
        options.seed = 7;
    });
    world.up(eth0());
    world
}

/// req: R5227-2.1.1, R5227-2.3
#[test]
fn ipv4_is_probed_for_three_times_and_then_announced() {
    let mut world = probing();
    world.announce(V4);
    let sent = world.live(secs(20));
    let probes: Vec<&Sent> = sent.iter().filter(|sent| sent.arp() == Some(Packet::probe(OWN, V4))).collect();
    assert_eq!(probes.len(), 3);
    assert!(probes[0].at <= secs(1));
    for pair in probes.windows(2) {
        assert!((secs(1)..=secs(2)).contains(&(pair[1].at - pair[0].at)));
    }
    assert_eq!(sent[3].arp(), Some(Packet::announcement(OWN, V4)));
    assert_eq!(sent[3].at - probes[2].at, secs(2));
    assert_eq!(sent.len(), 3 + 10);
}

/// req: R4862-5.4.2, R7527-4.1
#[test]
fn ipv6_is_probed_for_once_from_the_unspecified_address() {
    let mut world = probing();
    world.announce(V6);
    assert_eq!(world.effects(), [Effect::Join { interface: ETH0, group: solicited_node_group(V6) }]);
    let sent = world.live(secs(20));
    let Message::NeighborSolicitation(probe) = sent[0].ndp() else { panic!("another message") };
    assert!(probe.is_duplicate_address_detection() && probe.options.nonce().is_some());
    assert!(matches!(sent[1].ndp(), Message::NeighborAdvertisement(_)));
    assert_eq!(sent[1].at - sent[0].at, secs(1));
    assert_eq!(sent.len(), 1 + 5);
}

#[test]
fn requests_are_not_answered_while_probing() {
    let mut world = probing();
    world.announce(V4);
    world.live(secs(2));
    assert_eq!(world.receive(&request(V4)), Outcome::Ignored(Ignored::Probing));
    world.live(secs(10));
    assert_eq!(world.receive(&request(V4)), Outcome::Answered(V4.into()));
}

/// req: R5227-2.1.1, R4862-5.4.3, R4862-5.4.4
#[test]
fn an_address_in_use_is_left_alone_and_tried_again_later() {
    let in_use: [(IpAddr, Vec<u8>); 4] = [
        (V4.into(), arp_frame(&Packet::reply(OTHER, V4, OWN, Ipv4Addr::UNSPECIFIED), OWN)),
        (V4.into(), arp_frame(&Packet::probe(OTHER, V4), MacAddr::BROADCAST)),
        (V6.into(), claim_v6(V6, OTHER)),
        (V6.into(), solicitation(V6, Ipv6Addr::UNSPECIFIED, None)),
    ];
    for (address, frame) in in_use {
        let mut world = probing();
        world.announce(address);
        while world.live(millis(10)).is_empty() {}
        assert_eq!(world.receive(&frame), Outcome::Conflict(address));
        assert!(matches!(world.events()[..], [Event::Conflict { reaction: Reaction::Yield, .. }]));
        assert!(world.live(PROBE_RETRY - secs(1)).is_empty());
        assert!(matches!(world.receive(&request(V4)), Outcome::Ignored(_)));
        let again = world.live(secs(20));
        let announcement = again.iter().position(|sent| match address {
            IpAddr::V4(v4) => sent.arp() == Some(Packet::announcement(OWN, v4)),
            IpAddr::V6(_) => matches!(sent.ndp(), Message::NeighborAdvertisement(_)),
        });
        assert_eq!(announcement, Some(if address.is_ipv4() { 3 } else { 1 }));
    }
}

/// req: R7527-4.2
#[test]
fn our_own_probe_handed_back_by_the_network_is_no_conflict() {
    let mut world = probing();
    world.announce(V6);
    let sent = world.live(secs(1));
    let mut looped = sent[0].frame.clone();
    looped[6..12].copy_from_slice(&OTHER.octets());
    assert_eq!(world.receive(&looped), Outcome::Ignored(Ignored::Own));
    assert_eq!(world.events(), []);
}

#[test]
fn the_delays_depend_on_the_seed_only() {
    let run = |seed: u64| {
        let mut world = World::new(|options| {
            options.probe = true;
            options.seed = seed;
        });
        world.up(eth0());
        world.announce(V4);
        world.live(secs(100)).iter().map(|sent| sent.at).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
