//! Each rule of the membership, one at a time.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use metallb_core::keys::InterfaceName;
use metallb_core::membership::{InterfaceFacts, Metadata, Status};

use crate::simulation::{LAN, Net, Seen, Simulation, name};

fn set(members: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
    members.into_iter().collect()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn members_that_start_together_find_each_other_at_once() {
    let mut sim = Simulation::new(5, LAN, 1);
    sim.start_all();
    assert!(sim.now() < ms(150), "{:?}", sim.now());
}

#[test]
fn nobody_is_lost_and_nothing_is_told_while_all_is_well() {
    let mut sim = Simulation::new(5, Net { loss: 50_000, delay: (100, 20_000) }, 2);
    sim.start_all();
    sim.run_for(Duration::from_secs(60));
    assert_eq!(sim.log, []);
}

#[test]
fn a_killed_member_is_gone_for_all_within_half_a_second() {
    let mut sim = Simulation::new(5, LAN, 3);
    sim.start_all();
    let killed = sim.now();
    sim.kill(2);
    sim.run_for(Duration::from_secs(2));
    let changes = sim.changes();
    assert_eq!(changes.len(), 4, "one change each: {changes:?}");
    assert_eq!(sim.machine(0).stats().suspicions, 1);
    for (at, _, members) in changes {
        assert_eq!(members, set([0, 1, 3, 4]));
        assert!(at - killed >= ms(300) && at - killed <= ms(500), "{:?}", at - killed);
    }
}

#[test]
fn a_member_that_leaves_is_gone_at_once_even_when_a_message_is_lost() {
    for seed in 0..20 {
        let mut sim = Simulation::new(5, Net { loss: 200_000, delay: (100, 400) }, seed);
        sim.start_all();
        let left = sim.now();
        sim.leave(1);
        sim.run_for(ms(120));
        sim.kill(1);
        sim.run_for(Duration::from_secs(3));
        for (at, index, members) in sim.changes() {
            let expected = set([0, 2, 3, 4]);
            assert_eq!(members, expected, "seed {seed}");
            assert!(index == 1 || at - left <= ms(450), "seed {seed}: {index} after {:?}", at - left);
        }
        assert_eq!(sim.changes().len(), 5, "seed {seed}: nobody brings it back");
        assert!(sim.machine(1).next_timeout().is_none(), "the last farewell is sent");
    }
}

#[test]
fn a_restarted_member_is_back_with_its_first_datagrams() {
    let mut sim = Simulation::new(3, LAN, 4);
    sim.start_all();
    sim.kill(0);
    sim.run_for(ms(100));
    let restarted = sim.now();
    sim.start(0);
    sim.run_until(ms(200), |sim| (0..3).all(|index| sim.view(index) == set([0, 1, 2])));
    assert!(sim.now() - restarted < ms(120), "{:?}", sim.now() - restarted);
}

#[test]
fn a_restarted_member_counts_for_others_only_when_it_is_settled() {
    let mut sim = Simulation::new(3, LAN, 5);
    sim.start_all();
    sim.kill(2);
    sim.run_for(ms(300));
    sim.kill(0);
    sim.create(0, 100);
    // Node 2 is dead but still ready in the eyes of the API, so node 0 waits for it.
    sim.members_ready(0, &[1, 2]);
    sim.run_for(ms(350));
    assert!(!sim.machine(0).is_settled());
    assert!(!sim.view(1).contains(&0));
    let status = sim.machine(1).peers().find(|peer| peer.name == name(0)).unwrap().status;
    assert_eq!(status, Status::Starting);
}

#[test]
fn a_start_waits_for_ready_members_but_not_for_ever() {
    let mut sim = Simulation::new(3, LAN, 6);
    sim.create(1, 1);
    sim.create(2, 1);
    sim.kill(2);
    // Ready in the eyes of the API, yet dead: nothing comes.
    sim.members_ready(0, &[1, 2]);
    sim.run_for(ms(700));
    assert!(!sim.machine(0).is_settled());
    sim.run_for(ms(150));
    assert!(sim.machine(0).is_settled());
}

#[test]
fn members_that_start_together_hear_each_other_before_they_claim_anything() {
    for seed in 0..20 {
        let mut sim = Simulation::new(3, LAN, seed);
        for index in 0..3 {
            sim.create(index, 1);
            sim.members_starting(index);
            // One after the other, as processes come up.
            sim.run_for(ms(15));
        }
        sim.run_for(ms(150));
        let views = sim.log.iter().filter(|(.., seen)| *seen == Seen::Settled).count();
        assert_eq!(views, 3, "seed {seed}: {:?}", sim.log);
        let first = sim.log.iter().position(|(.., seen)| *seen == Seen::Settled).unwrap();
        let (_, claimant, _) = &sim.log[first];
        let view = sim.log[..first].iter().rev().find_map(|(_, index, seen)| match seen {
            Seen::Members(members) if index == claimant => Some(members.clone()),
            _ => None,
        });
        assert_eq!(view, Some(set([0, 1, 2])), "seed {seed}: {:?}", sim.log);
    }
}

#[test]
fn a_peer_that_is_not_ready_and_never_heard_delays_a_start_but_little() {
    let mut sim = Simulation::new(2, LAN, 3);
    sim.create(0, 1);
    sim.members_starting(0);
    sim.run_for(ms(90));
    assert!(!sim.machine(0).is_settled());
    sim.run_for(ms(15));
    assert!(sim.machine(0).is_settled());
}

#[test]
fn a_start_ends_two_detection_times_after_the_first_list_of_peers_and_not_before() {
    let mut sim = Simulation::new(2, LAN, 7);
    sim.create(0, 1);
    sim.run_for(Duration::from_secs(60));
    assert!(!sim.machine(0).is_settled(), "an API server that is away says nothing about the others");
    sim.members_ready(0, &[1]);
    sim.run_for(ms(750));
    assert!(!sim.machine(0).is_settled());
    sim.run_for(ms(100));
    assert!(sim.machine(0).is_settled());
}

#[test]
fn a_member_that_confirms_counts_for_the_others_when_it_takes_part() {
    let mut sim = Simulation::new(2, LAN, 7);
    sim.start_all();
    sim.kill(1);
    sim.run_for(Duration::from_secs(1));
    sim.start_confirming(1);
    sim.run_for(Duration::from_secs(1));
    assert!(sim.machine(1).is_settled());
    assert_eq!((sim.view(0), sim.view(1)), (set([0]), set([0, 1])));
    sim.with(1, metallb_core::membership::Membership::take_part);
    sim.run_for(ms(1));
    assert_eq!(sim.view(0), set([0, 1]));
}

#[test]
fn a_member_alone_settles_as_soon_as_it_knows_that() {
    let mut sim = Simulation::new(1, LAN, 8);
    sim.start(0);
    assert!(sim.machine(0).is_settled());
    assert_eq!(sim.log.last().map(|(.., seen)| seen.clone()), Some(Seen::Settled));
}

#[test]
fn a_member_that_only_others_hear_stays_a_member() {
    let mut sim = Simulation::new(4, Net { loss: 10_000, delay: (100, 400) }, 9);
    sim.start_all();
    sim.cut(0, 1);
    sim.run_for(Duration::from_secs(30));
    assert_eq!(sim.log, [], "no blip, no loss");
    let status = sim.machine(0).peers().find(|peer| peer.name == name(1)).unwrap().status;
    assert_eq!(status, Status::Vouched);
    assert_eq!(sim.machine(0).stats().suspicions, 1, "it is not heard here");
    let killed = sim.now();
    sim.kill(1);
    sim.run_for(Duration::from_secs(2));
    for (at, _, members) in sim.changes() {
        assert_eq!(members, set([0, 2, 3]));
        assert!(at - killed <= ms(500), "{:?}", at - killed);
    }
    assert_eq!(sim.changes().len(), 3);
}

#[test]
fn one_way_silence_does_not_split_the_members() {
    let mut sim = Simulation::new(3, LAN, 10);
    sim.start_all();
    sim.cut_one_way(0, 1);
    sim.run_for(Duration::from_secs(5));
    assert_eq!(sim.log, []);
}

#[test]
fn each_side_of_a_partition_goes_on_and_healing_brings_them_together() {
    let mut sim = Simulation::new(6, LAN, 11);
    sim.start_all();
    for a in 0..2 {
        for b in 2..6 {
            sim.cut(a, b);
        }
    }
    sim.run_for(Duration::from_secs(1));
    assert!((0..2).all(|index| sim.view(index) == set(0..2)));
    assert!((2..6).all(|index| sim.view(index) == set(2..6)));
    assert_eq!(reunited(&sim), set([]));
    sim.heal();
    sim.run_for(ms(150));
    assert!((0..6).all(|index| sim.view(index) == set(0..6)));
    assert_eq!(reunited(&sim), set(0..6), "both sides may have owned the same");
}

#[test]
fn a_member_that_nobody_hears_drops_itself_until_it_is_heard() {
    for size in 2..5 {
        let mut sim = Simulation::new(size, LAN, 18);
        sim.start_all();
        for other in 1..size {
            sim.cut_one_way(0, other);
        }
        let cut = sim.now();
        sim.run_for(Duration::from_secs(2));
        for index in 0..size {
            assert_eq!(sim.view(index), set(1..size), "{index} of {size}");
        }
        for (at, ..) in sim.changes() {
            assert!(at - cut >= ms(300) && at - cut <= ms(500), "{:?} with {size}", at - cut);
        }
        sim.heal();
        sim.run_for(ms(150));
        assert!((0..size).all(|index| sim.view(index) == set(0..size)));
        assert_eq!(reunited(&sim), set(0..size));
    }
}

/// Two that lived apart meet for a moment: what the other said of not hearing this one is from before.
#[test]
fn a_member_that_meets_another_for_a_moment_does_not_drop_itself() {
    for seed in 0..50 {
        let mut sim = Simulation::new(2, LAN, seed);
        sim.start_all();
        sim.cut(0, 1);
        sim.run_for(Duration::from_secs(2));
        sim.heal();
        sim.run_for(ms(20 + seed));
        sim.cut(0, 1);
        sim.run_for(Duration::from_secs(2));
        let without = sim.changes().into_iter().find(|(_, index, members)| !members.contains(index));
        assert_eq!(without, None, "seed {seed}");
    }
}

/// The other one is deaf for a moment twice, and what it says between is lost.
#[test]
fn two_words_of_deafness_with_a_silence_between_are_no_lasting_deafness() {
    for seed in 0..50 {
        let mut sim = Simulation::new(2, LAN, seed);
        sim.start_all();
        sim.cut_one_way(0, 1);
        sim.run_for(ms(225));
        // 1 hears 0 again, and 0 does not hear that.
        sim.heal();
        sim.cut_one_way(1, 0);
        sim.run_for(ms(60));
        sim.cut(0, 1);
        sim.run_for(ms(200));
        // 0 hears 1 again, which is deaf again.
        sim.heal();
        sim.cut_one_way(0, 1);
        sim.run_for(ms(60));
        sim.heal();
        sim.run_for(Duration::from_secs(1));
        assert_eq!(sim.changes(), [], "seed {seed}");
    }
}

#[test]
fn a_member_that_one_of_two_may_hear_stays() {
    let mut sim = Simulation::new(3, LAN, 19);
    sim.start_all();
    // 1 does not hear 0, and 0 does not hear 2: only 1 knows from 2 that 0 is heard.
    sim.cut_one_way(0, 1);
    sim.cut_one_way(2, 0);
    sim.run_for(Duration::from_secs(5));
    assert_eq!(sim.log, []);
}

#[test]
fn a_start_is_no_reunion() {
    let mut sim = Simulation::new(4, Net { loss: 100_000, delay: (100, 400) }, 20);
    sim.start_all();
    for index in 0..4 {
        sim.kill(index);
        sim.run_for(Duration::from_secs(1));
        sim.start(index);
        sim.run_for(Duration::from_secs(1));
    }
    assert_eq!(reunited(&sim), set([]));
}

/// It said that it leaves, and was started again on the other side of a partition.
#[test]
fn a_member_that_left_and_lived_apart_since_is_reunited() {
    let mut sim = Simulation::new(3, LAN, 21);
    sim.start_all();
    sim.leave(1);
    sim.run_for(ms(120));
    sim.kill(1);
    sim.cut(0, 1);
    sim.cut(1, 2);
    sim.start(1);
    sim.run_for(Duration::from_secs(5));
    assert_eq!(reunited(&sim), set([]));
    sim.heal();
    sim.run_for(ms(150));
    assert!((0..3).all(|index| sim.view(index) == set(0..3)));
    assert_eq!(reunited(&sim), set(0..3));
}

#[test]
fn a_clock_that_went_back_does_not_lock_a_member_out() {
    let mut sim = Simulation::new(3, LAN, 12);
    sim.start_with_epoch(0, 1_000_000);
    sim.start_with_epoch(1, 1);
    sim.start_with_epoch(2, 1);
    sim.run_for(ms(500));
    sim.kill(0);
    sim.start_with_epoch(0, 5);
    sim.run_for(ms(300));
    assert!((0..3).all(|index| sim.view(index) == set(0..3)));
    let gone = sim
        .changes()
        .into_iter()
        .filter(|(at, index, members)| *at > ms(500) && *index != 0 && !members.contains(&0));
    assert_eq!(gone.count(), 0, "it never was away");
}

#[test]
fn a_member_that_was_stopped_for_a_while_does_not_drop_the_others() {
    let mut sim = Simulation::new(3, LAN, 13);
    sim.start_all();
    // The process is frozen: it neither sends nor reads, then goes on with the next timer.
    let frozen = sim.freeze(0);
    sim.run_for(Duration::from_secs(5));
    assert_eq!(sim.view(1), set([1, 2]));
    sim.log.clear();
    sim.thaw(0, frozen);
    sim.run_for(Duration::from_secs(1));
    assert_eq!(sim.view(1), set([0, 1, 2]));
    assert!(sim.changes().iter().all(|(_, index, _)| *index != 0), "{:?}", sim.changes());
    assert!(sim.machine(0).stats().stalls >= 1);
    assert_eq!(reunited(&sim), set(0..3), "others may have owned what it went on to announce");
}

/// What it remembers is from before; nobody counts a dead member because of it.
#[test]
fn a_member_that_was_stopped_does_not_vouch_for_who_died_meanwhile() {
    for seed in 0..20 {
        let mut sim = Simulation::new(3, LAN, seed);
        sim.start_all();
        let frozen = sim.freeze(0);
        sim.leave(2);
        sim.run_for(ms(120));
        sim.kill(2);
        sim.run_for(Duration::from_secs(5));
        assert_eq!(sim.view(1), set([1]));
        sim.log.clear();
        sim.thaw(0, frozen);
        sim.run_for(Duration::from_secs(2));
        assert_eq!(sim.view(0), set([0, 1]));
        let changes = sim.changes();
        assert!(
            changes.iter().all(|(_, index, members)| *index != 1 || !members.contains(&2)),
            "{changes:?}"
        );
    }
}

#[test]
fn metadata_reaches_everyone_and_the_last_version_wins() {
    let mut sim = Simulation::new(4, Net { loss: 200_000, delay: (100, 30_000) }, 14);
    sim.start_all();
    for version in 0..50_u32 {
        let told = metadata(version, 3);
        sim.with(0, |machine, now| machine.set_metadata(now, told)).unwrap();
        sim.run_for(ms(7));
    }
    sim.run_for(Duration::from_secs(1));
    for index in 0..4 {
        assert_eq!(sim.machine(index).metadata(&name(0)), Some(&metadata(49, 3)), "at {index}");
    }
    assert!(sim.machine(0).peers().all(|peer| peer.acknowledged));
}

#[test]
fn long_metadata_arrives_while_it_keeps_changing() {
    let mut sim = Simulation::new(2, Net { loss: 50_000, delay: (100, 400) }, 15);
    sim.start_all();
    // Ten thousand claims are some fifty datagrams: more than fit between two changes.
    for version in 0..100_u32 {
        let told = metadata(version, 10_000);
        sim.with(0, |machine, now| machine.set_metadata(now, told)).unwrap();
        sim.run_for(ms(100));
    }
    assert!(sim.log.iter().any(|(_, index, seen)| *index == 1 && *seen == Seen::Metadata(0)));
    sim.run_for(Duration::from_secs(8));
    assert_eq!(sim.machine(1).metadata(&name(0)), Some(&metadata(99, 10_000)));
}

#[test]
fn metadata_of_an_earlier_run_is_replaced_by_that_of_the_next() {
    let mut sim = Simulation::new(2, LAN, 16);
    sim.start_all();
    for version in 0..5 {
        sim.with(0, |machine, now| machine.set_metadata(now, metadata(version, 1))).unwrap();
    }
    sim.run_for(ms(200));
    sim.kill(0);
    sim.start(0);
    sim.with(0, |machine, now| machine.set_metadata(now, metadata(77, 1))).unwrap();
    sim.run_for(ms(200));
    assert_eq!(sim.machine(1).metadata(&name(0)), Some(&metadata(77, 1)));
}

#[test]
fn a_restarted_member_settles_when_it_knows_what_the_others_have() {
    for seed in 0..20 {
        let mut sim = Simulation::new(3, Net { loss: 200_000, delay: (100, 400) }, seed);
        sim.start_all();
        for index in 0..3 {
            sim.with(index, |machine, now| machine.set_metadata(now, metadata(1, 1))).unwrap();
        }
        sim.run_for(Duration::from_secs(1));
        sim.kill(0);
        sim.create(0, 100);
        sim.with(0, |machine, now| machine.set_metadata(now, metadata(2, 1))).unwrap();
        sim.members_ready(0, &[1, 2]);
        sim.run_until(ms(700), |sim| sim.machine(0).is_settled());
        for other in 1..3 {
            let told = sim.machine(0).metadata(&name(other));
            assert_eq!(told, Some(&metadata(1, 1)), "seed {seed}: of {other} at {:?}", sim.now());
        }
    }
}

#[test]
fn a_member_that_tells_nothing_of_itself_delays_a_start_but_little() {
    let mut sim = Simulation::new(2, LAN, 18);
    sim.start(1);
    sim.create(0, 1);
    sim.with(0, |machine, now| machine.set_metadata(now, metadata(1, 1))).unwrap();
    sim.members_ready(0, &[1]);
    sim.run_for(ms(700));
    assert!(!sim.machine(0).is_settled());
    sim.run_for(ms(150));
    assert!(sim.machine(0).is_settled());
}

#[test]
fn who_is_no_longer_a_peer_is_gone_at_once() {
    let mut sim = Simulation::new(3, LAN, 17);
    sim.start_all();
    sim.members_ready(0, &[1]);
    assert_eq!(sim.view(0), set([0, 1]));
    sim.run_for(Duration::from_secs(1));
    assert_eq!(sim.view(0), set([0, 1]));
    assert!(sim.machine(0).stats().unknown > 0, "its datagrams are counted");
}

/// Who has lived without others.
fn reunited(sim: &Simulation) -> BTreeSet<usize> {
    let told = sim.log.iter().filter(|(.., seen)| *seen == Seen::Reunited);
    told.map(|(_, index, _)| *index).collect()
}

fn metadata(version: u32, claims: u32) -> Metadata {
    let interface = InterfaceFacts { mac: Some([2, 0, 0, 0, 0, 1]), ..InterfaceFacts::default() };
    Metadata {
        interfaces: [(InterfaceName::new("eth0"), interface)].into(),
        claims: (0..claims)
            .map(|n| IpAddr::from((0x0a00_0000 + n * 64 + version % 64).to_be_bytes()))
            .collect(),
        version: format!("v{version}").into(),
    }
}
