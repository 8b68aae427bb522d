//! Other machines that claim an announced address.

use super::*;

const THIEF: MacAddr = MacAddr::new([2, 0, 0, 0, 2, 2]);

/// Announced half a minute ago.
fn settled() -> World {
    let mut world = World::new(|options| options.refresh = None);
    world.up(eth0());
    world.announce(V4);
    world.announce(V6);
    world.live(secs(30));
    world
}

fn claims() -> [(IpAddr, Vec<u8>); 4] {
    [
        (V4.into(), claim(V4, THIEF)),
        (V4.into(), arp_frame(&Packet::gratuitous_reply(THIEF, V4), MacAddr::BROADCAST)),
        (V4.into(), arp_frame(&Packet::request(THIEF, V4, CLIENT_V4), MacAddr::BROADCAST)),
        (V6.into(), claim_v6(V6, THIEF)),
    ]
}

/// req: R5227-2.4, R4861-7.2.5
#[test]
fn every_kind_of_claim_is_reported_and_defended_against_once() {
    for (address, frame) in claims() {
        let mut world = settled();
        assert_eq!(world.receive(&frame), Outcome::Conflict(address));
        assert_eq!(world.events(), []);
        let defence = world.live(secs(60));
        let reaction = Reaction::Defend;
        assert_eq!(world.events(), [Event::Conflict { address, interface: ETH0, mac: THIEF, reaction }]);
        assert!(!defence.is_empty() && defence.iter().all(|sent| sent.at == secs(30) + DEFENCE_DELAY));
        assert_eq!(defence.len(), if address.is_ipv4() { 2 } else { 1 });
    }
}

