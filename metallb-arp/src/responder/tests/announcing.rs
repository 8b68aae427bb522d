//! When and where addresses are announced.

use core::num::NonZeroU32;

use super::*;
use crate::gratuitous::REPEAT_INTERVAL;

fn times(sent: &[Sent]) -> Vec<Duration> {
    let mut times: Vec<Duration> = sent.iter().map(|sent| sent.at).collect();
    times.dedup();
    times
}

fn pool(count: u32) -> impl Iterator<Item = Ipv4Addr> {
    (0..count).map(|host| Ipv4Addr::from_bits(0x0a00_0000 + host))
}

fn pps(rate: u32) -> NonZeroU32 {
    NonZeroU32::new(rate).unwrap()
}

/// req: R5227-2.3
#[test]
fn an_ipv4_announcement_is_one_request_and_one_reply_to_all() {
    let mut world = World::with_eth0();
    world.announce(V4);
    let sent = world.drain();
    let packets: Vec<Packet> = sent.iter().filter_map(Sent::arp).collect();
    assert_eq!(packets, [Packet::announcement(OWN, V4), Packet::gratuitous_reply(OWN, V4)]);
    assert!(sent.iter().all(|sent| sent.destination().is_broadcast()));
}

/// req: R4861-7.2.6
#[test]
fn an_ipv6_announcement_is_one_unsolicited_advertisement_to_all_nodes() {
    let mut world = World::with_eth0();
    world.announce(V6);
    let [sent] = &world.drain()[..] else { panic!("one advertisement") };
    let Message::NeighborAdvertisement(message) = sent.ndp() else { panic!("another message") };
    assert_eq!((message.router(), message.solicited(), message.overrides()), (false, false, true));
    assert_eq!((message.target(), message.options.target_link_layer()), (V6, Some(OWN)));
    assert_eq!(message.ip.destination(), crate::wire::ipv6::ALL_NODES);
}

#[test]
fn a_new_address_is_announced_for_five_seconds_and_then_every_minute() {
    let mut world = World::with_eth0();
    world.announce(V4);
    let burst = times(&world.live(secs(5)));
    let expected: Vec<Duration> = (0..5).map(|number| REPEAT_INTERVAL * number).collect();
    assert_eq!(burst, expected);
    let later = times(&world.live(secs(600)));
    assert!((9..=10).contains(&later.len()), "{later:?}");
    assert!(later[0] <= secs(5) + DEFAULT_REFRESH);
    assert!(later.windows(2).all(|pair| pair[1] - pair[0] == DEFAULT_REFRESH), "{later:?}");
}

#[test]
fn without_refresh_an_address_is_quiet_after_its_first_seconds() {
    let mut world = World::new(|options| options.refresh = None);
    world.up(eth0());
    world.announce(V4);
    assert_eq!(world.live(secs(5)).len(), 10);
    assert!(world.live(secs(86400)).is_empty());
    assert_eq!(world.responder.next_timeout(), None);
}

#[test]
fn refreshes_are_spread_evenly_over_the_period() {
    let mut world = World::new(|options| options.max_pps = pps(1_000_000));
    world.up(eth0());
    for address in pool(6000) {
        world.announce(address);
    }
    world.live(secs(5) + DEFAULT_REFRESH);
    let mut per_second = [0; 60];
    let begin = world.at;
    for sent in world.live(DEFAULT_REFRESH) {
        per_second[usize::try_from((sent.at - begin).as_secs()).unwrap().min(59)] += 1;
    }
    let fair = 6000 * 2 / 60;
    assert!(
        per_second.iter().all(|count| (fair * 9 / 10..=fair * 11 / 10).contains(count)),
        "{per_second:?}"
    );
}

#[test]
fn first_announcements_are_not_held_back_and_everything_else_keeps_to_the_rate() {
    let mut world = World::new(|options| options.max_pps = pps(1000));
    world.up(eth0());
    for address in pool(2000) {
        world.announce(address);
    }
    assert_eq!(world.drain().len(), 4000);
    let mut per_second = [0; 30];
    for sent in world.live(secs(15)) {
        per_second[usize::try_from(sent.at.as_secs()).unwrap()] += 1;
    }
    // The burst of a tenth of a second may fall into any one second.
    assert!(per_second.iter().all(|count| *count <= 1100), "{per_second:?}");
    assert!(per_second[2..15].iter().all(|count| *count >= 900), "{per_second:?}");
    let late = Ipv4Addr::new(192, 0, 2, 200);
    world.announce(late);
    assert_eq!(world.drain().len(), 2, "a new owner does not wait for the repetitions of others");
}

