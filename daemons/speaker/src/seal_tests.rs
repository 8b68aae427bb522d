//! What a seal lets through, and what not.

use std::time::Duration;

use metallb_core::membership::Token;
use metallb_core::membership::wire::Datagram;

use super::*;

fn node(name: &str) -> NodeName {
    NodeName::new(name)
}

fn mk_seal(this: &str, secret: &[u8]) -> Seal {
    Seal::new(node(this), Some(Secret::new(secret.to_vec()))).unwrap()
}

fn mk_datagram(epoch: u64) -> Vec<u8> {
    let datagram = Datagram {
        name: "a",
        epoch: Epoch::new(epoch),
        to: Token { epoch: Epoch::new(9), challenge: 4 },
        challenge: 5,
        sequence: 7,
        interval: Duration::from_millis(50),
        leaving: false,
        settled: true,
        metadata_version: 0,
        held: 0,
        bitmap: None,
        chunk: None,
    };
    let mut octets = Vec::new();
    datagram.encode(&mut octets).unwrap();
    octets
}

fn sealed(seal: &mut Seal, receiver: &str, epoch: u64) -> Vec<u8> {
    let mut datagram = mk_datagram(epoch);
    seal.seal(&node(receiver), &mut datagram).unwrap();
    datagram
}

fn open(seal: &mut Seal, datagram: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut datagram = datagram.to_vec();
    seal.unwrap(&mut datagram)?;
    let (header, length) = Header::parse(&datagram).map_err(|_| DropReason::Malformed)?;
    let (name, epoch) = (node(header.name), header.epoch);
    seal.open(&name, epoch, length, &mut datagram).map(<[u8]>::to_vec)
}

#[test]
fn what_is_sealed_is_opened_by_its_receiver_with_the_same_secret_only() {
    let mut a = mk_seal("a", b"a secret of some length");
    let datagram = sealed(&mut a, "b", 1);
    let body = &mk_datagram(1)[31..];
    assert!(!datagram.windows(body.len()).any(|window| window == body));
    let mut b = mk_seal("b", b"a secret of some length");
    assert_eq!(open(&mut b, &datagram), Ok(mk_datagram(1)));
    assert_eq!(open(&mut b, &datagram), Ok(mk_datagram(1)), "with the key at hand, too");
    assert_eq!(open(&mut mk_seal("b", b"another secret"), &datagram), Err(DropReason::Key));
    let mut c = mk_seal("c", b"a secret of some length");
    assert_eq!(open(&mut c, &datagram), Err(DropReason::Forged), "meant for another receiver");
}

#[test]
fn every_flipped_bit_is_refused() {
    let mut a = mk_seal("a", b"a secret of some length");
    let datagram = sealed(&mut a, "b", 1);
    let mut b = mk_seal("b", b"a secret of some length");
    for index in 0..datagram.len() {
        for bit in 0..8 {
            let mut forged = datagram.clone();
            forged[index] ^= 1 << bit;
            assert!(open(&mut b, &forged).is_err(), "octet {index}, bit {bit}");
        }
        assert!(open(&mut b, &datagram[..index]).is_err(), "cut at {index}");
    }
}

#[test]
fn no_nonce_occurs_twice_under_one_key() {
    let mut used = BTreeSet::new();
    let mut seals: Vec<Seal> = (0..3).map(|_| mk_seal("a", b"a secret of some length")).collect();
    for round in 0..1_000_u64 {
        for seal in &mut seals {
            // To all receivers, in several runs of the same node, and while the secret changes.
            if round == 500 {
                seal.offer(Instant::now(), Secret::new(b"the next secret of all".to_vec())).unwrap();
            }
            if round == 700 {
                let Seal::Sealed(sealed) = seal else { unreachable!() };
                sealed.rotation.note_shown(&node("b"), sealed.rotation.newest());
            }
            for receiver in ["b", "c"] {
                let epoch = 1 + round / 900;
                let datagram = sealed(seal, receiver, epoch);
                let length = mk_datagram(epoch).len() - 33;
                let prefix = &datagram[length..length + PREFIX_LEN];
                let ((id, _), salt, number) = prefix_of(prefix.try_into().unwrap());
                assert!(used.insert((epoch, id, salt, number)), "round {round}");
            }
        }
    }
    assert_eq!(used.len(), 6_000);
    let keys: BTreeSet<_> = used.iter().map(|(epoch, id, salt, _)| (epoch, id, salt)).collect();
    // For each run: one at first, the next secret's besides, and both again in the next epoch.
    assert_eq!(keys.len(), 3 * 4, "and no salt belongs to two runs");
}

