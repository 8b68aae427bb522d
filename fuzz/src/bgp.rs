//! Properties of the codecs of `metallb-bgp` that hold for any input.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a property that does not hold has to panic, and the naive judgement is written simply"
)]

use std::net::Ipv4Addr;

use metallb_bgp::types::{Asn, AsnWidth, Attributes, Families, Family, PeerKind, SegmentKind};
use metallb_bgp::wire::Message;
use metallb_bgp::wire::error::EncodeError;
use metallb_bgp::wire::header::{Frame, Framer, HeaderError, MessageLimit};
use metallb_bgp::wire::open::Open;
use metallb_bgp::wire::pack::{Announcements, AttributeBlock, PathEncoding, Withdrawals};
use metallb_bgp::wire::update::{Action, Classified, OnUnreadable, UpdateContext, UpdateView};

#[path = "../../metallb-bgp/tests/addresses/naive.rs"]
mod address_model;
#[path = "../../metallb-bgp/tests/rfc7606/compare.rs"]
mod compare;
#[path = "../../metallb-bgp/tests/rfc7606/naive.rs"]
mod naive;

/// Any history of a machine's addresses gives the next hops of a naive model.
///
/// # Panics
/// When the property does not hold.
pub fn addresses(bytes: &[u8]) {
    address_model::compare_histories(bytes);
}

/// A stream is cut into the same messages however it is split, and every message is read without panic. The first
/// octet chooses the limit and the size of the pieces.
///
/// # Panics
/// When the property does not hold.
pub fn stream(bytes: &[u8]) {
    let Some((choice, stream)) = bytes.split_first() else { return };
    let limit = if choice & 0x80 == 0 { MessageLimit::Standard } else { MessageLimit::Extended };
    let size = usize::from(choice & 0x7f) + 1;
    let whole = cut([stream], limit);
    assert_eq!(whole, cut(stream.chunks(size), limit));
    for octets in &whole.0 {
        read(Frame::parse(octets, limit).expect("it was framed before"));
    }
    if let Some(error) = whole.1 {
        assert_eq!(error.notification().code, 1);
    }
}

fn cut<'a>(
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
        assert!(framer.buffered() < limit.octets());
    }
    (found, None)
}

/// Reads a message; what is understood is written again as the same message.
fn read(frame: Frame<'_>) {
    let mut again = Vec::new();
    match Message::parse(frame) {
        Ok(Message::Open(open)) => check_open(&open),
        Ok(Message::Notification(notification)) => {
            notification.encode(MessageLimit::Extended, &mut again);
            assert_eq!(again, frame.octets());
            assert!(notification.to_string().len() < 70_000 * 8);
        }
        Ok(Message::RouteRefresh(refresh)) => {
            refresh.encode(&mut again);
            assert_eq!(again.get(19..), frame.octets().get(19..23));
        }
        Ok(Message::Keepalive | Message::Update(_)) => {}
        Err(error) => assert!((2..=7).contains(&error.notification().code)),
    }
}

/// Any octets are read as the body of an OPEN without panic, and what is understood survives being written.
///
/// # Panics
/// When the property does not hold.
pub fn open(bytes: &[u8]) {
    match Open::parse(bytes) {
        Ok(open) => check_open(&open),
        Err(error) => assert_eq!(error.notification().code, 2),
    }
}

fn check_open(open: &Open) {
    let mut octets = Vec::new();
    match open.encode(&mut octets) {
        Ok(()) => {
            let frame = Frame::parse(&octets, MessageLimit::Standard).expect("we wrote it");
            assert_eq!(Open::parse(frame.body()).as_ref(), Ok(open));
        }
        // Capabilities in many parameters can be shorter than the same in one.
        Err(error) => assert!(matches!(error, EncodeError::TooLarge { .. }) && octets.is_empty()),
    }
    for capability in &open.capabilities {
        assert!(open.announces(capability) && !capability.to_string().is_empty());
    }
}

/// An UPDATE is judged as the naive judgement does. The first octet chooses the session, the rest is the body.
///
/// # Panics
/// When the property does not hold.
pub fn update(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else { return };
    compare::agree(body, &context(*choice));
}

