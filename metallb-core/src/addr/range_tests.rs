use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn parse(text: &str) -> AddressRange {
    AddressRange::parse(text).unwrap()
}

#[test]
fn networks_ranges_and_single_addresses_are_read() {
    let cases = [
        ("192.168.10.0/24", "192.168.10.0", "192.168.10.255"),
        ("192.168.10.77/24", "192.168.10.0", "192.168.10.255"),
        ("192.168.9.1-192.168.9.5", "192.168.9.1", "192.168.9.5"),
        ("192.168.9.1 -  192.168.9.5", "192.168.9.1", "192.168.9.5"),
        ("93.5.22.100", "93.5.22.100", "93.5.22.100"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
        ("2001:db8::/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"),
        ("fc00::1-fc00::ff", "fc00::1", "fc00::ff"),
        ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fc00::7", "fc00::7", "fc00::7"),
    ];
    for (text, first, last) in cases {
        let range = parse(text);
        assert_eq!((range.first(), range.last()), (ip(first), ip(last)), "{text}");
    }
}

#[test]
fn mistakes_get_an_error_that_names_them() {
    let cases = [
        ("", "is empty"),
        ("  ", "is empty"),
        ("10.0.0.1-", "is empty"),
        ("/24", "is empty"),
        ("10.0.0.01", "leading zero"),
        ("10.0.0.1-10.0.0.9,10.0.1.0/24", "has a comma; write each range as an entry of its own"),
        ("10.0.0.0/24,", "has a comma"),
        (" 10.0.0.0/24", "remove the blanks around it"),
        ("${RANGE}", "a template that was not filled in"),
        ("<no value>", "a template that was not filled in"),
        ("010.0.0.0/8", "leading zero"),
        ("10.0.0.0/255.0.0.0", "netmask"),
        ("10.0.0.0/+8", "not a prefix length"),
        ("10.0.0.0/08", "not a prefix length"),
        ("10.0.0.0/33", "use 0 to 32"),
        ("fc00::/129", "use 0 to 128"),
        ("10.0.0.0/", "not a prefix length"),
        ("10.0.0.0/8/8", "not a prefix length"),
        ("10.0.0.1-fc00::1", "different families"),
        ("10.0.0.9-10.0.0.1", "before its start"),
        ("10.0.0", "not an IP address"),
        ("10.0.0.0/24-10.0.1.0/24", "not a prefix length"),
        ("10.0.0.1-10.0.0.2-10.0.0.3", "not an IP address"),
        (" 10.0.0.1", "not an IP address"),
        ("fe80::1%eth0", "zone"),
        ("::ffff:10.0.0.1", "write it as IPv4"),
        ("pool", "not an IP address"),
    ];
    for (text, expected) in cases {
        let error = AddressRange::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error:?} should contain {expected:?}");
    }
}

#[test]
fn a_range_is_covered_by_the_fewest_networks() {
    let cover = |text: &str| parse(text).cover().map(|network| network.to_string()).collect::<Vec<_>>();
    assert_eq!(cover("10.0.0.1-10.0.0.6"), ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6/32"]);
    assert_eq!(cover("10.0.0.0/24"), ["10.0.0.0/24"]);
    assert_eq!(cover("0.0.0.0/0"), ["0.0.0.0/0"]);
    assert_eq!(cover("::/0"), ["::/0"]);
    assert_eq!(parse("0.0.0.1-255.255.255.254").cover().count(), 62);
    assert_eq!(parse("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe").cover().count(), 254);
}

#[test]
fn ranges_are_written_as_people_write_them() {
    for text in ["10.0.0.0/24", "10.0.0.1-10.0.0.6", "10.0.0.1", "fc00::/64", "fc00::1-fc00::5", "::/0"] {
        assert_eq!(parse(text).to_string(), text);
    }
    assert_eq!(parse("10.0.0.0-10.0.0.255").to_string(), "10.0.0.0/24");
}

#[test]
fn sizes_saturate() {
    assert_eq!(parse("::/0").size(), u128::MAX);
    assert_eq!(parse("::/1").size(), 1 << 127);
    assert_eq!(parse("0.0.0.0/0").size(), 1 << 32);
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "[0-9a-f.:/%+ -]{0,40}") {
        let _ = AddressRange::parse(&text);
    }

    #[test]
    fn what_is_written_is_read_back(first: u32, last: u32) {
        let range = AddressRange::new(
            from_value(Family::V4, u128::from(first.min(last))),
            from_value(Family::V4, u128::from(first.max(last))),
        ).unwrap();
        prop_assert_eq!(AddressRange::parse(&range.to_string()), Ok(range));
    }

    #[test]
    fn the_cover_is_exact_and_in_order(a: u128, b: u128) {
        let range = AddressRange::new(from_value(Family::V6, a.min(b)), from_value(Family::V6, a.max(b))).unwrap();
        let parts: Vec<AddressRange> = range.cover().map(AddressRange::of_network).collect();
        prop_assert_eq!(parts.first().map(AddressRange::first), Some(range.first()));
        prop_assert_eq!(parts.last().map(AddressRange::last), Some(range.last()));
        for pair in parts.windows(2) {
            prop_assert_eq!(pair[0].last.checked_add(1), Some(pair[1].first));
        }
        prop_assert!(parts.len() <= 254);
    }

    #[test]
    fn buggy_addresses_are_counted_right(first in 0_u32..5000, size in 0_u32..3000) {
        let (first, last) = (first, first + size);
        let naive = (first..=last).filter(|value| matches!(value % 256, 0 | 255)).count();
        let range = AddressRange::new(
            from_value(Family::V4, u128::from(first)),
            from_value(Family::V4, u128::from(last)),
        ).unwrap();
        prop_assert_eq!(range.buggy_size(), u128::try_from(naive).unwrap());
    }
}
