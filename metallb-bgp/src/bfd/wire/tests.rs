use proptest::prelude::*;

use super::*;

/// A packet of FRR's bfdd, Up with P, its defaults of 300 ms.
const FROM_FRR: [u8; LENGTH] = [
    0x20, 0xe8, 0x03, 0x18, 0x5a, 0x1e, 0x0c, 0x77, 0x00, 0x00, 0x00, 0x2a, 0x00, 0x04, 0x93, 0xe0, 0x00,
    0x04, 0x93, 0xe0, 0x00, 0x00, 0xc3, 0x50,
];

fn mk_octets(change: impl FnOnce(&mut [u8; LENGTH])) -> [u8; LENGTH] {
    let mut octets = FROM_FRR;
    change(&mut octets);
    octets
}

fn judged(change: impl FnOnce(&mut [u8; LENGTH])) -> Malformed {
    ControlPacket::decode(&mk_octets(change)).unwrap_err()
}

// req: B1
#[test]
fn every_field_stands_where_the_rfc_has_it() {
    let packet = ControlPacket::decode(&FROM_FRR).unwrap();
    assert_eq!(
        packet,
        ControlPacket {
            diagnostic: Diagnostic::None,
            state: State::Up,
            poll: true,
            is_final: false,
            control_plane_independent: true,
            authenticated: false,
            demand: false,
            detect_multiplier: NonZeroU8::new(3).unwrap(),
            my_discriminator: Discriminator::new(0x5a1e_0c77).unwrap(),
            your_discriminator: Discriminator::new(42),
            desired_min_tx: Duration::from_millis(300),
            required_min_rx: Duration::from_millis(300),
            required_min_echo_rx: Duration::from_millis(50),
        }
    );
    assert_eq!(packet.encode(), FROM_FRR);
}

// req: !B1, !B6
#[test]
fn a_packet_is_refused_for_the_first_rule_it_breaks() {
    assert_eq!(judged(|o| o[0] = 0x40), Malformed::Version(2));
    assert_eq!(judged(|o| o[3] = 23), Malformed::Length(23));
    assert_eq!(judged(|o| (o[1], o[3]) = (0xc4, 25)), Malformed::Length(25), "with A it has 26 octets");
    assert_eq!(judged(|o| o[3] = 25), Malformed::Truncated { octets: 24 });
    assert_eq!(judged(|o| o[2] = 0), Malformed::ZeroMultiplier);
    assert_eq!(judged(|o| o[1] |= 0x01), Malformed::Multipoint);
    assert_eq!(judged(|o| o[4..8].fill(0)), Malformed::ZeroDiscriminator);
    assert_eq!(judged(|o| o[8..12].fill(0)), Malformed::Unaddressed(State::Up));
    assert_eq!(ControlPacket::decode(&FROM_FRR[..23]), Err(Malformed::Truncated { octets: 23 }));
    assert_eq!(ControlPacket::decode(&[]), Err(Malformed::Truncated { octets: 0 }));
    // All at once: in the order of the RFC.
    let mut all: Vec<Malformed> = Vec::new();
    let mut octets =
        mk_octets(|o| *o = [0x40, 0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for repair in [(0, 0x20), (3, 24), (2, 1), (1, 0xc0), (7, 1)] {
        all.push(ControlPacket::decode(&octets).unwrap_err());
        octets[repair.0] = repair.1;
    }
    all.push(ControlPacket::decode(&octets).unwrap_err());
    let expected = [
        Malformed::Version(2),
        Malformed::Length(0),
        Malformed::ZeroMultiplier,
        Malformed::Multipoint,
        Malformed::ZeroDiscriminator,
        Malformed::Unaddressed(State::Up),
    ];
    assert_eq!(all, expected);
}

// req: B1, B6
#[test]
fn a_packet_for_nobody_is_judged_by_the_state_it_carries() {
    for (bits, taken) in [(0x00, true), (0x40, true), (0x80, false), (0xc0, false)] {
        let octets = mk_octets(|o| {
            o[1] = bits;
            o[8..12].fill(0);
        });
        assert_eq!(ControlPacket::decode(&octets).is_ok(), taken, "{bits:x}");
    }
}

// req: B6
#[test]
fn all_32_diagnostics_are_kept() {
    for bits in 0..32 {
        let packet = ControlPacket::decode(&mk_octets(|o| o[0] = 0x20 | bits)).unwrap();
        assert_eq!(packet.encode()[0], 0x20 | bits);
        assert_eq!(matches!(packet.diagnostic, Diagnostic::Unknown(_)), bits > 8);
        assert!(!packet.diagnostic.to_string().is_empty());
    }
}

// req: B1
#[test]
fn what_follows_the_packet_is_ignored() {
    let long = [FROM_FRR.as_slice(), &[1, 2, 3]].concat();
    assert_eq!(ControlPacket::decode(&long), ControlPacket::decode(&FROM_FRR));
}

proptest! {
    // req: !B1
    #[test]
    fn any_octets_are_a_packet_or_an_error(octets in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(packet) = ControlPacket::decode(&octets) {
            let again = ControlPacket { authenticated: false, ..packet };
            prop_assert_eq!(ControlPacket::decode(&packet.encode()), Ok(again));
        }
    }

    // req: B1
    #[test]
    fn a_packet_survives_the_wire(octets in any::<[u8; LENGTH]>()) {
        let octets = mk_octets(|o| {
            *o = octets;
            o[0] = 0x20 | o[0] & 0x1f;
            o[1] &= 0xfa;
            (o[2], o[3], o[4], o[8]) = (o[2].max(1), 24, o[4].max(1), o[8].max(1));
        });
        prop_assert_eq!(ControlPacket::decode(&octets).unwrap().encode(), octets);
    }
}