/// A session for each value of an octet.
fn context(choice: u8) -> UpdateContext {
    let on = |bit: u8| choice & (1 << bit) != 0;
    let peer = if on(0) { PeerKind::Internal } else { PeerKind::External };
    let width = if on(1) { AsnWidth::Two } else { AsnWidth::Four };
    let families = match (on(2), on(3)) {
        (true, false) => Families::only(Family::Ipv4Unicast),
        (false, true) => Families::only(Family::Ipv6Unicast),
        _ => Families::BOTH,
    };
    let mut context = UpdateContext::new(peer, Asn::new(64513), width, families);
    context.extended_next_hop = on(4);
    context.enforce_first_as = on(5);
    if on(6) {
        context.unreadable = OnUnreadable::DisableFamily;
        context.refuse_as_sets = true;
    }
    if on(7) {
        context.add_path = Families::BOTH;
    }
    if on(0) && on(4) {
        context.own_address = Some(Ipv4Addr::new(192, 0, 2, 1).into());
    }
    context
}

/// Routes that are understood are packed, and the packed messages are understood as the same routes.
///
/// # Panics
/// When the property does not hold.
pub fn repack(bytes: &[u8]) {
    let mut context = context(0x10);
    context.peer = PeerKind::Internal;
    let Some(message) = compare::message(bytes) else { return };
    let frame = Frame::parse(&message, MessageLimit::Extended).expect("the header is right");
    let Ok(view) = UpdateView::parse(frame) else { return };
    let classified = view.classify(&context);
    check_withdrawals(&classified, &context);
    for reach in classified.reach() {
        let attributes = classified.attributes(reach.next_hop);
        let encoding = PathEncoding { peer: PeerKind::Internal, asn_width: AsnWidth::Four };
        let block = match AttributeBlock::encode(&attributes, reach.prefixes.family(), encoding) {
            Ok(block) => block,
            Err(EncodeError::AsSet) => {
                let set = |kind| matches!(kind, SegmentKind::Set | SegmentKind::ConfedSet);
                assert!(attributes.as_path.0.iter().any(|segment| set(segment.kind)));
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let prefixes: Vec<_> = reach.prefixes.collect();
        for limit in [MessageLimit::Standard, MessageLimit::Extended] {
            let mut messages = Announcements::new(&block, &prefixes, limit);
            let (mut out, mut count) = (Vec::new(), 0);
            let result = loop {
                match messages.write_next(&mut out) {
                    Ok(0) => break Ok(()),
                    Ok(more) => count += more,
                    Err(error) => break Err(error),
                }
            };
            if result.is_err() {
                assert!(matches!(result, Err(EncodeError::TooLarge { .. })) && count == 0);
                continue;
            }
            assert_eq!(count, prefixes.len());
            assert_eq!(decode(&out, &context, &attributes), prefixes);
        }
    }
}

/// The prefixes announced by a stream of messages, all with these attributes.
fn decode(mut stream: &[u8], context: &UpdateContext, expected: &Attributes) -> Vec<ipnetwork::IpNetwork> {
    let mut framer = Framer::new();
    framer.set_limit(MessageLimit::Extended);
    let mut found = Vec::new();
    while let Ok(Some(frame)) = framer.next_frame(&mut stream) {
        let classified = UpdateView::parse(frame).expect("we wrote it").classify(context);
        assert_eq!(classified.action(), Action::Accept, "{:?}", classified.fault());
        for reach in classified.reach() {
            assert_eq!(&classified.attributes(reach.next_hop), expected);
            found.extend(reach.prefixes);
        }
    }
    assert_eq!(framer.buffered(), 0);
    found
}

fn check_withdrawals(classified: &Classified<'_>, context: &UpdateContext) {
    for family in Family::ALL {
        let gone = classified.withdrawn().filter(|prefix| Family::of(prefix) == family);
        let gone: Vec<_> = gone.collect();
        let mut out = Vec::new();
        let mut messages = Withdrawals::new(family, &gone, MessageLimit::Standard);
        while messages.write_next(&mut out).expect("withdrawals always fit") > 0 {}
        let mut stream: &[u8] = &out;
        let mut framer = Framer::new();
        let mut found = Vec::new();
        while let Ok(Some(frame)) = framer.next_frame(&mut stream) {
            let again = UpdateView::parse(frame).expect("we wrote it").classify(context);
            assert_eq!(again.action(), Action::Accept);
            found.extend(again.withdrawn());
        }
        assert_eq!(found, gone);
    }
}
