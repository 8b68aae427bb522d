use proptest::prelude::*;

use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn mk_profile(transmit: u64, receive: u64, multiplier: u8) -> Profile {
    Profile::new(ms(transmit), ms(receive), multiplier).unwrap()
}

/// A session, and a neighbour that says what the test wants.
struct Bench {
    now: Instant,
    session: Session,
    /// What the neighbour says.
    neighbor: ControlPacket,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
    fn new(profile: Profile) -> Self {
        let now = Instant::now();
        let session = Session::new(now, Discriminator::new(42).unwrap(), profile, 7);
        let neighbor = ControlPacket {
            diagnostic: Diagnostic::None,
            state: State::Down,
            poll: false,
            is_final: false,
            control_plane_independent: false,
            authenticated: false,
            demand: false,
            detect_multiplier: NonZeroU8::new(3).unwrap(),
            my_discriminator: Discriminator::new(9).unwrap(),
            your_discriminator: None,
            desired_min_tx: ms(100),
            required_min_rx: ms(100),
            required_min_echo_rx: Duration::ZERO,
        };
        Self { now, session, neighbor }
    }

    /// One whose session is up, without a Poll Sequence.
    fn up(profile: Profile) -> Self {
        let mut bench = Self::new(profile);
        bench.hear(State::Down);
        bench.hear(State::Init);
        assert_eq!(bench.session.state(), State::Up);
        bench.hear_with(|packet| (packet.state, packet.is_final) = (State::Up, true));
        bench.drain();
        while bench.session.poll_change().is_some() {}
        bench
    }

    fn hear(&mut self, state: State) {
        self.hear_with(|packet| packet.state = state);
    }

    fn hear_with(&mut self, change: impl FnOnce(&mut ControlPacket)) {
        let mut packet =
            ControlPacket { your_discriminator: Some(self.session.discriminator()), ..self.neighbor };
        change(&mut packet);
        self.session.handle_packet(self.now, &packet);
    }

    fn drain(&mut self) -> Vec<ControlPacket> {
        std::iter::from_fn(|| self.session.poll_transmit(self.now)).collect()
    }