/// req: R5227-2.4
#[test]
fn defences_are_ten_seconds_apart() {
    let mut world = settled();
    let mut sent = Vec::new();
    for _ in 0..300 {
        assert_eq!(world.receive(&claim(V4, THIEF)), Outcome::Conflict(V4.into()));
        sent.extend(world.live(millis(100)));
    }
    let mut times: Vec<Duration> = sent.iter().map(|sent| sent.at).collect();
    times.dedup();
    assert_eq!(times.len(), 3, "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= DEFEND_INTERVAL));
    assert_eq!(world.events().len(), 3);
    assert_eq!(world.responder.counters(V4.into()).unwrap().conflicts, 300);
}

#[test]
fn an_address_that_is_given_up_is_neither_defended_nor_reported() {
    let mut world = settled();
    assert_eq!(world.receive(&claim(V4, THIEF)), Outcome::Conflict(V4.into()));
    world.live(DEFENCE_DELAY - millis(1));
    world.withdraw(V4);
    assert!(world.live(secs(60)).is_empty());
    assert_eq!(world.events(), []);
}

#[test]
fn claims_of_partners_are_counted_apart() {
    let mut world = settled();
    let other = MacAddr::new([2, 0, 0, 0, 3, 3]);
    world.responder.set_partners([other].into());
    for mac in [THIEF, other, THIEF] {
        assert_eq!(world.receive(&claim(V4, mac)), Outcome::Conflict(V4.into()));
    }
    let counters = world.responder.counters(V4.into()).unwrap();
    assert_eq!((counters.conflicts, counters.handovers), (3, 1));
}

#[test]
fn what_our_own_interfaces_say_is_no_conflict() {
    let mut world = settled();
    world.up(eth1());
    world.live(secs(30));
    for (_, frame) in [(0, claim(V4, OWN1)), (1, claim_v6(V6, OWN1))] {
        assert_eq!(world.receive(&frame), Outcome::Ignored(Ignored::Own));
    }
    assert_eq!(world.events(), []);
}

#[test]
fn a_claim_where_the_address_is_not_announced_is_none_of_our_business() {
    let mut world = World::with_eth0();
    world.announce_on(V4, Scope::Only(["eth1".to_owned()].into()));
    assert_eq!(world.receive(&claim(V4, THIEF)), Outcome::Ignored(Ignored::OtherInterface));
    assert_eq!(
        world.receive(&claim(Ipv4Addr::new(192, 0, 2, 77), THIEF)),
        Outcome::Ignored(Ignored::NotAnnounced)
    );
    assert_eq!(world.events(), []);
}

#[test]
fn a_claim_does_not_stop_the_first_announcements() {
    let mut world = World::new(|options| options.refresh = None);
    world.up(eth0());
    world.announce(V4);
    world.drain();
    assert_eq!(world.receive(&claim(V4, THIEF)), Outcome::Conflict(V4.into()));
    let sent = world.live(secs(60));
    assert_eq!(sent.len(), 8, "four more announcements, the first of them as the defence");
    assert_eq!(sent[0].at, DEFENCE_DELAY);
}

/// What a partner claims may be its own by now.
#[test]
fn a_claim_of_a_partner_is_reported_and_nothing_is_done_about_it() {
    for (address, frame) in claims() {
        let mut world = settled();
        world.responder.set_partners([THIEF].into());
        let claimed = || Event::Claimed { address, interface: ETH0, mac: THIEF };
        assert_eq!(world.receive(&frame), Outcome::Conflict(address));
        assert_eq!(world.receive(&frame), Outcome::Conflict(address));
        assert_eq!(world.events(), [claimed()]);
        assert!(world.live(CLAIM_INTERVAL).is_empty());
        assert_eq!(world.receive(&frame), Outcome::Conflict(address));
        assert_eq!(world.events(), [claimed()]);
        assert!(world.live(secs(60)).is_empty() && world.events().is_empty());
        assert_eq!(world.responder.counters(address).unwrap().conflicts, 3);
        // A stranger, on the other hand, is defended against.
        world.responder.set_partners(BTreeSet::new());
        assert_eq!(world.receive(&frame), Outcome::Conflict(address));
        assert!(!world.live(secs(1)).is_empty());
    }
}

/// A speaker that has just started is heard on the segment before it is known by its heartbeats.
#[test]
fn who_becomes_a_partner_before_the_defence_is_not_defended_against() {
    for (address, frame) in claims() {
        let mut world = settled();
        assert_eq!(world.receive(&frame), Outcome::Conflict(address));
        assert!(world.live(DEFENCE_DELAY / 2).is_empty() && world.events().is_empty());
        world.responder.set_partners([THIEF].into());
        assert!(world.live(secs(5)).is_empty());
        assert_eq!(world.events(), [Event::Claimed { address, interface: ETH0, mac: THIEF }]);
        world.responder.defend(world.now(), address);
        assert!(!world.live(secs(1)).is_empty(), "nothing was defended yet");
    }
}

/// Each of two partners that claim an address within a moment is reported.
#[test]
fn two_partners_are_two_claims() {
    let other = MacAddr::new([2, 0, 0, 0, 3, 3]);
    let mut world = settled();
    world.responder.set_partners([THIEF, other].into());
    for mac in [THIEF, other] {
        assert_eq!(world.receive(&claim(V4, mac)), Outcome::Conflict(V4.into()));
    }
    let claimed = |mac| Event::Claimed { address: V4.into(), interface: ETH0, mac };
    assert_eq!(world.events(), [claimed(THIEF), claimed(other)]);
}

/// The limit of defences is for conflicts that go on.
#[test]
fn an_address_is_announced_as_if_it_were_new_once_another_machine_has_let_go_of_it() {
    let mut world = settled();
    for address in [V4.into(), V6.into()] {
        world.responder.defend(world.now(), address);
        assert!(!world.live(secs(1)).is_empty());
        world.responder.announce_again(world.now(), address);
        let first = world.live(millis(1)).len();
        assert!(first > 0);
        assert!(world.live(secs(60)).len() >= 2 * first, "it is repeated");
    }
    world.withdraw(V4);
    world.responder.announce_again(world.now(), V4.into());
    assert!(world.live(secs(60)).is_empty() && world.events().is_empty());
}

/// req: R5227-2.4
#[test]
fn an_address_is_defended_at_the_users_word_not_more_than_once_in_ten_seconds() {
    let mut world = settled();
    for address in [V4.into(), V6.into()] {
        world.responder.defend(world.now(), address);
        let defence = world.live(DEFEND_INTERVAL - millis(1));
        assert_eq!(defence.len(), if address.is_ipv4() { 2 } else { 1 });
        world.responder.defend(world.now(), address);
        assert!(world.live(millis(1)).is_empty());
        world.responder.defend(world.now(), address);
        assert!(!world.live(millis(1)).is_empty());
    }
    world.withdraw(V4);
    world.responder.defend(world.now(), V4.into());
    assert!(world.live(secs(60)).is_empty() && world.events().is_empty());
}
