//! Properties of BFD: its packets, and sequences of calls.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use metallb_bgp::bfd::wire::ControlPacket;
use metallb_bgp::bfd::{Arrival, Hops, Path, Profile, Sessions, User};

/// Any octets are refused, or are a packet that is read back from what it is written as.
///
/// # Panics
/// When it is read back as something else.
pub fn packet(data: &[u8]) {
    let Ok(packet) = ControlPacket::decode(data) else { return };
    let again = ControlPacket { authenticated: false, ..packet };
    assert_eq!(ControlPacket::decode(&packet.encode()), Ok(again));
}

/// Any sequence of calls and datagrams, at any times: what is due is bounded, discriminators are unique, everybody who
/// watches has a session, and all of them end.
///
/// # Panics
/// When one of these does not hold.
pub fn calls(data: &[u8]) {
    let (seed, mut rest) = data.split_first().map_or((0, data), |(seed, rest)| (u64::from(*seed), rest));
    let mut now = start() + Duration::from_secs(60);
    let mut latest = now;
    let mut sessions = Sessions::new(seed);
    let mut watching = std::collections::BTreeSet::new();
    while let [kind, which, wait, more @ ..] = rest {
        rest = more;
        let step = Duration::from_millis(u64::from(*wait) * 3);
        // Also backwards: sessions have to clamp.
        now = if kind & 0x80 == 0 { now + step } else { now.checked_sub(step).unwrap_or(now) };
        latest = latest.max(now);
        let user = User::new(format!("{}", which % 5));
        match kind % 4 {
            0 => {
                let interval = Duration::from_millis(10 + u64::from(*wait));
                let profile = Profile::new(interval, interval, which / 8 + 1).unwrap_or_default();
                sessions.watch(now, user.clone(), path(*which), profile.with_passive(which & 64 != 0));
                watching.insert(user);
            }
            1 => {
                sessions.release(now, &user);
                watching.remove(&user);
            }
            2 => {
                let size = rest.len().min(24);
                let (octets, more) = rest.split_at(size);
                rest = more;
                datagram(&mut sessions, now, *which, octets);
            }
            _ => sessions.handle_timeout(now),
        }
        drain(&mut sessions, now);
        let snapshot = sessions.snapshot();
        assert_eq!(snapshot.len(), watching.len());
    }
    sessions.release_all(now);
    drain(&mut sessions, now);
    // For a session that saw a later time, this one has not come yet.
    let end = latest + Duration::from_secs(10);
    sessions.handle_timeout(end);
    drain(&mut sessions, end);
    assert!(sessions.is_empty());
}

/// Hands on a packet: one that names a session of ours in its first octet, so that not all are for nobody.
fn datagram(sessions: &mut Sessions, now: Instant, which: u8, octets: &[u8]) {
    let mut octets = octets.to_vec();
    let snapshot = sessions.snapshot();
    let named = snapshot.iter().cycle().nth(usize::from(which));
    if let (Some(named), Some(place)) = (named.filter(|_| which & 1 == 0), octets.get_mut(8..12)) {
        place.copy_from_slice(&named.session.local_discriminator.value().to_be_bytes());
    }
    let Path { remote, hops, .. } = path(which);
    let local = IpAddr::from([192, 0, 2, 200]);
    let arrival = Arrival { remote, local, interface: 1, device: None, hops, ttl: which | 0x80 };
    // What is for nobody is counted.
    let before = sessions.stats();
    let taken = sessions.handle_datagram(now, &arrival, &octets);
    assert_eq!(taken.is_err(), sessions.stats() != before);
}

/// Takes everything the sessions have to say.
fn drain(sessions: &mut Sessions, now: Instant) {
    // An answer and a state of each session.
    for _ in 0..64 {
        if sessions.poll_transmit(now).is_none() {
            break;
        }
    }
    assert_eq!(sessions.poll_transmit(now), None, "packets without end");
    while sessions.poll_event().is_some() {}
    while sessions.poll_effect().is_some() {}
}

fn path(which: u8) -> Path {
    let hops = if which & 8 == 0 { Hops::One } else { Hops::Several };
    Path::new(Ipv4Addr::new(192, 0, 2, which % 3).into(), hops)
}

#[expect(clippy::disallowed_methods, reason = "an arbitrary beginning; only differences matter")]
fn start() -> Instant {
    Instant::now()
}
