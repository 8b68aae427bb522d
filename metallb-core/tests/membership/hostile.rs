//! Somebody on the network who writes datagrams down, repeats them, sends them to others and, when the key is known,
//! forges them: nobody believes a lie for longer than two detection times after the last one.

use std::collections::BTreeSet;
use std::time::Duration;

use metallb_core::keys::InterfaceName;
use metallb_core::membership::wire::{Bitmap, Chunk, Datagram, MAX_SEQUENCE};
use metallb_core::membership::{Epoch, InterfaceFacts, Metadata, Status};

use crate::simulation::{CLOCK, LAN, Net, Random, Recorded, Simulation, name};

const STEP: Duration = Duration::from_millis(10);
const VICTIM: usize = 2;

/// Members of which somebody has written down everything for a while.
fn recorded(size: usize, seed: u64, time: Duration) -> Simulation {
    let mut sim = Simulation::new(size, LAN, seed);
    sim.recorded = Some(Vec::new());
    sim.start_all();
    sim.run_for(time);
    sim
}

fn written_down(sim: &mut Simulation) -> Vec<Recorded> {
    sim.recorded.take().unwrap()
}

fn everybody_but(sim: &Simulation, size: usize, without: usize) -> bool {
    let expected: BTreeSet<usize> = (0..size).filter(|index| *index != without).collect();
    expected.iter().all(|index| sim.view(*index) == expected)
}

fn all(sim: &Simulation, size: usize) -> bool {
    (0..size).all(|index| sim.view(index) == (0..size).collect())
}

fn status(sim: &Simulation, at: usize, of: usize) -> Status {
    sim.machine(at).peers().find(|peer| peer.name == name(of)).unwrap().status
}

