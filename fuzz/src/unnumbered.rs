//! Properties of unnumbered links: their messages, and sequences of calls.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use metallb_bgp::addresses::{InterfaceFacts, InterfaceIndex};
use metallb_bgp::unnumbered::wire::{Envelope, HOP_LIMIT, Message, RouterAdvertisement};
use metallb_bgp::unnumbered::{Link, MAX_ROUTERS, Received};

/// Any octets from any link-local address are refused, or are a message that is read back from what it is written as.
///
/// # Panics
/// When it is read back as something else.
pub fn message(data: &[u8]) {
    let Some((hop_limit, octets)) = data.split_first() else { return };
    let envelope = Envelope { source: router(1), hop_limit: *hop_limit };
    let Ok(message) = Message::parse(envelope, octets) else { return };
    assert_eq!(*hop_limit, HOP_LIMIT);
    assert_eq!(Message::parse(envelope, &message.encode()), Ok(message));
}

/// Any sequence of calls at any times: what is remembered and sent is bounded, and nothing is sent where there is nothing to
/// send through.
///
/// # Panics
/// When one of these does not hold.
pub fn link(data: &[u8]) {
    let (seed, mut rest) = data.split_first().map_or((0, data), |(seed, rest)| (u64::from(*seed), rest));
    let start = start();
    let mut now = start + Duration::from_secs(60);
    let mut latest = now;
    let mut link = Link::new(seed);
    let mut advertised: Option<Instant> = None;
    while let [kind, which, wait, more @ ..] = rest {
        rest = more;
        let step = Duration::from_millis(u64::from(*wait) * 40);
        // Also backwards: the link has to clamp.
        now = if kind & 0x80 == 0 { now + step } else { now.checked_sub(step).unwrap_or(now) };
        latest = latest.max(now);
        match kind % 4 {
            0 => link.handle_interface(now, interface(*which)),
            1 => hear(&mut link, now, &Message::Solicitation, *which),
            2 => {
                let says =
                    RouterAdvertisement { lifetime: u16::from(*wait), ..RouterAdvertisement::default() };
                hear(&mut link, now, &Message::Advertisement(says), *which);
            }
            _ => link.handle_timeout(now),
        }
        let neighbors = link.neighbors().unwrap_or_default();
        assert!(neighbors.len() <= MAX_ROUTERS + 1);
        let mut count = 0;
        while let Some(message) = link.poll_transmit() {
            count += 1;
            assert!(link.listens_on().is_some() && count <= 4);
            if matches!(message, Message::Advertisement(_)) {
                let soon = |last: Instant| latest.saturating_duration_since(last) < Duration::from_secs(3);
                assert!(!advertised.is_some_and(soon), "advertisements in quick succession");
                advertised = Some(latest);
            }
        }
    }
}

fn hear(link: &mut Link, now: Instant, message: &Message, which: u8) {
    let envelope = Envelope { source: router(u16::from(which)), hop_limit: HOP_LIMIT };
    let octets = message.encode();
    // Why it is dropped is the link's concern.
    let _ = link.handle_message(now, &Received { envelope, is_own: which == 0, octets: &octets });
}

fn interface(which: u8) -> Option<InterfaceFacts> {
    (which != 9).then(|| InterfaceFacts {
        index: InterfaceIndex(u32::from(which % 3)),
        running: which & 4 == 0,
        link_local: (which & 8 == 0).then(|| router(0xffff)),
        partner: (which & 16 != 0).then(|| [192, 0, 2, 1].into()),
    })
}

const fn router(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last)
}

#[expect(clippy::disallowed_methods, reason = "an arbitrary beginning; only differences matter")]
fn start() -> Instant {
    Instant::now()
}
