//! Random histories: what happens to a cluster in a minute.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::faults::Fault;
use crate::node::LAG;
use crate::random::Random;
use crate::segment::Segment;
use crate::truth::{Backends, Truth};
use crate::watch::{CALM, SERVICES, Watch};

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Start(usize),
    Kill(usize),
    Drain(usize),
    /// Ends and begins at once, as a crash in a container.
    Restart(usize),
    /// The segment falls apart: hosts with a set bit are on another side than the client.
    Part(u64),
    /// Heartbeats are lost between hosts with a set bit and others; frames are not.
    BlockHeartbeats(u64),
    Heal,
    Lose(u64),
    Slow(usize, u64),
    Freeze(usize),
    Thaw(usize),
    CutOff(usize),
    Reconnect(usize),
    Remove(u8),
    Provide(u8, Option<u64>),
    Exclude(usize),
    Include(usize),
    Select(Option<usize>),
}

/// Plays a history; what was watched remains.
pub(crate) fn play(seed: u64, length: Duration, fault: Option<Fault>, print: bool) -> Watch {
    let mut random = Random(seed ^ 0x5eed);
    let size = 2 + random.index(4);
    let services = 1 + u8::try_from(random.below(u64::from(SERVICES) - 2)).unwrap();
    let mut segment = Segment::new(Truth::new(size, services), seed, fault);
    segment.watch.print = print;
    for index in 0..size {
        happen(&mut segment, &Event::Start(index));
    }
    segment.run_for(CALM * 2);
    while segment.now < length {
        let event = choose(&mut random, &segment);
        if print {
            println!("{:>12?} {event:?}", segment.now);
        }
        happen(&mut segment, &event);
        let pause = match random.below(6) {
            0 | 1 => random.micros(0, 300_000),
            2..=4 => random.micros(300_000, 3_000_000),
            _ => random.micros(4_000_000, 8_000_000),
        };
        segment.run_for(pause);
    }
    recover(&mut segment);
    segment.run_for(CALM * 3);
    let mut watch = std::mem::take(&mut segment.watch);
    watch.check_moves(&segment);
    watch
}

/// Everything is as it was in the beginning.
fn recover(segment: &mut Segment) {
    happen(segment, &Event::Heal);
    happen(segment, &Event::Lose(0));
    for index in 0..segment.hosts.len() {
        happen(segment, &Event::Thaw(index));
        happen(segment, &Event::Slow(index, LAG));
        happen(segment, &Event::Reconnect(index));
        if segment.hosts[index].process.is_none() {
            happen(segment, &Event::Start(index));
        }
    }
}

fn choose(random: &mut Random, segment: &Segment) -> Event {
    let size = segment.hosts.len();
    let index = random.index(size);
    let bits = random.below(1 << size);
    let service = 1 + u8::try_from(random.below(u64::from(SERVICES))).unwrap();
    let host = &segment.hosts[index];
    let runs = host.process.as_ref().is_some_and(|process| !process.leaving) && !host.frozen;
    match random.below(20) {
        0..=4 if host.process.is_none() => Event::Start(index),
        0 | 1 if runs => Event::Kill(index),
        2 | 3 if runs => Event::Drain(index),
        4 if runs => Event::Restart(index),
        5 | 6 => Event::Part(bits),
        7 => Event::BlockHeartbeats(bits),
        10 => Event::Lose(random.below(50_000)),
        11 => Event::Lose(0),
        12 if runs => {
            Event::Slow(index, if random.below(2) == 0 { LAG } else { random.below(800_000) + LAG })
        }
        13 if runs => Event::Freeze(index),
        13 | 14 if host.frozen => Event::Thaw(index),
        14 if host.cut_off => Event::Reconnect(index),
        14 => Event::CutOff(index),
        15 => Event::Remove(service),
        16 => Event::Provide(service, None),
        17 => Event::Provide(service, Some(bits)),
        18 if segment.truth.excluded.contains(&index) => Event::Include(index),
        18 => Event::Exclude(index),
        19 => Event::Select([None, None, Some(0), Some(1)][random.index(4)]),
        _ => Event::Heal,
    }
}

pub(crate) fn happen(segment: &mut Segment, event: &Event) {
    segment.forget_unanswered();
    segment.watch.expect_event();
    match *event {
        Event::Start(index) => segment.start(index),
        Event::Kill(index) => segment.kill(index),
        Event::Drain(index) => segment.stop(index),
        Event::Restart(index) => {
            segment.kill(index);
            note(segment, false);
            segment.start(index);
        }
        Event::Part(bits) => {
            for (index, host) in segment.hosts.iter_mut().enumerate() {
                host.side = (bits >> index) & 1;
            }
        }
        Event::BlockHeartbeats(bits) => {
            for (index, host) in segment.hosts.iter_mut().enumerate() {
                host.group = (bits >> index) & 1;
            }
        }
        Event::Heal => {
            for host in &mut segment.hosts {
                (host.side, host.group) = (0, 0);
            }
        }
        Event::Lose(loss) => segment.loss = loss,
        Event::Slow(index, lag) => {
            if let Some(process) = &mut segment.hosts[index].process {
                process.lag = lag;
            }
        }
        Event::Freeze(index) => segment.set_frozen(index, true),
        Event::Thaw(index) => segment.set_frozen(index, false),
        Event::CutOff(index) => segment.set_cut_off(index, true),
        Event::Reconnect(index) => segment.set_cut_off(index, false),
        Event::Remove(service) => segment.change(|truth| truth.services.retain(|known, _| *known != service)),
        Event::Provide(service, places) => {
            let size = segment.hosts.len();
            let local =
                |bits: u64| (0..size).filter(|index| (bits >> index) & 1 == 1).collect::<BTreeSet<_>>();
            let backends = places.map_or(Backends::Anywhere, |bits| Backends::Local(local(bits)));
            segment.change(|truth| truth.services.extend([(service, backends)]));
        }
        Event::Exclude(index) => segment.change(|truth| truth.excluded.extend([index])),
        Event::Include(index) => segment.change(|truth| truth.excluded.retain(|excluded| *excluded != index)),
        Event::Select(parity) => segment.change(|truth| truth.parity = parity),
    }
    note(segment, matches!(event, Event::Start(_) | Event::Drain(_)));
}

fn note(segment: &mut Segment, seamless: bool) {
    let mut watch = std::mem::take(&mut segment.watch);
    watch.note_event(segment, seamless);
    segment.watch = watch;
}
