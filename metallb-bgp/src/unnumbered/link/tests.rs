use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::MAX_ROUTERS;
use super::super::wire::HOP_LIMIT;
use super::*;

const OWN: Ipv6Addr = router(0xffff);

const fn router(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last)
}

fn facts(index: u32) -> InterfaceFacts {
    InterfaceFacts { index: InterfaceIndex(index), running: true, link_local: Some(OWN), partner: None }
}

/// A link with the time that has passed.
struct Bench {
    link: Link,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "one base for all times")]
        let now = Instant::now();
        Self { link: Link::new(7), start: now, now }
    }

    fn up() -> Self {
        let mut bench = Self::new();
        bench.link.handle_interface(bench.now, Some(facts(3)));
        bench
    }

    fn hear(&mut self, source: Ipv6Addr, lifetime: u16) -> Result<Outcome, MessageError> {
        let says = RouterAdvertisement { lifetime, ..RouterAdvertisement::default() };
        self.take(source, &Message::Advertisement(says), false)
    }

    fn take(&mut self, source: Ipv6Addr, message: &Message, is_own: bool) -> Result<Outcome, MessageError> {
        let envelope = Envelope { source, hop_limit: HOP_LIMIT };
        let octets = message.encode();
        self.link.handle_message(self.now, &Received { envelope, is_own, octets: &octets })
    }

    /// Lets time pass; returns what is sent with when, in milliseconds from the start.
    fn pass(&mut self, time: Duration) -> Vec<(u128, Message)> {
        let end = self.now + time;
        let mut sent = Vec::new();
        loop {
            while let Some(message) = self.link.poll_transmit() {
                sent.push(((self.now - self.start).as_millis(), message));
            }
            match self.link.next_timeout().filter(|at| *at <= end) {
                Some(at) => {
                    self.now = at.max(self.now);
                    self.link.handle_timeout(self.now);
                }
                None => break,
            }
        }
        self.now = end;
        sent
    }

    fn neighbors(&self) -> Result<Vec<String>, NoNeighbor> {
        Ok(self.link.neighbors()?.iter().map(ToString::to_string).collect())
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn is_advertisement((_, message): &(u128, Message)) -> bool {
    matches!(message, Message::Advertisement(_))
}

// req: J2, J3, J6
#[test]
fn a_link_that_comes_up_is_advertised_on_and_asked_and_we_are_no_default_router() {
    let mut bench = Bench::up();
    let sent = bench.pass(seconds(600));
    assert_eq!(sent[0].0, 0, "at once");
    let advertisements: Vec<_> = sent.iter().filter(|sent| is_advertisement(sent)).collect();
    assert!(advertisements.len() > 60);
    for (_, message) in &advertisements {
        assert_eq!(*message, Message::Advertisement(RouterAdvertisement::default()));
    }
    let asked = sent.iter().filter(|(_, message)| *message == Message::Solicitation).count();
    assert!((7..=9).contains(&asked), "{asked}");
    assert_eq!(bench.neighbors(), Err(NoNeighbor::Silent));
}

// req: J3, J4
#[test]
fn a_router_that_is_heard_is_a_neighbor_until_it_is_silent_for_long() {
    let mut bench = Bench::up();
    bench.pass(seconds(1));
    assert_eq!(bench.hear(router(1), 0), Ok(Outcome::Heard { calls: true }));
    assert_eq!(bench.neighbors().unwrap(), ["fe80::1"]);
    let sent = bench.pass(seconds(3 * 1800 - 1));
    assert!(sent.iter().all(is_advertisement), "nobody is asked for");
    assert_eq!(bench.neighbors().unwrap(), ["fe80::1"], "a lifetime of 0 is no reason to forget it");
    let sent = bench.pass(seconds(3));
    assert_eq!(bench.neighbors(), Err(NoNeighbor::Silent));
    assert!(sent.iter().any(|(_, message)| *message == Message::Solicitation), "{sent:?}");
    bench.hear(router(1), 9000).unwrap();
    bench.pass(seconds(8999));
    assert_eq!(bench.neighbors().unwrap(), ["fe80::1"], "it said so");
    bench.pass(seconds(2));
    assert_eq!(bench.neighbors(), Err(NoNeighbor::Silent));
}

// req: J2
#[test]
fn a_router_that_is_new_hears_of_us_soon() {
    let mut bench = Bench::up();
    bench.pass(seconds(60));
    let last = bench.pass(seconds(10)).last().unwrap().0;
    let heard = (bench.now - bench.start).as_millis();
    bench.hear(router(1), 1800).unwrap();
    let answer = bench.pass(seconds(11))[0].0;
    assert!(answer <= (heard + 500).max(last + 3000), "{answer} after {heard}, {last}");
    assert!(answer >= last + 3000);
}

// req: !J2
#[test]
fn our_own_advertisements_are_no_router() {
    let mut bench = Bench::up();
    let ours = Message::Advertisement(OURS);
    assert_eq!(bench.take(OWN, &ours, true), Err(MessageError::Own));
    assert_eq!(bench.take(router(7), &ours, true), Err(MessageError::Own), "another interface of ours");
    assert_eq!(bench.neighbors(), Err(NoNeighbor::Silent));
}

// req: J4, !J4
#[test]
fn a_flood_of_routers_displaces_none_that_goes_on_advertising_and_costs_nothing() {
    let mut bench = Bench::up();
    bench.pass(seconds(20));
    for _ in 0..2 {
        bench.hear(router(1), 1800).unwrap();
        bench.hear(router(2), 1800).unwrap();
        bench.pass(seconds(10));
    }
    let before = bench.now;
    let mut calls = 0;
    for round in 0..10_000_u32 {
        let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 1, 0, u16::try_from(round).unwrap());
        let outcome = bench.hear(source, 1800).unwrap();
        calls += u32::from(outcome == Outcome::Heard { calls: true });
        bench.pass(Duration::from_millis(1));
        assert!(bench.link.neighbors().unwrap().len() <= MAX_ROUTERS);
    }
    assert_eq!(bench.neighbors().unwrap()[..2], ["fe80::1", "fe80::2"]);
    assert!(calls <= 2, "{calls} in {:?}", bench.now - before);
    assert!(bench.pass(seconds(1)).len() <= 1);
}

