use proptest::prelude::*;

use super::*;
use crate::wire::keepalive;
use crate::wire::testing::{hex, message};

/// The frames of a stream fed in pieces, then the error that ended it, if any.
fn frames<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limit: MessageLimit,
) -> (Vec<Vec<u8>>, Option<HeaderError>) {
    let mut framer = Framer::new();
    framer.set_limit(limit);
    let mut found = Vec::new();
    for mut piece in pieces {
        loop {
            match framer.next_frame(&mut piece) {
                Ok(Some(frame)) => found.push(frame.octets().to_vec()),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        assert!(piece.is_empty() && framer.buffered() < limit.octets());
    }
    (found, None)
}

fn error_of(octets: &[u8]) -> Option<HeaderError> {
    frames([octets], MessageLimit::Standard).1
}

// req: !H1
#[test]
fn a_marker_that_is_not_all_ones_is_refused_at_its_first_wrong_octet() {
    let good = message(MessageType::Keepalive, &[]);
    for position in 0..16 {
        let mut bad = good.clone();
        bad[position] = 0xfe;
        assert_eq!(error_of(&bad[..=position]), Some(HeaderError::NotSynchronized));
        assert_eq!(error_of(&bad[..position]), None);
    }
    let notification = HeaderError::NotSynchronized.notification();
    assert_eq!((notification.code, notification.subcode, notification.data), (1, 1, vec![]));
}

// req: !H1
#[test]
fn a_stream_that_failed_stays_failed() {
    let mut framer = Framer::new();
    let mut bad: &[u8] = &[0; 19];
    assert_eq!(framer.next_frame(&mut bad), Err(HeaderError::NotSynchronized));
    let good = message(MessageType::Keepalive, &[]);
    let mut good: &[u8] = &good;
    assert_eq!(framer.next_frame(&mut good), Err(HeaderError::NotSynchronized));
}

// req: !H2
#[test]
fn a_bad_length_is_refused_with_the_field_as_data() {
    let least = [(1, 29), (2, 23), (3, 21), (4, 19), (5, 19)];
    for (kind, least) in least {
        for length in [0, 18, least - 1, 4097, 65535_u16] {
            let mut octets = vec![0xff; 16];
            octets.extend_from_slice(&length.to_be_bytes());
            octets.push(kind);
            let error = error_of(&octets).unwrap();
            assert_eq!(error, HeaderError::BadLength(length), "type {kind}");
            let notification = error.notification();
            assert_eq!((notification.code, notification.subcode), (1, 2));
            assert_eq!(notification.data, length.to_be_bytes());
        }
    }
    for length in [20_u16, 4096] {
        let mut octets = vec![0xff; 16];
        octets.extend_from_slice(&length.to_be_bytes());
        octets.push(4);
        assert_eq!(error_of(&octets), Some(HeaderError::BadLength(length)), "KEEPALIVE");
    }
}

// req: H1, H2, H3
#[test]
fn the_least_and_the_greatest_length_of_each_type_are_accepted() {
    let lengths = [(1, 29), (1, 4096), (2, 23), (2, 4096), (3, 21), (3, 4096), (4, 19), (5, 19), (5, 4096)];
    for (kind, length) in lengths {
        let mut octets = vec![0xff; length];
        octets[16..18].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        octets[18] = kind;
        let (found, error) = frames([&octets[..]], MessageLimit::Standard);
        assert_eq!((found.len(), error), (1, None), "type {kind} length {length}");
    }
}

// req: !H3
#[test]
fn an_unknown_type_is_refused_with_the_type_as_data() {
    for kind in (0..=255).filter(|kind| !(1..=5).contains(kind)) {
        let mut octets = vec![0xff; 16];
        octets.extend_from_slice(&[0, 19, kind]);
        let error = error_of(&octets).unwrap();
        assert_eq!(error, HeaderError::BadType(kind));
        let notification = error.notification();
        assert_eq!((notification.code, notification.subcode, notification.data), (1, 3, vec![kind]));
    }
}

// req: !H4
#[test]
fn a_message_is_refused_before_its_body_arrives() {
    let mut framer = Framer::new();
    let octets = hex("ffffffffffffffffffffffffffffffff 1001");
    for octet in &octets[..17] {
        assert_eq!(framer.next_frame(&mut &[*octet][..]), Ok(None));
    }
    assert_eq!(framer.next_frame(&mut &octets[17..]), Err(HeaderError::BadLength(4097)));
}

// req: !C4
#[test]
fn extended_messages_are_accepted_only_within_their_limit_and_never_as_open_or_keepalive() {
    let with = |kind: u8, length: u16| {
        let mut octets = vec![0xff; usize::from(length)];
        octets[16..18].copy_from_slice(&length.to_be_bytes());
        octets[18] = kind;
        octets
    };
    for kind in [2, 3, 5] {
        let (found, error) = frames([&with(kind, 65535)[..]], MessageLimit::Extended);
        assert_eq!((found.len(), error), (1, None));
        assert_eq!(error_of(&with(kind, 4097)), Some(HeaderError::BadLength(4097)));
    }
    for kind in [1, 4] {
        let (_, error) = frames([&with(kind, 4097)[..]], MessageLimit::Extended);
        assert_eq!(error, Some(HeaderError::BadLength(4097)));
    }
}

// req: !H5
#[test]
fn a_message_that_never_completes_holds_at_most_its_announced_length() {
    let mut framer = Framer::new();
    framer.set_limit(MessageLimit::Extended);
    let mut octets = vec![0xff; 16];
    octets.extend_from_slice(&[0xff, 0xff, 2]);
    octets.resize(65534, 0);
    for piece in octets.chunks(100) {
        assert_eq!(framer.next_frame(&mut &piece[..]), Ok(None));
    }
    assert_eq!(framer.buffered(), 65534);
    assert!(framer.partial.capacity() <= 65535, "{}", framer.partial.capacity());
}

#[test]
fn a_frame_must_be_exactly_one_message() {
    let one = message(MessageType::Keepalive, &[]);
    assert_eq!(Frame::parse(&one, MessageLimit::Standard).unwrap().kind(), MessageType::Keepalive);
    assert_eq!(Frame::parse(&one[..18], MessageLimit::Standard), Err(HeaderError::BadLength(18)));
    let two = [&one[..], &one[..]].concat();
    assert_eq!(Frame::parse(&two, MessageLimit::Standard), Err(HeaderError::BadLength(38)));
}

#[test]
fn a_keepalive_is_nineteen_octets() {
    let mut out = Vec::new();
    keepalive::encode(&mut out);
    assert_eq!(out, hex("ffffffffffffffffffffffffffffffff 0013 04"));
}

#[test]
fn type_codes_round_trip() {
    for code in 0..=255 {
        if let Some(kind) = MessageType::from_code(code) {
            assert_eq!(kind.code(), code);
        }
    }
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(any::<u8>(), 0..80);
    let good = (0..5_usize, body).prop_map(|(kind, mut body)| {
        let kinds = [
            (MessageType::Open, 10),
            (MessageType::Update, 4),
            (MessageType::Notification, 2),
            (MessageType::Keepalive, 0),
            (MessageType::RouteRefresh, 4),
        ];
        let (kind, least) = kinds[kind];
        if kind == MessageType::Keepalive {
            body.clear();
        } else if body.len() < least {
            body.resize(least, 0);
        }
        message(kind, &body)
    });
    let bad = prop::collection::vec(prop_oneof![4 => Just(0xff_u8), 1 => any::<u8>()], 0..40);
    (prop::collection::vec(good, 0..6), bad).prop_map(|(good, bad)| [good.concat(), bad].concat())
}

proptest! {
    // req: H4
    #[test]
    fn any_split_of_a_stream_gives_the_same_messages(
        octets in stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = frames([&octets[..]], MessageLimit::Standard);
        let single = frames(octets.chunks(1), MessageLimit::Standard);
        prop_assert_eq!(&whole, &single);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(octets.len() + 1)).collect();
        cuts.extend([0, octets.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &octets[pair[0]..pair[1]]);
        prop_assert_eq!(&whole, &frames(pieces, MessageLimit::Standard));
    }
}
