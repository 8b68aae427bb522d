use proptest::prelude::*;

use super::*;
use crate::wire::header::Frame;
use crate::wire::testing::hex;

fn encoded(notification: &Notification) -> Vec<u8> {
    let mut out = Vec::new();
    notification.encode(MessageLimit::Standard, &mut out);
    out
}

#[test]
fn a_cease_is_twenty_one_octets() {
    let notification = Notification::cease(iana::CEASE_ADMIN_SHUTDOWN);
    assert_eq!(encoded(&notification), hex("ffffffffffffffffffffffffffffffff 0015 03 06 02"));
}

// req: !N1
#[test]
fn unknown_codes_are_kept_and_shown_as_numbers() {
    let notification = Notification::parse(&[200, 7, 1, 2]);
    assert_eq!(notification, Notification::with_data(200, 7, [1, 2]));
    assert_eq!(notification.to_string(), "unknown error (200/7) 0x0102");
    assert_eq!(Notification::new(6, 99).to_string(), "Cease (6/99)");
}

// req: !N1
#[test]
fn a_body_too_short_for_a_notification_is_still_read() {
    assert_eq!(Notification::parse(&[]), Notification::new(0, 0));
    assert_eq!(Notification::parse(&[6]), Notification::new(6, 0));
}

// req: F7
#[test]
fn every_cease_subcode_has_its_words() {
    let words = [
        (1, "Cease/Maximum Number of Prefixes Reached (6/1)"),
        (2, "Cease/Administrative Shutdown (6/2)"),
        (3, "Cease/Peer De-configured (6/3)"),
        (4, "Cease/Administrative Reset (6/4)"),
        (5, "Cease/Connection Rejected (6/5)"),
        (6, "Cease/Other Configuration Change (6/6)"),
        (7, "Cease/Connection Collision Resolution (6/7)"),
        (8, "Cease/Out of Resources (6/8)"),
        (9, "Cease/Hard Reset (6/9)"),
        (10, "Cease/BFD Down (6/10)"),
    ];
    for (subcode, text) in words {
        assert_eq!(Notification::cease(subcode).to_string(), text);
    }
}

// req: F6
#[test]
fn an_unexpected_message_is_named_by_its_type() {
    let notification = Notification::unexpected_message(iana::FSM_IN_OPEN_CONFIRM, MessageType::Update);
    assert_eq!((notification.code, notification.subcode, &notification.data[..]), (5, 2, &[2][..]));
}

// req: T6
#[test]
fn a_shutdown_text_is_a_length_octet_and_utf8() {
    let notification = Notification::cease_with_text(iana::CEASE_ADMIN_SHUTDOWN, "[TKT-1] reason");
    let expected = hex("ffffffffffffffffffffffffffffffff 0024 03 06 02 0e 5b544b542d315d20726561736f6e");
    assert_eq!(encoded(&notification), expected);
    assert_eq!(notification.shutdown_text(), Some(ShutdownText::Text("[TKT-1] reason".into())));
    assert_eq!(notification.to_string(), "Cease/Administrative Shutdown (6/2) \"[TKT-1] reason\"");
}

// req: !T6
#[test]
fn a_shutdown_text_is_cut_at_a_character_that_fits_255_octets() {
    let notification = Notification::cease_with_text(iana::CEASE_ADMIN_RESET, &"ü".repeat(200));
    assert_eq!(notification.data[0], 254);
    assert_eq!(notification.shutdown_text(), Some(ShutdownText::Text("ü".repeat(127))));
    assert_eq!(Notification::cease_with_text(iana::CEASE_ADMIN_RESET, "").data, Vec::<u8>::new());
}

// req: !T6
#[test]
fn a_shutdown_text_that_is_no_utf8_or_too_short_is_shown_as_hexadecimal() {
    let invalid = Notification::with_data(6, 2, [2, 0xff, 0xfe]);
    assert_eq!(invalid.shutdown_text().unwrap().to_string(), "0x02fffe");
    let short = Notification::with_data(6, 4, [9, b'a']);
    assert_eq!(short.shutdown_text().unwrap().to_string(), "0x0961");
}

// req: !T6
#[test]
fn control_characters_in_a_shutdown_text_are_escaped() {
    let notification = Notification::with_data(6, 2, [4, b'a', 0x1b, b'\n', b'"']);
    assert_eq!(notification.shutdown_text().unwrap().to_string(), r#""a\u{1b}\n\"""#);
}

// req: !T6
#[test]
fn only_administrative_ceases_have_a_text() {
    assert_eq!(Notification::with_data(6, 3, [1, b'a']).shutdown_text(), None);
    assert_eq!(Notification::with_data(4, 2, [1, b'a']).shutdown_text(), None);
    assert_eq!(Notification::with_data(6, 2, [0]).shutdown_text(), None);
    assert_eq!(Notification::cease(2).shutdown_text(), None);
}

// req: G5
#[test]
fn a_hard_reset_carries_the_notification_inside() {
    let inner = Notification::cease_with_text(iana::CEASE_ADMIN_SHUTDOWN, "bye");
    let outer = inner.clone().into_hard_reset();
    assert_eq!((outer.code, outer.subcode), (6, 9));
    assert_eq!(outer.data, hex("06 02 03 627965"));
    assert_eq!(outer.hard_reset_inner(), Some(inner));
    assert_eq!(outer.to_string(), "Cease/Hard Reset (6/9) of Cease/Administrative Shutdown (6/2) \"bye\"");
    assert_eq!(Notification::cease(9).hard_reset_inner(), None);
    assert_eq!(Notification::with_data(6, 2, [6, 2]).hard_reset_inner(), None);
}

// req: !C4
#[test]
fn data_is_cut_so_that_the_peer_accepts_the_notification() {
    let notification = Notification::with_data(3, 1, vec![7; 5000]);
    assert_eq!(encoded(&notification).len(), 4096);
    let mut long = Vec::new();
    notification.encode(MessageLimit::Extended, &mut long);
    assert_eq!(long.len(), 5021);
    Frame::parse(&long, MessageLimit::Extended).unwrap();
}

#[test]
fn nested_hard_resets_do_not_exhaust_the_stack() {
    let data = [6, 9].repeat(2000);
    assert!(Notification::with_data(6, 9, data).to_string().len() < 1000);
}

proptest! {
    #[test]
    fn notifications_round_trip(code: u8, subcode: u8, data in prop::collection::vec(any::<u8>(), 0..300)) {
        let notification = Notification { code, subcode, data };
        let octets = encoded(&notification);
        let frame = Frame::parse(&octets, MessageLimit::Standard).unwrap();
        prop_assert_eq!(Notification::parse(frame.body()), notification.clone());
        let _ = notification.to_string();
    }
}

#[test]
fn data_of_other_codes_is_shown_in_hexadecimal_up_to_a_line() {
    let bad_as = Notification::with_data(iana::ERR_OPEN, iana::OPEN_UNSUPPORTED_VERSION, [0, 4]);
    assert_eq!(bad_as.to_string(), "OPEN Message Error/Unsupported Version Number (2/1) 0x0004");
    let long = Notification::with_data(iana::ERR_UPDATE, iana::UPDATE_ATTRIBUTE_FLAGS, vec![0xab; 4000]);
    let shown = long.to_string();
    assert!(shown.ends_with(&format!(" 0x{}… (4000 octets)", "ab".repeat(64))), "{shown}");
    let inner = long.into_hard_reset().to_string();
    assert!(inner.starts_with("Cease/Hard Reset (6/9) of UPDATE Message Error"), "{inner}");
}