// req: J4
#[test]
fn a_router_with_another_address_calls_for_an_attempt_and_so_does_one_that_was_away() {
    let mut bench = Bench::up();
    let calls = Ok(Outcome::Heard { calls: true });
    let silent = Ok(Outcome::Heard { calls: false });
    assert_eq!(bench.hear(router(1), 1800), calls);
    bench.pass(seconds(10));
    assert_eq!(bench.hear(router(1), 1800), silent);
    assert_eq!(bench.hear(router(2), 1800), calls);
    bench.pass(seconds(29));
    assert_eq!(bench.hear(router(1), 1800), silent);
    bench.pass(seconds(1));
    assert_eq!(bench.hear(router(2), 1800), calls, "silent for 30 s");
}

// req: J7
#[test]
fn an_interface_that_goes_down_keeps_whom_it_knew_and_one_that_is_made_anew_does_not() {
    let mut bench = Bench::up();
    bench.hear(router(1), 1800).unwrap();
    bench.pass(seconds(30));
    bench.link.handle_interface(bench.now, Some(InterfaceFacts { running: false, ..facts(3) }));
    assert_eq!((bench.neighbors(), bench.link.listens_on()), (Err(NoNeighbor::Down), None));
    assert_eq!(bench.pass(seconds(600)), [], "nothing is sent through it");
    bench.link.handle_interface(bench.now, Some(facts(3)));
    assert_eq!(bench.neighbors().unwrap(), ["fe80::1"]);
    let sent = bench.pass(seconds(7));
    assert_eq!(sent.iter().filter(|sent| is_advertisement(sent)).count(), 3);
    assert!(sent.contains(&(sent[1].0, Message::Solicitation)), "there may be another one by now: {sent:?}");
    bench.link.handle_interface(bench.now, Some(facts(4)));
    assert_eq!(bench.neighbors(), Err(NoNeighbor::Silent), "another interface of the same name");
    assert_eq!(bench.link.listens_on(), Some(InterfaceIndex(4)));
    bench.link.handle_interface(bench.now, None);
    assert_eq!(bench.neighbors(), Err(NoNeighbor::NoInterface));
    assert_eq!(bench.pass(seconds(600)), []);
}

// req: J7
#[test]
fn without_ipv6_the_other_host_of_a_small_prefix_is_the_neighbor() {
    let mut bench = Bench::new();
    let bare = InterfaceFacts { link_local: None, ..facts(3) };
    bench.link.handle_interface(bench.now, Some(bare));
    assert_eq!(bench.neighbors(), Err(NoNeighbor::NoAddress));
    let partner = Some(Ipv4Addr::new(192, 0, 2, 1));
    bench.link.handle_interface(bench.now, Some(InterfaceFacts { partner, ..bare }));
    assert_eq!(bench.neighbors().unwrap(), ["192.0.2.1"]);
    assert_eq!((bench.pass(seconds(60)), bench.link.listens_on()), (Vec::new(), None));
    bench.link.handle_interface(bench.now, Some(InterfaceFacts { partner, ..facts(3) }));
    bench.hear(router(1), 0).unwrap();
    assert_eq!(bench.neighbors().unwrap(), ["192.0.2.1", "fe80::1"]);
}

// req: !J7
#[test]
fn time_that_runs_backwards_and_calls_in_any_order_do_no_harm() {
    let mut bench = Bench::new();
    assert_eq!(bench.link.next_timeout(), None);
    bench.link.handle_timeout(bench.now);
    assert!(bench.link.poll_transmit().is_none());
    bench.hear(router(1), 1800).unwrap();
    assert_eq!(bench.neighbors(), Err(NoNeighbor::NoInterface));
    let later = bench.now + seconds(100);
    bench.link.handle_interface(later, Some(facts(3)));
    bench.link.handle_interface(bench.now, None);
    bench.link.handle_interface(bench.now, Some(facts(3)));
    assert!(bench.link.next_timeout().unwrap() >= later, "earlier times count as the latest one");
}