/// Sends a datagram that looks like the last one from the victim to `to`, but for what `change` does; it is newer.
fn forge(sim: &mut Simulation, to: usize, ahead: u64, change: impl Fn(&mut Datagram<'_>)) -> bool {
    let last = |recorded: &&Recorded| recorded.from == VICTIM && recorded.to == to;
    let octets = sim.recorded.as_ref().unwrap().iter().rev().find(last).unwrap().octets.clone();
    let mut datagram = Datagram::parse(&octets).unwrap();
    datagram.sequence += ahead;
    change(&mut datagram);
    let mut forged = Vec::new();
    datagram.encode(&mut forged).unwrap();
    sim.deliver(VICTIM, to, &forged)
}

/// A lie that is told for a second; then the truth is back within two detection times.
fn ends(lie: impl Fn(&mut Datagram<'_>)) {
    for ahead in [1, 1_000_000] {
        let mut sim = recorded(4, 3, Duration::from_secs(1));
        let detection = sim.machine(0).detection();
        for _ in 0..100 {
            for to in [0, 1, 3] {
                forge(&mut sim, to, ahead, &lie);
            }
            sim.run_for(STEP);
        }
        sim.run_for(detection * 2);
        assert!(all(&sim, 4), "{ahead}: {:?}", (0..4).map(|index| sim.view(index)).collect::<Vec<_>>());
        assert!((0..4).filter(|index| *index != VICTIM).all(|at| status(&sim, at, VICTIM) == Status::Heard));
        sim.log.clear();
        sim.run_for(Duration::from_secs(5));
        assert_eq!(sim.log, [], "and that is the end of it");
        // What the lies said of the rhythm is forgotten, too.
        sim.kill(VICTIM);
        sim.run_for(detection + STEP * 10);
        assert!(everybody_but(&sim, 4, VICTIM));
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

#[test]
fn recorded_heartbeats_do_not_keep_a_dead_member_alive() {
    let mut sim = recorded(4, 1, Duration::from_secs(10));
    let tape = written_down(&mut sim);
    let detection = sim.machine(0).detection();
    sim.kill(VICTIM);
    let mut heartbeats = tape.iter().filter(|recorded| recorded.from == VICTIM).cycle();
    for round in 0..1_000_u32 {
        for _ in 0..20 {
            let Recorded { to, octets, .. } = heartbeats.next().unwrap();
            sim.deliver(VICTIM, *to, octets);
        }
        sim.run_for(STEP);
        assert!(STEP * round < detection * 2 || everybody_but(&sim, 4, VICTIM), "after {:?}", STEP * round);
    }
    assert!(sim.machine(0).stats().stale > 1_000);
}

#[test]
fn nor_for_a_member_that_has_just_started() {
    let mut sim = recorded(4, 2, Duration::from_secs(5));
    // An earlier run of the receiver, and an earlier run of the sender, too.
    sim.kill(VICTIM);
    sim.start(VICTIM);
    sim.run_for(Duration::from_secs(5));
    let tape = written_down(&mut sim);
    sim.kill(0);
    sim.kill(VICTIM);
    sim.run_for(Duration::from_secs(1));
    sim.start(0);
    for Recorded { to, octets, .. } in tape.iter().filter(|recorded| recorded.from == VICTIM) {
        sim.deliver(VICTIM, *to, octets);
        sim.run_for(Duration::from_millis(1));
        assert!([0, 1, 3].iter().all(|index| !sim.view(*index).contains(&VICTIM)));
    }
    assert!(everybody_but(&sim, 4, VICTIM));
}

#[test]
fn what_was_held_back_while_a_member_was_silent_does_not_bring_it_back() {
    let mut sim = Simulation::new(4, LAN, 4);
    sim.start_all();
    // It hears the others, who do not hear it any more, and goes on answering what they ask.
    sim.recorded = Some(Vec::new());
    for to in [0, 1, 3] {
        sim.cut_one_way(VICTIM, to);
    }
    sim.run_for(Duration::from_secs(10));
    let tape = written_down(&mut sim);
    sim.kill(VICTIM);
    sim.run_for(Duration::from_secs(1));
    sim.heal();
    for Recorded { to, octets, .. } in tape.iter().filter(|recorded| recorded.from == VICTIM) {
        sim.deliver(VICTIM, *to, octets);
        sim.run_for(Duration::from_millis(1));
        assert!(everybody_but(&sim, 4, VICTIM));
    }
}

#[test]
fn a_recording_neither_removes_a_member_nor_makes_it_deaf() {
    let mut sim = recorded(3, 5, Duration::from_secs(2));
    // Farewells of an earlier run, and everything it said.
    sim.leave(VICTIM);
    sim.run_for(Duration::from_secs(1));
    sim.kill(VICTIM);
    sim.start(VICTIM);
    sim.run_until(Duration::from_secs(2), |sim| all(sim, 3));
    sim.run_for(Duration::from_secs(1));
    let tape = written_down(&mut sim);
    sim.log.clear();
    for Recorded { from, to, octets, .. } in &tape {
        sim.deliver(*from, *to, octets);
        sim.run_for(Duration::from_millis(2));
    }
    assert_eq!(sim.log, [], "nothing happens");
}

#[test]
fn what_was_meant_for_another_receiver_changes_nothing() {
    let mut sim = recorded(3, 6, Duration::from_secs(2));
    sim.leave(VICTIM);
    let tape = written_down(&mut sim);
    let farewells = tape.iter().rev().take(2).chain(&tape);
    let mut other = Simulation::new(3, LAN, 7);
    other.start_all();
    for Recorded { from, to, octets, .. } in farewells {
        let somebody_else = (0..3).find(|index| index != from && index != to).unwrap();
        other.deliver(*from, somebody_else, octets);
        other.run_for(Duration::from_millis(2));
        assert!(all(&other, 3));
    }
}

#[test]
fn without_the_key_nothing_but_loss_is_possible() {
    for seed in 0..20 {
        let size = 4;
        let mut random = Random(seed);
        let mut sim = Simulation::new(size, Net { loss: 20_000, ..LAN }, seed);
        sim.recorded = Some(Vec::new());
        sim.start_all();
        let detection = sim.machine(0).detection();
        let mut down_since = None;
        for _ in 0..1_500 {
            // Anything ever sent, to whomever it was meant for: a seal lets nothing else through.
            for _ in 0..5 {
                let tape = sim.recorded.as_ref().unwrap();
                let index = usize::try_from(random.below(tape.len().try_into().unwrap())).unwrap();
                let Recorded { from, to, octets, .. } = tape[index].clone();
                sim.deliver(from, to, &octets);
            }
            match (down_since, random.below(150)) {
                (None, 0) => {
                    sim.kill(VICTIM);
                    down_since = Some(sim.now());
                }
                (Some(since), 1) if sim.now() - since > Duration::from_secs(1) => {
                    sim.start(VICTIM);
                    sim.run_until(Duration::from_secs(2), |sim| all(sim, size));
                    down_since = None;
                }
                _ => sim.run_for(STEP),
            }
            let alive = (0..size).filter(|index| sim.is_running(*index));
            let mut views = alive.map(|index| sim.view(index));
            match down_since {
                None => assert!(views.all(|view| view.len() == size), "seed {seed}: somebody was dropped"),
                Some(since) if sim.now() - since > detection * 2 => {
                    assert!(views.all(|view| !view.contains(&VICTIM)), "seed {seed}: the dead live");
                }
                Some(_) => {}
            }
        }
    }
}

#[test]
fn an_epoch_that_cannot_be_is_refused() {
    let mut sim = recorded(3, 8, Duration::from_secs(1));
    let accepted = forge(&mut sim, 0, 1, |datagram| datagram.epoch = Epoch::new(u64::MAX));
    assert!(!accepted);
    sim.log.clear();
    sim.run_for(Duration::from_secs(5));
    assert_eq!(sim.log, []);
}

#[test]
fn a_run_that_poses_as_the_last_one_is_believed_no_longer_than_it_goes_on() {
    let latest = Epoch::new(nanoseconds(CLOCK + Duration::from_hours(23)));
    ends(|datagram| datagram.epoch = latest);
}

#[test]
fn a_forged_farewell_ends() {
    ends(|datagram| datagram.leaving = true);
}

#[test]
fn a_sequence_number_far_ahead_ends() {
    ends(|datagram| datagram.sequence = MAX_SEQUENCE);
}

#[test]
fn an_interval_of_an_hour_ends() {
    ends(|datagram| {
        datagram.interval = Duration::from_hours(1);
        datagram.sequence = MAX_SEQUENCE;
    });
}

#[test]
fn a_member_that_is_said_to_be_deaf_to_everybody_is_back() {
    ends(|datagram| {
        datagram.bitmap = None;
        datagram.sequence = MAX_SEQUENCE;
        datagram.challenge = u32::MAX;
    });
}

#[test]
fn a_liar_that_goes_on_after_the_death_of_its_victim_is_dropped_when_it_stops() {
    let mut sim = recorded(4, 9, Duration::from_secs(1));
    let detection = sim.machine(0).detection();
    sim.kill(VICTIM);
    for sequence in 0..100 {
        for to in [0, 1, 3] {
            assert!(
                forge(&mut sim, to, 10 + sequence, |datagram| datagram.interval = Duration::from_hours(1))
            );
        }
        sim.run_for(STEP);
    }
    assert!(all_of(&sim, &[0, 1, 3], 4), "who has the key can pose as a member");
    sim.run_for(detection * 2);
    assert!(everybody_but(&sim, 4, VICTIM));
}

fn all_of(sim: &Simulation, whom: &[usize], size: usize) -> bool {
    whom.iter().all(|index| sim.view(*index).len() == size)
}

#[test]
fn a_forged_word_for_a_dead_member_ends() {
    let mut sim = recorded(4, 10, Duration::from_secs(1));
    let detection = sim.machine(0).detection();
    let dead = 3;
    sim.kill(dead);
    let mut bits = [0_u8; 1];
    for sequence in 0..200 {
        bits[0] = 0b1111;
        let everybody = |datagram: &mut Datagram<'_>| {
            datagram.interval = Duration::from_hours(1);
            let digest = datagram.bitmap.unwrap().digest;
            datagram.bitmap = Some(Bitmap { digest, members: 4, bits: &[0b1111] });
        };
        forge(&mut sim, 0, 10 + sequence, everybody);
        sim.run_for(STEP);
    }
    assert!(sim.view(0).contains(&dead), "who has the key can vouch for anybody");
    sim.run_for(detection * 2);
    assert!(everybody_but(&sim, 4, dead));
}

#[test]
fn forged_metadata_is_replaced_by_what_is_true() {
    let mut sim = recorded(3, 11, Duration::from_secs(1));
    let told = |interface: &str| {
        let interfaces = [(InterfaceName::new(interface), InterfaceFacts::default())].into();
        Metadata { interfaces, ..Metadata::default() }
    };
    sim.with(VICTIM, |machine, now| machine.set_metadata(now, told("eth0"))).unwrap();
    sim.run_for(Duration::from_secs(1));
    assert_eq!(sim.machine(0).metadata(&name(VICTIM)), Some(&told("eth0")));
    let lie = told("eth1").encode().unwrap();
    for version in [0, 1, 7, u64::MAX] {
        let total = u32::try_from(lie.len()).unwrap();
        // Nothing but the digest of the octets is a version.
        let before = sim.machine(0).stats().malformed;
        forge_chunk(&mut sim, Chunk { version, total, offset: 0, octets: &lie });
        assert_eq!(sim.machine(0).stats().malformed, before + 1);
        assert_eq!(sim.machine(0).metadata(&name(VICTIM)), Some(&told("eth0")));
    }
    let digest = digest_of(&told("eth1"));
    let total = u32::try_from(lie.len()).unwrap();
    forge_chunk(&mut sim, Chunk { version: digest, total, offset: 0, octets: &lie });
    assert_eq!(
        sim.machine(0).metadata(&name(VICTIM)),
        Some(&told("eth1")),
        "who has the key can say anything"
    );
    sim.run_for(Duration::from_millis(800));
    assert_eq!(sim.machine(0).metadata(&name(VICTIM)), Some(&told("eth0")));
}

fn forge_chunk(sim: &mut Simulation, chunk: Chunk<'_>) {
    let last = |recorded: &&Recorded| recorded.from == VICTIM && recorded.to == 0;
    let octets = sim.recorded.as_ref().unwrap().iter().rev().find(last).unwrap().octets.clone();
    let mut datagram = Datagram::parse(&octets).unwrap();
    // Each is one number ahead of the truth, so that the truth goes on at once.
    sim.run_for(Duration::from_millis(60));
    let mut forged = Vec::new();
    let tape = sim.recorded.as_ref().unwrap();
    let newest =
        tape.iter().rev().find(last).map(|recorded| Datagram::parse(&recorded.octets).unwrap().sequence);
    datagram.sequence = newest.unwrap() + 1;
    datagram.chunk = Some(chunk);
    datagram.encode(&mut forged).unwrap();
    sim.deliver(VICTIM, 0, &forged);
}

/// The version under which a member announces this metadata.
fn digest_of(metadata: &Metadata) -> u64 {
    let mut sim = Simulation::new(2, LAN, 12);
    sim.recorded = Some(Vec::new());
    sim.start_all();
    sim.with(0, |machine, now| machine.set_metadata(now, metadata.clone())).unwrap();
    sim.run_for(Duration::from_millis(100));
    let tape = written_down(&mut sim);
    let last = tape.iter().rev().find(|recorded| recorded.from == 0).unwrap();
    Datagram::parse(&last.octets).unwrap().metadata_version
}
