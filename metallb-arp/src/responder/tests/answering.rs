//! Which frames are answered, how, and why not.

use super::*;

/// req: R826-reception
#[test]
fn a_request_is_answered_with_the_interfaces_address() {
    let mut world = World::with_eth0();
    world.announce(V4);
    world.live(secs(5));
    assert_eq!(world.receive(&request(V4)), Outcome::Answered(V4.into()));
    let [answer] = &world.drain()[..] else { panic!("one answer") };
    assert_eq!(answer.arp(), Some(Packet::reply(OWN, V4, CLIENT, CLIENT_V4)));
    assert_eq!((answer.interface, answer.destination()), (ETH0, CLIENT));
    let counters = world.responder.counters(V4.into()).unwrap();
    assert_eq!((counters.requests, counters.responses), (1, 1));
}

/// req: R826-reception
#[test]
fn a_unicast_request_is_answered() {
    let mut world = World::with_eth0();
    world.announce(V4);
    let probe = arp_frame(&Packet::request(CLIENT, CLIENT_V4, V4), OWN);
    assert_eq!(world.receive(&probe), Outcome::Answered(V4.into()));
}

/// req: R5227-2.1.1
#[test]
fn an_arp_probe_is_answered() {
    let mut world = World::with_eth0();
    world.announce(V4);
    world.live(secs(5));
    assert_eq!(
        world.receive(&arp_frame(&Packet::probe(CLIENT, V4), MacAddr::BROADCAST)),
        Outcome::Answered(V4.into())
    );
    let answer = world.drain().remove(0);
    assert_eq!(answer.arp(), Some(Packet::reply(OWN, V4, CLIENT, Ipv4Addr::UNSPECIFIED)));
    assert_eq!(world.events(), []);
}

/// req: R4861-7.2.4
#[test]
fn a_solicitation_is_answered_with_and_without_the_option() {
    let mut world = World::with_eth0();
    world.announce(V6);
    world.live(secs(5));
    let option = MacAddr::new([2, 0, 0, 0, 1, 2]);
    for (given, expected) in [(Some(option), option), (None, CLIENT), (Some(MacAddr::BROADCAST), CLIENT)] {
        assert_eq!(world.receive(&solicitation(V6, CLIENT_V6, given)), Outcome::Answered(V6.into()));
        let [answer] = &world.drain()[..] else { panic!("one answer") };
        assert_eq!(answer.destination(), expected);
        let Message::NeighborAdvertisement(message) = answer.ndp() else { panic!("another message") };
        assert_eq!((message.ip.source(), message.ip.destination()), (LINK_LOCAL, CLIENT_V6));
        assert_eq!((message.target(), message.options.target_link_layer()), (V6, Some(OWN)));
        assert_eq!((message.router(), message.solicited(), message.overrides()), (false, true, true));
    }
}

/// req: R4861-7.2.4, R4862-5.4.3
#[test]
fn duplicate_address_detection_is_answered_to_all_nodes() {
    let mut world = World::with_eth0();
    world.announce(V6);
    world.live(secs(5));
    assert_eq!(world.receive(&solicitation(V6, Ipv6Addr::UNSPECIFIED, None)), Outcome::Answered(V6.into()));
    let [answer] = &world.drain()[..] else { panic!("one answer") };
    assert_eq!(answer.destination(), MacAddr::new([0x33, 0x33, 0, 0, 0, 1]));
    let Message::NeighborAdvertisement(message) = answer.ndp() else { panic!("another message") };
    assert_eq!(message.ip.destination(), crate::wire::ipv6::ALL_NODES);
    assert_eq!((message.solicited(), message.overrides()), (false, true));
    assert_eq!(world.events(), []);
}

