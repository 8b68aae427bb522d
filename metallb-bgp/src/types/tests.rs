use std::time::Duration;

use super::*;

// req: C8
#[test]
fn community_text_is_canonical() {
    for text in ["0:0", "64512:100", "65535:65281"] {
        assert_eq!(text.parse::<Community>().unwrap().to_string(), text);
    }
    for text in ["", "1", "1:", ":1", "1:65536", "01:1", "1:2:3", "1:-1", "+1:1", " 1:1"] {
        assert_eq!(text.parse::<Community>(), Err(ParseCommunityError), "{text:?}");
    }
}

// req: C8
#[test]
fn large_community_text_is_canonical() {
    for text in ["0:0:0", "64512:1:2", "4294967295:4294967295:4294967295"] {
        assert_eq!(text.parse::<LargeCommunity>().unwrap().to_string(), text);
    }
    for text in ["1:2", "1:2:3:4", "1:2:4294967296", "1:02:3", "1::3", "large:1:2:3"] {
        assert_eq!(text.parse::<LargeCommunity>(), Err(ParseCommunityError), "{text:?}");
    }
}

// req: !F9
#[test]
fn hold_time_takes_whole_seconds_that_the_open_can_carry() {
    assert_eq!(HoldTime::try_from(Duration::from_secs(3)).unwrap().seconds(), 3);
    assert_eq!(HoldTime::try_from(Duration::ZERO).unwrap(), HoldTime::DISABLED);
    assert_eq!(HoldTime::try_from(Duration::from_secs(65535)).unwrap().seconds(), 65535);
    assert_eq!(HoldTime::try_from(Duration::from_secs(2)), Err(HoldTimeError::TooShort(2)));
    let long = Duration::from_secs(65536);
    assert_eq!(HoldTime::try_from(long), Err(HoldTimeError::TooLong(long)));
    let broken = Duration::from_millis(3500);
    assert_eq!(HoldTime::try_from(broken), Err(HoldTimeError::NotWholeSeconds(broken)));
}

// req: K1
#[test]
fn keepalive_is_a_third_unless_configured_shorter_and_never_below_a_second() {
    let hold = |seconds| HoldTime::from_secs(seconds).unwrap();
    let secs = Duration::from_secs;
    assert_eq!(hold(90).keepalive(None), Some(secs(30)));
    assert_eq!(hold(90).keepalive(Some(secs(10))), Some(secs(10)));
    assert_eq!(hold(90).keepalive(Some(secs(40))), Some(secs(30)));
    assert_eq!(hold(3).keepalive(Some(Duration::from_millis(10))), Some(secs(1)));
    assert_eq!(HoldTime::DISABLED.keepalive(Some(secs(10))), None);
}

#[test]
fn families_are_a_set() {
    let v6 = Families::only(Family::Ipv6Unicast);
    assert_eq!(v6.with(Family::Ipv4Unicast), Families::BOTH);
    assert_eq!(Families::BOTH.without(Family::Ipv4Unicast), v6);
    assert_eq!(Families::BOTH.intersection(v6).iter().collect::<Vec<_>>(), [Family::Ipv6Unicast]);
    assert!(Families::EMPTY.is_empty() && !v6.contains(Family::Ipv4Unicast));
}

#[test]
fn asn_reads_plain_decimals_only() {
    assert_eq!("4200000000".parse(), Ok(Asn::new(4_200_000_000)));
    for text in ["", "4294967296", "+1", "1.10", " 1"] {
        assert_eq!(text.parse::<Asn>(), Err(ParseAsnError), "{text:?}");
    }
}

// req: C9
#[test]
fn well_known_communities_have_the_values_of_the_registry() {
    let values = [
        (Community::GRACEFUL_SHUTDOWN, "65535:0"),
        (Community::LLGR_STALE, "65535:6"),
        (Community::NO_LLGR, "65535:7"),
        (Community::NO_EXPORT, "65535:65281"),
        (Community::NO_ADVERTISE, "65535:65282"),
        (Community::NO_EXPORT_SUBCONFED, "65535:65283"),
    ];
    for (community, text) in values {
        assert_eq!(community.to_string(), text);
    }
}

#[test]
fn paths_are_written_as_routers_write_them() {
    let segment =
        |kind, asns: &[u32]| AsPathSegment { kind, asns: asns.iter().copied().map(Asn::new).collect() };
    let path = AsPath(vec![
        segment(SegmentKind::ConfedSequence, &[65001]),
        segment(SegmentKind::Sequence, &[64512, 4_200_000_001]),
        segment(SegmentKind::Set, &[1, 2]),
    ]);
    assert_eq!(path.to_string(), "(65001) 64512 4200000001 {1,2}");
    assert_eq!((path.hops(), path.asns().count(), path.first()), (3, 5, None));
    assert_eq!(AsPath::sequence([]), AsPath::default());
    assert_eq!(AsPath::sequence((1..=256).map(Asn::new)).0.len(), 2);
}