#[test]
fn a_key_that_has_sealed_much_is_replaced() {
    let mut a = mk_seal("a", b"a secret of some length");
    let before = sealed(&mut a, "b", 1);
    let Seal::Sealed(inner) = &mut a else { unreachable!() };
    inner.sending.values_mut().for_each(|sending| sending.next = REKEY_AFTER);
    let after = sealed(&mut a, "b", 1);
    assert_ne!(before[39..55], after[39..55], "another salt");
    assert_eq!(open(&mut mk_seal("b", b"a secret of some length"), &after), Ok(mk_datagram(1)));
}

#[test]
fn a_changed_secret_is_opened_at_once_and_used_when_the_receiver_has_it() {
    let now = Instant::now();
    let (first, second) = (b"the first secret of all", b"the second secret of all");
    let (mut a, mut b) = (mk_seal("a", first), mk_seal("b", first));
    a.offer(now, Secret::new(second.to_vec())).unwrap();
    let with_first = sealed(&mut a, "b", 1);
    assert!(open(&mut b, &with_first).is_ok(), "b does not have the new one yet");
    let mut late = mk_seal("b", second);
    let newer = {
        let mut datagram = mk_datagram(2);
        late.seal(&node("a"), &mut datagram).unwrap();
        datagram
    };
    // The tests' datagrams name "a" as their sender, so the key is b's and the name is not: refused.
    assert_eq!(open(&mut a, &newer), Err(DropReason::Forged));
    b.offer(now, Secret::new(second.to_vec())).unwrap();
    assert!(open(&mut b, &sealed(&mut a, "b", 1)).is_ok());
    let live: BTreeSet<NodeName> = ["a", "b"].map(node).into();
    assert!(!a.handle_time(now, &live));
    assert!(a.handle_time(now + Duration::from_mins(10), &live));
    let with_second = sealed(&mut a, "b", 1);
    assert!(open(&mut b, &with_second).is_ok());
    assert_eq!(open(&mut mk_seal("b", first), &with_second), Err(DropReason::Key));
    a.handle_time(now + Duration::from_mins(20), &live);
    let mut early = mk_seal("a", first);
    assert_eq!(open(&mut a, &sealed(&mut early, "a", 3)), Err(DropReason::Key));
}

#[test]
fn plain_and_sealed_do_not_mix() {
    let mut plain = Seal::new(node("b"), None).unwrap();
    assert_eq!(open(&mut plain, &mk_datagram(1)), Ok(mk_datagram(1)));
    let mut a = mk_seal("a", b"a secret of some length");
    assert_eq!(open(&mut plain, &sealed(&mut a, "b", 1)), Err(DropReason::Unsealed));
    assert_eq!(
        open(&mut mk_seal("b", b"a secret of some length"), &mk_datagram(1)),
        Err(DropReason::Unsealed)
    );
    assert_eq!(open(&mut a, &[]), Err(DropReason::Malformed));
    assert_eq!(open(&mut a, &[SEALED | 2]), Err(DropReason::Malformed));
}

#[test]
fn the_debug_output_shows_no_secret() {
    let seal = mk_seal("a", b"a secret of some length");
    assert_eq!(format!("{seal:?}"), "Sealed");
    assert!(!format!("{:?}", Secret::new(b"hush hush hush".to_vec())).contains("hush"));
}

/// What speakers of the first format sent: a random nonce and what nobody else can read, or plain octets.
#[test]
fn nothing_of_the_first_format_is_taken_for_a_heartbeat() {
    let sealed_then = |first: u8| {
        let mut datagram: Vec<u8> =
            (0..200_u8).map(|octet| octet.wrapping_mul(167).wrapping_add(first)).collect();
        datagram[0] = first;
        datagram
    };
    for first in 0..=u8::MAX {
        let mut sealing = mk_seal("b", b"a secret of some length");
        open(&mut sealing, &sealed_then(first)).unwrap_err();
    }
    // Format, flags, interval, epoch, number, version of metadata, name.
    let mut plain = vec![1, 2, 0, 0, 0xc3, 0x50];
    plain.extend([0; 28]);
    plain.extend([1, b'a']);
    let mut unsealing = Seal::new(node("b"), None).unwrap();
    assert_eq!(open(&mut unsealing, &plain), Err(DropReason::Malformed));
}
