use std::time::Duration;

use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn mk_path(remote: &str) -> Path {
    Path::new(remote.parse().unwrap(), Hops::One)
}

fn mk_arrival(remote: &str, interface: u32) -> Arrival<'static> {
    let local = "192.0.2.2".parse().unwrap();
    Arrival { remote: remote.parse().unwrap(), local, interface, device: None, hops: Hops::One, ttl: 255 }
}

/// Ours, and what they send.
struct Bench {
    now: Instant,
    sessions: Sessions,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
    fn new() -> Self {
        Self { now: Instant::now(), sessions: Sessions::new(7) }
    }

    fn watch(&mut self, user: &str, path: &Path) {
        self.sessions.watch(self.now, User::new(user), path.clone(), Profile::default());
    }

    /// What is sent until there is something, with the sessions it is from.
    fn sent(&mut self) -> Vec<(Discriminator, ControlPacket)> {
        let mut sent = Vec::new();
        while sent.is_empty() {
            let Some(at) = self.sessions.next_timeout() else { break };
            self.now = self.now.max(at);
            self.sessions.handle_timeout(self.now);
            sent = self.drain();
        }
        sent
    }

    fn drain(&mut self) -> Vec<(Discriminator, ControlPacket)> {
        let next = || self.sessions.poll_transmit(self.now);
        std::iter::from_fn(next)
            .map(|transmit| (transmit.session, ControlPacket::decode(&transmit.octets).unwrap()))
            .collect()
    }

    fn hear(
        &mut self,
        arrival: &Arrival<'_>,
        state: State,
        your: Option<Discriminator>,
    ) -> Result<Discriminator, Ignored> {
        let packet = ControlPacket {
            diagnostic: crate::bfd::wire::Diagnostic::None,
            state,
            poll: false,
            is_final: false,
            control_plane_independent: false,
            authenticated: false,
            demand: false,
            detect_multiplier: 3.try_into().unwrap(),
            my_discriminator: Discriminator::new(9).unwrap(),
            your_discriminator: your,
            desired_min_tx: ms(300),
            required_min_rx: ms(300),
            required_min_echo_rx: Duration::ZERO,
        };
        self.sessions.handle_datagram(self.now, arrival, &packet.encode())
    }

    fn events(&mut self) -> Vec<(String, State)> {
        let next = || self.sessions.poll_event();
        std::iter::from_fn(next).map(|event| (event.user.as_str().to_owned(), event.change.to)).collect()
    }

    /// Takes the only session up.
    fn up(&mut self, arrival: &Arrival<'_>) -> Discriminator {
        let own = self.hear(arrival, State::Down, None).unwrap();
        assert_eq!(self.hear(arrival, State::Init, Some(own)), Ok(own));
        self.drain();
        own
    }
}

// req: B14
#[test]
fn who_watches_the_same_path_shares_a_session_and_knows_its_state() {
    let mut bench = Bench::new();
    let path = mk_path("192.0.2.1");
    bench.watch("a", &path);
    let own = bench.up(&mk_arrival("192.0.2.1", 1));
    assert_eq!(bench.events(), [("a".to_owned(), State::Init), ("a".to_owned(), State::Up)]);
    let fast = Profile::new(ms(50), ms(400), 5).unwrap();
    bench.sessions.watch(bench.now, User::new("b"), path, fast);
    assert_eq!(bench.events(), [("b".to_owned(), State::Up)], "it comes late");
    let snapshot = bench.sessions.snapshot();
    assert_eq!(snapshot.len(), 2);
    assert!(snapshot.iter().all(|one| one.session.local_discriminator == own));
    assert_eq!(snapshot[0].profile, Profile::new(ms(50), ms(300), 3).unwrap());
    bench.sessions.release(bench.now, &User::new("b"));
    assert_eq!(bench.sessions.snapshot()[0].profile, Profile::default());
    assert_eq!(bench.sessions.snapshot()[0].session.state, State::Up);
}

// req: !B14
#[test]
fn other_interfaces_devices_hops_or_addresses_are_other_sessions() {
    let mut bench = Bench::new();
    let plain = mk_path("192.0.2.1");
    let paths = [
        plain.clone(),
        Path { interface: Some(3), ..plain.clone() },
        Path { device: Some("red".into()), ..plain.clone() },
        Path { hops: Hops::Several, ..plain.clone() },
        Path { local: Some("192.0.2.9".parse().unwrap()), ..plain.clone() },
    ];
    for (index, path) in paths.iter().enumerate() {
        bench.watch(&index.to_string(), path);
    }
    let mut found = BTreeSet::new();
    let arrivals = [
        mk_arrival("192.0.2.1", 1),
        mk_arrival("192.0.2.1", 3),
        Arrival { device: Some("red"), ..mk_arrival("192.0.2.1", 1) },
        Arrival { hops: Hops::Several, ..mk_arrival("192.0.2.1", 1) },
        Arrival { local: "192.0.2.9".parse().unwrap(), ..mk_arrival("192.0.2.1", 1) },
    ];
    for (path, arrival) in paths.iter().zip(&arrivals) {
        let own = bench.hear(arrival, State::Down, None).unwrap();
        assert_eq!(bench.sessions.path(own), Some(path));
        found.insert(own);
    }
    assert_eq!(found.len(), 5, "discriminators are unique");
}

