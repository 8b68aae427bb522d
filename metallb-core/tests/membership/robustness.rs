//! Octets and calls of any kind do no harm.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use metallb_core::keys::NodeName;
use metallb_core::membership::wire::{Bitmap, Chunk, Datagram, Header, MAX_DATAGRAM_LEN};
use metallb_core::membership::{Arrival, Config, Epoch, Membership, Metadata, Peer, Token};
use proptest::collection::vec;
use proptest::prelude::*;

fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let head = ("[a-c]", 0..3_u64, 0..20_u64, 0..100_000_u64, any::<bool>(), any::<bool>(), 0..4_u64);
    let parts = (
        (0..3_u64, 0..9_u32, 0..4_u32),
        prop::option::of((any::<u64>(), vec(any::<u8>(), 0..3))),
        prop::option::of((0..4_u64, 0..3_000_u32, 0..3_u32, vec(any::<u8>(), 0..40))),
    );
    (head, parts).prop_map(
        |((name, epoch, sequence, interval, leaving, settled, version), (proof, bits, chunk))| {
            let (receiver, named, challenge) = proof;
            let datagram = Datagram {
                name: &name,
                epoch: Epoch::new(epoch),
                to: Token { epoch: Epoch::new(receiver), challenge: named },
                challenge,
                sequence,
                interval: Duration::from_micros(interval),
                leaving,
                settled,
                metadata_version: version,
                held: version,
                bitmap: bits.as_ref().map(|(digest, bits)| Bitmap {
                    digest: *digest,
                    members: u16::try_from(bits.len() * 8).unwrap(),
                    bits,
                }),
                chunk: chunk.as_ref().map(|(version, total, offset, octets)| Chunk {
                    version: *version,
                    total: *total,
                    offset: offset * 1_000,
                    octets,
                }),
            };
            let mut octets = Vec::new();
            datagram.encode(&mut octets).unwrap();
            octets
        },
    )
}

#[derive(Clone, Debug)]
enum Call {
    Datagram(Vec<u8>),
    Octets(Vec<u8>),
    Timeout,
    Peers(Vec<(String, bool)>),
    Metadata(u8),
    Leave,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        8 => datagram().prop_map(Call::Datagram),
        2 => vec(any::<u8>(), 0..100).prop_map(Call::Octets),
        4 => Just(Call::Timeout),
        2 => vec(("[a-d]", any::<bool>()), 0..4).prop_map(Call::Peers),
        1 => any::<u8>().prop_map(Call::Metadata),
        1 => prop::bool::weighted(0.1).prop_map(|leave| if leave { Call::Leave } else { Call::Timeout }),
    ]
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn a_datagram_is_read_as_it_was_written(octets in datagram()) {
        let parsed = Datagram::parse(&octets).unwrap();
        let mut again = Vec::new();
        parsed.encode(&mut again).unwrap();
        prop_assert_eq!(&again, &octets);
        prop_assert!(octets.len() <= MAX_DATAGRAM_LEN);
        let (header, length) = Header::parse(&octets).unwrap();
        prop_assert_eq!(header, parsed.header());
        prop_assert!(Header::parse(&octets[..length]).is_ok() && Header::parse(&octets[..length - 1]).is_err());
        for end in 0..octets.len() {
            prop_assert!(Datagram::parse(&octets[..end]).is_err(), "cut at {}", end);
        }
        let mut longer = octets;
        longer.push(0);
        prop_assert!(Datagram::parse(&longer).is_err());
    }

    #[test]
    fn octets_never_panic(octets in vec(any::<u8>(), 0..300)) {
        let _ = Datagram::parse(&octets).is_ok();
        if let Ok(metadata) = Metadata::decode(&octets) {
            let again = metadata.encode().unwrap();
            prop_assert_eq!(Metadata::decode(&again).unwrap(), metadata);
        }
    }

    /// In any order and at any time, also backwards: no panic, no unbounded work, this node stays a member
    /// until it leaves, and only peers are members.
    #[test]
    fn any_calls_keep_the_rules(calls in vec((call(), -50_000..500_000_i64), 0..60)) {
        let start = start();
        let mut now = start + Duration::from_secs(10);
        let this = NodeName::new("a");
        let mut machine = Membership::new(now, Config::new(this.clone(), Epoch::new(1), 3)).unwrap();
        let mut known = BTreeMap::new();
        let mut left = false;
        for (call, step) in calls {
            let step_by = Duration::from_micros(step.unsigned_abs());
            now = if step < 0 { now - step_by } else { now + step_by };
            match call {
                Call::Datagram(octets) | Call::Octets(octets) => {
                    let arrival = Arrival::new([192, 0, 2, 1].into(), Duration::from_secs(1));
                    drop(machine.handle_datagram(now, arrival, &octets));
                }
                Call::Timeout => machine.handle_timeout(now),
                Call::Peers(peers) => {
                    let address = "192.0.2.1:7946".parse().unwrap();
                    known = peers.into_iter().map(|(n, r)| (NodeName::new(n), Peer::new(address, r))).collect();
                    machine.set_peers(now, known.clone());
                }
                Call::Metadata(version) => {
                    let metadata = Metadata { version: version.to_string().into(), ..Metadata::default() };
                    machine.set_metadata(now, metadata).unwrap();
                }
                Call::Leave => {
                    left = true;
                    machine.leave(now);
                }
            }
            let mut octets = Vec::new();
            let mut sent = 0;
            while machine.poll_transmit(&mut octets).is_some() {
                sent += 1;
                prop_assert!(Datagram::parse(&octets).is_ok());
                prop_assert!(sent <= 20, "too much work in one call");
            }
            while machine.poll_event().is_some() {}
            prop_assert_eq!(machine.members().contains(&this), !left);
            prop_assert!(machine.members().iter().all(|name| *name == this || known.contains_key(name)));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
fn start() -> Instant {
    Instant::now()
}