#[test]
fn an_interface_that_appears_is_announced_on_at_once_and_joined() {
    let mut world = World::new(|_| {});
    world.announce(V4);
    world.announce(V6);
    assert!(world.drain().is_empty());
    world.at = secs(100);
    world.up(eth0());
    assert_eq!(world.effects(), [Effect::Join { interface: ETH0, group: solicited_node_group(V6) }]);
    assert_eq!(world.drain().len(), 3);
    assert_eq!(times(&world.live(secs(5))).len(), 4);
}

#[test]
fn a_link_that_comes_back_is_announced_on_again() {
    let mut world = World::with_eth0();
    world.announce(V4);
    world.announce(V6);
    world.live(secs(30));
    world.effects();
    let now = world.now();
    world.responder.remove_interface(now, ETH0);
    assert!(world.live(secs(200)).is_empty());
    assert_eq!(world.effects(), [], "a removed interface needs no leaving");
    world.up(eth0());
    assert_eq!(world.drain().len(), 3);
    assert_eq!(world.effects().len(), 1);
}

#[test]
fn a_changed_hardware_address_is_announced_at_once() {
    let mut world = World::with_eth0();
    world.announce(V4);
    world.announce(V6);
    world.live(secs(30));
    let mut changed = eth0();
    changed.mac = MacAddr::new([2, 0, 0, 0, 9, 9]);
    world.up(changed.clone());
    let sent = world.drain();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|sent| Frame::parse(&sent.frame).unwrap().source() == changed.mac));
    world.up(changed);
    assert!(world.drain().is_empty(), "nothing has changed");
}

#[test]
fn ipv6_needs_a_link_local_address() {
    let mut world = World::new(|_| {});
    let mut bare = eth0();
    bare.link_local = None;
    world.up(bare.clone());
    world.announce(V6);
    assert!(world.drain().is_empty() && world.effects().is_empty());
    assert_eq!(world.receive(&solicitation(V6, CLIENT_V6, None)), Outcome::Ignored(Ignored::OtherInterface));
    world.up(eth0());
    assert_eq!((world.drain().len(), world.effects().len()), (1, 1));
    world.up(bare);
    assert_eq!(world.effects(), [Effect::Leave { interface: ETH0, group: solicited_node_group(V6) }]);
    assert_eq!(world.receive(&solicitation(V6, CLIENT_V6, None)), Outcome::Ignored(Ignored::OtherInterface));
}

#[test]
fn groups_are_joined_once_and_left_with_their_last_address() {
    let mut world = World::with_eth0();
    let twin = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
    world.announce(V6);
    world.announce(twin);
    assert_eq!(world.effects().len(), 1);
    world.withdraw(V6);
    assert_eq!(world.effects(), []);
    world.withdraw(twin);
    assert_eq!(world.effects(), [Effect::Leave { interface: ETH0, group: solicited_node_group(V6) }]);
}

#[test]
fn a_scope_follows_names_and_its_own_changes() {
    let mut world = World::with_eth0();
    world.up(eth1());
    let only = |name: &str| Scope::Only([name.to_owned()].into());
    world.announce_on(V4, only("eth1"));
    let sent = world.live(secs(5));
    assert!(sent.iter().all(|sent| sent.interface == ETH1) && sent.len() == 10);
    world.announce_on(V4, Scope::All);
    assert!(
        world.drain().iter().all(|sent| sent.interface == ETH0),
        "where it lived already nothing changes"
    );
    world.live(secs(5));
    world.announce_on(V4, only("uplink"));
    assert_eq!(world.receive(&request(V4)), Outcome::Ignored(Ignored::OtherInterface));
    let mut renamed = eth0();
    renamed.name = "uplink".into();
    world.up(renamed);
    assert_eq!(world.drain().len(), 2);
    assert_eq!(world.receive(&request(V4)), Outcome::Answered(V4.into()));
}

#[test]
fn repeating_an_announcement_changes_nothing() {
    let mut world = World::with_eth0();
    world.announce(V4);
    world.live(secs(30));
    world.announce(V4);
    assert!(world.drain().is_empty());
}

#[test]
fn spurious_timeouts_and_earlier_times_do_nothing() {
    let mut world = World::with_eth0();
    world.announce(V4);
    world.live(secs(2));
    let next = world.responder.next_timeout();
    world.responder.handle_timeout(world.start);
    world.responder.handle_timeout(world.start + secs(1));
    assert!(world.drain().is_empty());
    assert_eq!(world.responder.next_timeout(), next);
    world.responder.withdraw(world.start, V4.into());
    assert_eq!(world.responder.next_timeout(), None);
}