#[test]
fn every_frame_that_is_not_answered_has_its_reason() {
    let mut world = World::with_eth0();
    let mut other = eth1();
    other.name = "eth1".into();
    world.up(other);
    world.announce(V4);
    let elsewhere = Ipv4Addr::new(192, 0, 2, 3);
    world.announce_on(elsewhere, Scope::Only(["eth1".to_owned()].into()));
    world.live(secs(5));
    let plain = request(V4);
    let tagged = [&plain[..12], &[0x81, 0, 0, 5], &plain[12..]].concat();
    let priority = [&plain[..12], &[0x81, 0, 0xa0, 0], &plain[12..]].concat();
    let changed = |at: usize, value: u8| {
        let mut frame = plain.clone();
        frame[at] = value;
        frame
    };
    let mut own = plain.clone();
    own[6..12].copy_from_slice(&OWN.octets());
    let group = MacAddr::new([3, 0, 0, 0, 0, 0]);
    let ignored = [
        (tagged, Ignored::Vlan),
        (arp_frame(&Packet::request(CLIENT, CLIENT_V4, V4), CLIENT), Ignored::OtherStation),
        (own, Ignored::Own),
        (arp_frame(&Packet::request(OWN1, CLIENT_V4, V4), MacAddr::BROADCAST), Ignored::Own),
        (changed(12, 9), Ignored::OtherProtocol),
        (changed(15, 6), Ignored::OtherProtocol),
        (changed(16, 9), Ignored::OtherProtocol),
        (changed(21, 3), Ignored::NotARequest),
        (arp_frame(&Packet::reply(CLIENT, CLIENT_V4, OWN, V4), OWN), Ignored::NotARequest),
        (arp_frame(&Packet::request(group, CLIENT_V4, V4), MacAddr::BROADCAST), Ignored::GroupSender),
        (request(Ipv4Addr::new(192, 0, 2, 9)), Ignored::NotAnnounced),
        (request(elsewhere), Ignored::OtherInterface),
        (solicitation(V6, CLIENT_V6, None), Ignored::NotAnnounced),
    ];
    let count = u64::try_from(ignored.len()).unwrap();
    for (frame, reason) in ignored {
        assert_eq!(world.receive(&frame), Outcome::Ignored(reason));
    }
    let now = world.now();
    let unknown = world.responder.handle_frame(now, InterfaceIndex(9), &plain);
    assert_eq!(unknown, Outcome::Ignored(Ignored::UnknownInterface));
    assert!(matches!(world.receive(&plain[..20]), Outcome::Malformed(_)));
    assert!(world.drain().is_empty());
    assert_eq!((world.responder.stats().ignored, world.responder.stats().malformed), (count + 1, 1));
    assert_eq!(world.receive(&priority), Outcome::Answered(V4.into()));
}

#[test]
fn answers_that_nobody_takes_out_are_bounded() {
    let mut world = World::with_eth0();
    world.announce(V4);
    world.live(secs(5));
    for _ in 0..MAX_PENDING_REPLIES {
        assert_eq!(world.receive(&request(V4)), Outcome::Answered(V4.into()));
    }
    assert_eq!(world.receive(&request(V4)), Outcome::Ignored(Ignored::Busy));
    assert_eq!(world.responder.stats().busy, 1);
    assert_eq!(world.drain().len(), MAX_PENDING_REPLIES);
}

#[test]
fn answers_for_a_withdrawn_address_or_a_lost_interface_are_not_sent() {
    let mut world = World::with_eth0();
    world.announce(V4);
    world.announce(V6);
    world.live(secs(5));
    assert_eq!(world.receive(&request(V4)), Outcome::Answered(V4.into()));
    world.withdraw(V4);
    assert!(world.drain().is_empty());
    assert_eq!(world.receive(&solicitation(V6, CLIENT_V6, None)), Outcome::Answered(V6.into()));
    let now = world.now();
    world.responder.remove_interface(now, ETH0);
    assert!(world.drain().is_empty());
    assert_eq!(world.responder.counters(V4.into()), None);
}

#[test]
fn only_unicast_addresses_are_announced() {
    let mut world = World::with_eth0();
    let now = world.now();
    for text in
        ["0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "::", "::1", "ff02::1", "::ffff:224.0.0.1"]
    {
        let address: IpAddr = text.parse().unwrap();
        let error = world.responder.announce(now, address, Scope::All).unwrap_err();
        assert_eq!(error, AnnounceError::NotUnicast { address: address.to_canonical() });
    }
    let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
    world.responder.announce(now, mapped, Scope::All).unwrap();
    assert_eq!(world.receive(&request(V4)), Outcome::Answered(V4.into()));
}