    /// Lets time pass, and returns what was sent meanwhile, each with how long after the start.
    fn pass(&mut self, time: Duration) -> Vec<(Duration, ControlPacket)> {
        let (start, end) = (self.now, self.now + time);
        let mut sent = Vec::new();
        while let Some(at) = self.session.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            let packets = self.drain();
            sent.extend(packets.into_iter().map(|packet| (self.now - start, packet)));
        }
        self.now = end;
        sent
    }

    /// The times between periodic packets while the neighbour keeps the session up.
    fn gaps(&mut self, count: usize) -> Vec<Duration> {
        let mut at = Vec::new();
        while at.len() <= count {
            self.hear(State::Up);
            let next = self.session.next_timeout().unwrap();
            self.now = next;
            self.session.handle_timeout(next);
            at.extend(self.drain().iter().map(|_| next));
        }
        at.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

// req: B2, B5
#[test]
fn the_state_machine_is_that_of_the_rfc() {
    use State::{AdminDown, Down, Init, Up};
    let table = [
        (Down, [Down, Init, Up, Down]),
        (Init, [Down, Init, Up, Up]),
        (Up, [Down, Down, Up, Up]),
        (AdminDown, [AdminDown, AdminDown, AdminDown, AdminDown]),
    ];
    for (start, expected) in table {
        for (heard, expected) in [AdminDown, Down, Init, Up].into_iter().zip(expected) {
            let mut bench = match start {
                Up => Bench::up(Profile::default()),
                _ => Bench::new(Profile::default()),
            };
            match start {
                Init => bench.hear(Down),
                AdminDown => bench.session.disable(bench.now),
                Down | Up => {}
            }
            bench.drain();
            assert_eq!(bench.session.state(), start);
            bench.hear(heard);
            assert_eq!(bench.session.state(), expected, "{start} hears {heard}");
            let told = bench.drain();
            let due = start != expected || (start == AdminDown && heard >= Init);
            assert_eq!(told.len(), usize::from(due), "a new state is told at once: {start} hears {heard}");
            assert!(told.iter().all(|packet| packet.state == expected));
        }
    }
}

// req: B2
#[test]
fn silence_of_a_detection_time_takes_the_session_down_and_forgets_the_neighbor() {
    let mut bench = Bench::up(mk_profile(300, 50, 5));
    // The neighbour's multiplier and the slower of its interval and ours.
    assert_eq!(bench.session.detection_time(), Some(ms(300)));
    bench.pass(ms(299));
    assert_eq!(bench.session.state(), State::Up);
    let told = bench.pass(ms(1)).pop().unwrap().1;
    assert_eq!((told.state, told.diagnostic), (State::Down, Diagnostic::DetectionTimeExpired));
    assert_eq!(told.your_discriminator, None, "who answers next may be another one");
    let change = bench.session.poll_change().unwrap();
    assert_eq!(change, Change { from: State::Up, to: State::Down, cause: Cause::Silence });
    assert!(change.is_failure());
}

// req: !B2
#[test]
fn a_neighbor_that_goes_down_is_remembered_until_it_is_silent() {
    let mut bench = Bench::up(Profile::default());
    bench.hear(State::Down);
    let told = bench.drain().pop().unwrap();
    assert_eq!((told.state, told.diagnostic), (State::Down, Diagnostic::NeighborSignaledDown));
    assert_eq!(told.your_discriminator, Discriminator::new(9));
    assert!(bench.session.poll_change().unwrap().is_failure());
    bench.pass(ms(900));
    assert_eq!(bench.session.snapshot().remote_discriminator, None);
    assert_eq!(bench.session.state(), State::Down);
    assert_eq!(bench.session.poll_change(), None, "it is down already");
}

// req: B2, B3
#[test]
fn packets_are_sent_again_after_long_silence() {
    let mut bench = Bench::up(Profile::default());
    bench.hear_with(|packet| (packet.state, packet.required_min_rx) = (State::Up, Duration::ZERO));
    assert_eq!(bench.pass(ms(899)), [], "it wants no periodic packets");
    let later = bench.pass(Duration::from_secs(10));
    assert!(later.len() > 8, "whoever answers next does: {}", later.len());
}

// req: B3
#[test]
fn a_packet_comes_after_75_to_100_percent_of_the_interval_each_time_anew() {
    let mut bench = Bench::up(mk_profile(50, 100, 3));
    let gaps = bench.gaps(2000);
    assert!(gaps.iter().all(|gap| (ms(75)..=ms(100)).contains(gap)), "the slower of 50 and 100 ms");
    for low in [75, 80, 85, 90, 95] {
        let hits = gaps.iter().filter(|gap| (ms(low)..ms(low + 5)).contains(*gap)).count();
        assert!((300..500).contains(&hits), "{hits} of 2000 from {low}");
    }
}

// req: B3
#[test]
fn with_a_multiplier_of_one_there_is_room_for_a_late_packet() {
    let mut bench = Bench::up(mk_profile(100, 100, 1));
    let gaps = bench.gaps(500);
    assert!(gaps.iter().all(|gap| (ms(75)..=ms(90)).contains(gap)));
}

// req: !B3
#[test]
fn a_session_that_is_not_up_sends_at_most_once_a_second() {
    let mut bench = Bench::new(mk_profile(10, 10, 3));
    let sent = bench.pass(Duration::from_secs(100));
    assert!((100..=134).contains(&sent.len()), "{}", sent.len());
    assert!(sent.iter().all(|(_, packet)| packet.desired_min_tx == Duration::from_secs(1)));
}

// req: B4, B5
#[test]
fn the_interval_of_a_session_that_came_up_is_polled_for() {
    let mut bench = Bench::new(mk_profile(100, 100, 3));
    bench.hear(State::Down);
    bench.hear(State::Init);
    let first = bench.drain().pop().unwrap();
    assert_eq!((first.state, first.poll, first.desired_min_tx), (State::Up, true, ms(100)));
    assert!(bench.pass(ms(250)).iter().all(|(_, packet)| packet.poll), "until it is answered");
    bench.hear_with(|packet| (packet.state, packet.is_final) = (State::Up, true));
    assert!(bench.pass(ms(250)).iter().all(|(_, packet)| !packet.poll));
}

// req: B4
#[test]
fn a_poll_is_answered_at_once_and_without_another() {
    let mut bench = Bench::up(Profile::default());
    bench.session.set_profile(bench.now, mk_profile(500, 500, 3));
    bench.hear_with(|packet| (packet.state, packet.poll) = (State::Up, true));
    let answer = bench.drain();
    assert_eq!(answer.len(), 1);
    assert!(answer[0].is_final && !answer[0].poll, "never both (RFC 5880 §6.5)");
    assert!(bench.pass(ms(400))[0].1.poll, "ours goes on");
    // Also one that wants no periodic packets gets its answer.
    bench.hear_with(|packet| {
        (packet.state, packet.poll, packet.required_min_rx) = (State::Up, true, Duration::ZERO);
    });
    assert!(bench.drain()[0].is_final);
}

// req: B4
#[test]
fn sending_slower_and_detecting_faster_wait_for_the_answer() {
    let mut bench = Bench::up(mk_profile(300, 300, 3));
    bench.session.set_profile(bench.now, mk_profile(1000, 100, 3));
    assert_eq!(bench.session.transmit_interval(), ms(300));
    assert_eq!(bench.session.detection_time(), Some(ms(900)));
    bench.hear_with(|packet| (packet.state, packet.is_final) = (State::Up, true));
    assert_eq!(bench.session.transmit_interval(), ms(1000));
    assert_eq!(bench.session.detection_time(), Some(ms(300)));
    assert_eq!(bench.session.state(), State::Up);
}

// req: B4
#[test]
fn a_neighbor_that_wants_packets_faster_gets_them_at_once() {
    let mut bench = Bench::up(mk_profile(100, 100, 3));
    bench.hear_with(|packet| (packet.state, packet.required_min_rx) = (State::Up, Duration::from_secs(10)));
    bench.drain();
    assert_eq!(bench.pass(ms(290)), []);
    bench.hear(State::Up);
    assert!(!bench.pass(ms(100)).is_empty());
}

// req: B6
#[test]
fn a_passive_session_is_silent_until_the_neighbor_speaks() {
    let mut bench = Bench::new(Profile::default().with_passive(true));
    assert_eq!(bench.pass(Duration::from_secs(60)), []);
    bench.hear(State::Down);
    assert_eq!(bench.drain().len(), 1);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.session.state(), State::Down);
    assert_eq!(bench.pass(Duration::from_secs(60)), [], "it has gone");
}

