use proptest::prelude::*;

use super::*;

const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

fn from(source: Ipv6Addr, octets: &[u8]) -> Result<Message, MessageError> {
    Message::parse(Envelope { source, hop_limit: HOP_LIMIT }, octets)
}

/// What the zebra of FRR 8.4 sends for an unnumbered peer: link-layer address and flags behind the fixed part.
const FRR: [u8; 24] =
    [134, 0, 0x6b, 0x1f, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x5e, 0x2b, 0x10, 0x20, 0x30, 0x40];

// req: J1
#[test]
fn an_advertisement_is_read_with_what_it_says() {
    let expected = RouterAdvertisement { hop_limit: 64, lifetime: 1800, ..RouterAdvertisement::default() };
    assert_eq!(from(ROUTER, &FRR), Ok(Message::Advertisement(expected)));
    assert_eq!(expected.lifetime(), Duration::from_secs(1800));
}

// req: J1
#[test]
fn a_solicitation_is_read_from_a_host_with_and_without_an_address() {
    let with_option = [133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9];
    assert_eq!(from(ROUTER, &with_option), Ok(Message::Solicitation));
    assert_eq!(from("2001:db8::1".parse().unwrap(), &with_option), Ok(Message::Solicitation));
    assert_eq!(from(Ipv6Addr::UNSPECIFIED, &with_option[..8]), Ok(Message::Solicitation));
    let nowhere = MessageError::Source(Ipv6Addr::UNSPECIFIED);
    assert_eq!(from(Ipv6Addr::UNSPECIFIED, &with_option), Err(nowhere));
}

// req: J6
#[test]
fn what_we_send_has_these_octets() {
    let ours = Message::Advertisement(RouterAdvertisement::default());
    assert_eq!(ours.encode(), [134, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(ours.group().to_string(), "ff02::1");
    assert_eq!(Message::Solicitation.encode(), [133, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Message::Solicitation.group().to_string(), "ff02::2");
}

// req: !J1
#[test]
fn what_may_come_from_elsewhere_or_is_broken_is_dropped() {
    let far = Envelope { source: ROUTER, hop_limit: 254 };
    assert_eq!(Message::parse(far, &FRR), Err(MessageError::FromElsewhere { hop_limit: 254 }));
    for source in ["::", "2001:db8::1", "ff02::1", "::ffff:169.254.0.1"] {
        let source = source.parse().unwrap();
        assert_eq!(from(source, &FRR), Err(MessageError::Source(source)));
    }
    for length in 0..16 {
        assert_eq!(from(ROUTER, &FRR[..length]), Err(MessageError::Short), "{length}");
    }
    for length in 17..24 {
        assert_eq!(from(ROUTER, &FRR[..length]), Err(MessageError::OptionLength), "{length}");
    }
    let with = |at: usize, octet| {
        let mut octets = FRR;
        octets[at] = octet;
        from(ROUTER, &octets)
    };
    assert_eq!(with(0, 135), Err(MessageError::OtherType(135)));
    assert_eq!(with(1, 1), Err(MessageError::Code(1)));
    assert_eq!(with(17, 0), Err(MessageError::OptionLength), "an option without a length never ends");
    assert_eq!(with(17, 2), Err(MessageError::OptionLength));
}

proptest! {
    // req: J1
    #[test]
    fn messages_come_back_as_they_were(
        hop_limit: u8, flags: u8, lifetime: u16, reachable_time: u32, retransmit_time: u32,
    ) {
        let message = Message::Advertisement(RouterAdvertisement {
            hop_limit, flags, lifetime, reachable_time, retransmit_time,
        });
        prop_assert_eq!(from(ROUTER, &message.encode()), Ok(message));
    }

    // req: !J1
    #[test]
    fn any_octets_are_read_or_refused(
        octets: Vec<u8>, kind in 132..136_u8, hop_limit in 253..=255_u8, source: u128,
    ) {
        let octets = [&[kind, 0, 0, 0], &*octets].concat();
        let envelope = Envelope { source: source.into(), hop_limit };
        if let Ok(message) = Message::parse(envelope, &octets) {
            prop_assert_eq!(hop_limit, HOP_LIMIT);
            let again = message.encode();
            // What is reserved is ignored.
            let read = if message == Message::Solicitation { again.len() } else { 4 };
            prop_assert_eq!(&again[read..], &octets[read..again.len()]);
        }
    }
}