// req: B7, B8
#[test]
fn the_first_packet_is_for_whom_the_addresses_say_later_ones_for_whom_they_say() {
    let mut bench = Bench::new();
    bench.watch("a", &mk_path("192.0.2.1"));
    let own = bench.up(&mk_arrival("192.0.2.1", 1));
    assert_eq!(bench.hear(&mk_arrival("192.0.2.77", 9), State::Up, Some(own)), Ok(own), "RFC 5880 §6.3");
}

// req: !B1, !B7, !B8
#[test]
fn what_is_for_nobody_is_counted_and_changes_nothing() {
    let mut bench = Bench::new();
    bench.watch("a", &mk_path("192.0.2.1"));
    let far = Path { hops: Hops::Several, ..mk_path("198.51.100.1") };
    bench.watch("far", &far);
    let here = mk_arrival("192.0.2.1", 1);
    let own = bench.up(&here);
    bench.events();
    let unknown = Discriminator::new(own.value() ^ 1);
    assert_eq!(bench.hear(&here, State::Down, unknown), Err(Ignored::Unknown));
    assert_eq!(bench.hear(&mk_arrival("192.0.2.3", 1), State::Down, None), Err(Ignored::Unknown));
    let wrong_port = Arrival { hops: Hops::Several, ..here };
    assert_eq!(bench.hear(&wrong_port, State::Down, Some(own)), Err(Ignored::Unknown), "another TTL rule");
    let distant = Arrival { hops: Hops::Several, ttl: 253, ..mk_arrival("198.51.100.1", 1) };
    assert_eq!(bench.hear(&distant, State::Down, None), Err(Ignored::TooFar));
    assert!(bench.hear(&Arrival { ttl: 254, ..distant }, State::Down, None).is_ok());
    assert!(matches!(bench.sessions.handle_datagram(bench.now, &here, &[0; 24]), Err(Ignored::Malformed(_))));
    let stats = bench.sessions.stats();
    assert_eq!((stats.unknown, stats.too_far, stats.malformed), (3, 1, 1));
    assert_eq!(bench.events(), [("far".to_owned(), State::Init)]);
    assert_eq!(bench.sessions.minimum_ttl(|_| true), Some(254));
}

// req: B2, B11
#[test]
fn the_last_user_switches_the_session_off_and_it_goes_when_the_neighbor_knows() {
    let mut bench = Bench::new();
    let path = mk_path("192.0.2.1");
    bench.watch("a", &path);
    let here = mk_arrival("192.0.2.1", 1);
    let own = bench.up(&here);
    bench.events();
    bench.sessions.release(bench.now, &User::new("a"));
    assert_eq!(bench.drain().pop().unwrap().1.state, State::AdminDown);
    assert_eq!(bench.events(), [], "nobody is to act on it");
    assert!(!bench.sessions.is_empty());
    bench.hear(&here, State::Down, Some(own)).unwrap();
    assert!(bench.sessions.is_empty());
    let effects: Vec<Effect> = std::iter::from_fn(|| bench.sessions.poll_effect()).collect();
    assert_eq!(effects, [Effect::Open(own), Effect::Close(own)]);
    assert_eq!(bench.sessions.next_timeout(), None);
}

// req: !B11
#[test]
fn who_comes_back_while_the_session_leaves_takes_it_over() {
    let mut bench = Bench::new();
    bench.watch("a", &mk_path("192.0.2.1"));
    let here = mk_arrival("192.0.2.1", 1);
    let own = bench.up(&here);
    bench.sessions.release_all(bench.now);
    bench.drain();
    bench.watch("b", &mk_path("192.0.2.1"));
    bench.events();
    assert_eq!(bench.hear(&here, State::Down, Some(own)), Ok(own));
    assert_eq!(bench.events(), [("b".to_owned(), State::Init)]);
}

// req: B2
#[test]
fn a_neighbor_that_is_gone_is_not_waited_for_longer_than_a_detection_time() {
    let mut bench = Bench::new();
    bench.watch("a", &mk_path("192.0.2.1"));
    bench.up(&mk_arrival("192.0.2.1", 1));
    bench.sessions.release_all(bench.now);
    bench.drain();
    let start = bench.now;
    while let Some(at) = bench.sessions.next_timeout() {
        bench.now = at;
        bench.sessions.handle_timeout(at);
        bench.drain();
    }
    assert!(bench.sessions.is_empty());
    assert_eq!(bench.now - start, ms(900));
}

// req: B6
#[test]
fn every_session_sends_with_its_own_discriminator() {
    let mut bench = Bench::new();
    for host in 1..=100 {
        bench.watch(&host.to_string(), &mk_path(&format!("192.0.2.{host}")));
    }
    let end = bench.now + ms(1250);
    let mut senders = BTreeSet::new();
    while bench.now < end {
        for (session, packet) in bench.sent() {
            assert_eq!(packet.my_discriminator, session);
            senders.insert(session);
        }
    }
    assert_eq!(senders.len(), 100);
}