// req: B10, !B10
#[test]
fn demand_of_the_neighbor_stops_periodic_packets_while_both_are_up() {
    let mut bench = Bench::up(Profile::default());
    bench.hear_with(|packet| (packet.state, packet.demand) = (State::Up, true));
    assert_eq!(bench.pass(ms(800)), []);
    bench.hear_with(|packet| (packet.state, packet.demand) = (State::Up, true));
    bench.session.set_profile(bench.now, mk_profile(100, 100, 3));
    assert!(bench.pass(ms(200)).iter().any(|(_, packet)| packet.poll), "but not a Poll Sequence");
    let before = bench.session.snapshot();
    bench.hear_with(|packet| (packet.state, packet.authenticated) = (State::Down, true));
    let after = bench.session.snapshot();
    assert_eq!(
        (after.state, after.counters.packets_discarded),
        (State::Up, 1),
        "authenticated, which we are not"
    );
    assert_eq!(after.remote_state, before.remote_state);
}

// req: B11
#[test]
fn what_either_side_switches_off_is_no_failure() {
    let mut bench = Bench::up(Profile::default());
    bench.hear(State::AdminDown);
    let change = bench.session.poll_change().unwrap();
    assert_eq!((change.to, change.cause), (State::Down, Cause::NeighborDisabled));
    assert!(!change.is_failure());
    let mut bench = Bench::up(Profile::default());
    bench.session.disable(bench.now);
    assert!(!bench.session.poll_change().unwrap().is_failure());
    let told = bench.drain().pop().unwrap();
    assert_eq!((told.state, told.diagnostic), (State::AdminDown, Diagnostic::AdministrativelyDown));
}

// req: B2, B11
#[test]
fn a_session_that_leaves_says_so_until_the_neighbor_knows() {
    let mut bench = Bench::up(mk_profile(100, 100, 3));
    bench.session.disable(bench.now);
    assert!(!bench.session.has_left(bench.now), "nothing is sent yet");
    assert_eq!(bench.drain().len(), 1);
    bench.hear(State::Up);
    assert_eq!(bench.drain().len(), 1, "it was lost");
    assert!(!bench.session.has_left(bench.now));
    bench.hear(State::Down);
    assert!(bench.session.has_left(bench.now));
    let mut bench = Bench::up(mk_profile(100, 100, 3));
    bench.session.disable(bench.now);
    bench.drain();
    assert!(bench.session.has_left(bench.now + ms(300)), "a neighbour that is gone is not waited for");
    bench.session.enable(bench.now);
    assert!(!bench.session.has_left(bench.now + ms(300)));
    bench.hear(State::Down);
    assert_eq!(bench.session.state(), State::Init);
}

proptest! {
    // req: !B2, !B3, !B5
    #[test]
    fn any_order_of_calls_is_safe_and_sends_no_more_than_it_may(
        steps in prop::collection::vec((0_u8..8, any::<u32>(), 0_u64..400), 1..200),
    ) {
        let mut bench = Bench::new(mk_profile(100, 100, 3));
        for (kind, bits, wait) in steps {
            let state = [State::AdminDown, State::Down, State::Init, State::Up][bits as usize % 4];
            let mut caused = 1;
            match kind {
                0..=3 => bench.hear_with(|packet| {
                    packet.state = state;
                    (packet.poll, packet.is_final) = (bits & 4 != 0, bits & 8 != 0);
                    (packet.demand, packet.authenticated) = (bits & 0x30 == 0x30, bits & 0xc0 == 0xc0);
                    packet.required_min_rx = Duration::from_micros(u64::from(bits) >> 8);
                    packet.desired_min_tx = Duration::from_micros(u64::from(bits.rotate_left(9)) >> 8);
                }),
                4 => bench.session.disable(bench.now),
                5 => bench.session.enable(bench.now),
                6 => {
                    let interval = u64::from(bits) % 1000 + 10;
                    bench.session.set_profile(bench.now, mk_profile(interval, 1020 - interval, 3));
                }
                _ => caused = 0,
            }
            // An answer, and a new state; whatever else is due.
            prop_assert!(bench.drain().len() <= caused + 2);
            let sent = bench.pass(ms(wait));
            let most = wait / 7 + 3;
            prop_assert!(sent.len() as u64 <= most, "{} packets in {wait} ms", sent.len());
            if bench.session.state() != State::Up {
                prop_assert!(bench.session.transmit_interval() >= Duration::from_secs(1));
            }
            prop_assert!(sent.iter().all(|(_, packet)| !(packet.poll && packet.is_final)));
            prop_assert!(bench.session.next_timeout().is_none_or(|at| at > bench.now));
        }
    }
}
