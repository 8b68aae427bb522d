//! What the kernel lets through to the membership's socket: heartbeats of speakers, by their addresses.
//!
//! Datagrams of others would be dropped anyway, but only after they have taken the place of heartbeats in the socket's
//! buffer. One in [`SAMPLE`] of them is let through, so that a speaker that sends from an unexpected address is told of,
//! and those who pose as one are counted.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use socket2::{SockFilter, SockRef};
use tokio::net::UdpSocket;

/// The filter on a socket.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    sources: BTreeSet<IpAddr>,
    attached: bool,
}

impl Gate {
    /// Lets these through from now on. More than a filter can hold, and all are.
    ///
    /// # Errors
    /// When the kernel refuses the filter; all are let through then.
    pub(crate) fn set(&mut self, socket: &UdpSocket, sources: BTreeSet<IpAddr>) -> io::Result<()> {
        if self.sources == sources {
            return Ok(());
        }
        let program = program(&sources);
        self.sources = sources;
        let socket = SockRef::from(socket);
        let result = match &program {
            Some(program) => socket.attach_filter(program),
            None => Ok(()),
        };
        let attached = program.is_some() && result.is_ok();
        if self.attached && !attached {
            // What the last filter keeps out may be a member now.
            socket.detach_filter()?;
        }
        self.attached = attached;
        result
    }
}

/// The filter; `None` when it would be longer than the kernel takes.
fn program(sources: &BTreeSet<IpAddr>) -> Option<Vec<SockFilter>> {
    let (mut v4, mut v6) = (vec![op(LOAD_WORD, V4_SOURCE)], folded());
    for source in sources {
        let (block, value) = match source.to_canonical() {
            IpAddr::V4(ip) => (&mut v4, ip.to_bits()),
            IpAddr::V6(ip) => (&mut v6, fold(ip)),
        };
        // Equal: the next one, which accepts; else over it.
        block.extend([SockFilter::new(JUMP_IF_EQUAL, 0, 1, value), op(RETURN, WHOLE)]);
    }
    let of_family = v4.len().checked_add(others().len())?;
    let mut program = vec![
        op(LOAD_OCTET, VERSION),
        op(AND, 0xf0),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, 0x60),
        op(JUMP, u32::try_from(of_family).ok()?),
    ];
    program.extend(v4.into_iter().chain(others()).chain(v6).chain(others()));
    (program.len() <= LONGEST).then_some(program)
}

/// One in [`SAMPLE`] passes.
fn others() -> [SockFilter; 5] {
    [
        op(LOAD_WORD, RANDOM),
        op(AND, SAMPLE - 1),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, 0),
        op(RETURN, WHOLE),
        op(RETURN, NOTHING),
    ]
}

/// Loads the source of an IPv6 packet as one word.
fn folded() -> Vec<SockFilter> {
    let mut block = vec![op(LOAD_WORD, V6_SOURCE)];
    for word in 1..4 {
        block.extend([op(KEEP, 0), op(LOAD_WORD, V6_SOURCE + 4 * word), op(XOR_KEPT, 0)]);
    }
    block
}

/// The same word of an address. Others may have it, too: the engine looks at the whole.
fn fold(ip: Ipv6Addr) -> u32 {
    let octets = ip.octets();
    let words =
        octets.chunks_exact(4).map(|word| word.iter().fold(0, |value, octet| value << 8 | u32::from(*octet)));
    words.fold(0, |folded, word: u32| folded ^ word)
}

fn op(code: u16, value: u32) -> SockFilter {
    SockFilter::new(code, 0, 0, value)
}

/// Of datagrams from other addresses, one in so many is let through.
const SAMPLE: u32 = 64;
/// Instructions that the kernel takes.
const LONGEST: usize = 4096;

// linux/bpf_common.h and linux/filter.h.
const LOAD_WORD: u16 = 0x20;
const LOAD_OCTET: u16 = 0x30;
const AND: u16 = 0x54;
const XOR_KEPT: u16 = 0xac;
const KEEP: u16 = 0x07;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const WHOLE: u32 = u32::MAX;
const NOTHING: u32 = 0;
/// The packet's network header (SKF_NET_OFF), as the socket's data begin with that of UDP.
const HEADER: u32 = 0xfff0_0000;
const VERSION: u32 = HEADER;
const V4_SOURCE: u32 = HEADER + 12;
const V6_SOURCE: u32 = HEADER + 8;
/// A random number (SKF_AD_OFF and SKF_AD_RANDOM).
const RANDOM: u32 = 0xffff_f000 + 56;

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;
    use std::net::UdpSocket as StdSocket;

    use super::*;

    /// How many of so many datagrams from `from` reach a socket that is bound to `bind` and lets `sources` through.
    fn passing(gate: &mut Gate, to: &UdpSocket, (from, sources): (&str, &[&str]), count: usize) -> usize {
        let sources = sources.iter().map(|source| source.parse().unwrap()).collect();
        gate.set(to, sources).unwrap();
        let sender = StdSocket::bind((from, 0)).unwrap();
        let mut target = to.local_addr().unwrap();
        if target.ip().is_unspecified() {
            target.set_ip(from.parse().unwrap());
        }
        let mut passed = 0;
        for _ in 0..count {
            sender.send_to(&[1; 100], target).unwrap();
            // Over loopback it is there, or is not, when the call returns.
            passed += usize::from(SockRef::from(to).recv_from(&mut [MaybeUninit::uninit(); 200]).is_ok());
        }
        passed
    }

    #[tokio::test]
    async fn only_members_are_let_through_and_a_few_others() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (mut gate, member) = (Gate::default(), ["127.0.0.2", "2001:db8::1"]);
        assert_eq!(passing(&mut gate, &socket, ("127.0.0.2", &member), 100), 100);
        let others = passing(&mut gate, &socket, ("127.0.0.3", &member), 2000);
        assert!((1..=120).contains(&others), "{others} of 2000");
        // Members' addresses change.
        assert_eq!(passing(&mut gate, &socket, ("127.0.0.3", &["127.0.0.3"]), 100), 100);
        assert!(passing(&mut gate, &socket, ("127.0.0.2", &["127.0.0.3"]), 2000) <= 120);
    }

    #[tokio::test]
    async fn both_families_are_told_apart_on_one_socket() {
        let socket = UdpSocket::bind("[::]:0").await.unwrap();
        let (mut gate, both) = (Gate::default(), ["::1", "::ffff:127.0.0.2"]);
        assert_eq!(passing(&mut gate, &socket, ("::1", &both), 100), 100);
        assert_eq!(passing(&mut gate, &socket, ("127.0.0.2", &both), 100), 100);
        assert!(passing(&mut gate, &socket, ("127.0.0.3", &both), 2000) <= 120);
        assert!(passing(&mut gate, &socket, ("::1", &["::2", "127.0.0.2"]), 2000) <= 120);
    }

    #[tokio::test]
    async fn more_members_than_a_filter_holds_are_all_let_through() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut gate = Gate::default();
        assert!(passing(&mut gate, &socket, ("127.0.0.3", &["127.0.0.2"]), 2000) <= 120);
        let many =
            (0..3000_u32).map(|number| IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number)));
        gate.set(&socket, many.collect()).unwrap();
        let sender = StdSocket::bind("127.0.0.3:0").unwrap();
        sender.send_to(&[1], socket.local_addr().unwrap()).unwrap();
        let mut room = [0];
        assert_eq!(socket.recv_from(&mut room).await.unwrap().0, 1);
        // Fewer again.
        assert!(passing(&mut gate, &socket, ("127.0.0.3", &["127.0.0.2"]), 2000) <= 120);
    }

    #[test]
    fn a_filter_for_a_thousand_speakers_fits() {
        let sources: BTreeSet<IpAddr> = (0..1000_u128)
            .map(|number| IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8 << 96 | number)))
            .collect();
        assert!(program(&sources).is_some());
    }
}
