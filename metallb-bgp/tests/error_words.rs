//! Every way a session ends has its sentence, and docs/bgp-errors.md lists them. `UPDATE_GOLDEN=1` writes the page.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use metallb_bgp::session::{
    AuthenticationError, CloseReason, ConfigError, OfferedFamilies, PeerConfig, SettingNames,
};
use metallb_bgp::types::{Asn, Family, HoldTime, RemoteAs};
use metallb_bgp::unnumbered::NoNeighbor;
use metallb_bgp::wire::capability::Capability;
use metallb_bgp::wire::notification::Notification;
use metallb_bgp::wire::open::OpenError;

/// The settings of a BGPPeer.
const NAMES: SettingNames = SettingNames {
    remote_asn: "spec.peerASN",
    local_asn: "spec.myASN",
    router_id: "spec.routerID",
    hold_time: "spec.holdTime",
    families: "spec.dualStackAddressFamily",
    authentication: "spec.password",
    local_address: "spec.sourceAddress",
    interface: "spec.interface",
    tcp_mss: "spec.tcpMSS",
};

fn mk_config() -> PeerConfig {
    let remote = SocketAddr::from(([192, 0, 2, 1], 179));
    let mut config = PeerConfig::new(remote, Asn::new(64513), RemoteAs::Asn(Asn::new(64512)), 0);
    config.families = OfferedFamilies::Both;
    config
}

fn sentence(reason: &CloseReason) -> String {
    reason.explain(&mk_config(), &NAMES).to_string()
}

fn received(code: u8, subcode: u8, data: &[u8]) -> CloseReason {
    CloseReason::Received(Notification::with_data(code, subcode, data))
}

fn sent(code: u8, subcode: u8, data: &[u8]) -> CloseReason {
    CloseReason::Sent(Notification::with_data(code, subcode, data))
}

/// Data that routers send along, by code and subcode.
fn data(code: u8, subcode: u8) -> Vec<u8> {
    match (code, subcode) {
        (1, 2) => vec![0, 18],
        (1, 3) => vec![9],
        (2, 1) => vec![0, 3],
        (2, 7) => vec![1, 4, 0, 2, 0, 1],
        (3, 3) => vec![1],
        (3, 2 | 4..=11) => vec![0x40, 3, 4, 0, 0, 0, 0],
        (5, 1..=3) => vec![4],
        (6, 1) => vec![0, 1, 1, 0, 0, 0, 3],
        (6, 2 | 4) => [&[7][..], b"TKT-1\n!"].concat(),
        (6, 9) => vec![6, 3],
        _ => Vec::new(),
    }
}

fn all_received() -> Vec<CloseReason> {
    let last = [0, 3, 11, 11, 0, 3, 10, 1, 0];
    let codes = (1..=8_u8).flat_map(|code| (0..=last[usize::from(code)]).map(move |subcode| (code, subcode)));
    codes.chain([(99, 1)]).map(|(code, subcode)| received(code, subcode, &data(code, subcode))).collect()
}

fn all_refused() -> Vec<CloseReason> {
    [
        OpenError::UnsupportedVersion(3),
        OpenError::BadPeerAs(Asn::new(64999)),
        OpenError::BadIdentifier(Ipv4Addr::new(192, 0, 2, 2)),
        OpenError::BadIdentifier(Ipv4Addr::UNSPECIFIED),
        OpenError::UnsupportedParameter(1),
        OpenError::UnacceptableHoldTime(2),
        OpenError::RoleMismatch(Some(0)),
        OpenError::RoleMismatch(None),
        OpenError::MissingCapabilities(vec![Capability::from(Family::Ipv6Unicast), Capability::RouteRefresh]),
        OpenError::Malformed,
    ]
    .map(CloseReason::RefusedOpen)
    .into()
}

fn all_others() -> Vec<CloseReason> {
    let mut list = vec![
        sent(1, 1, &[]),
        sent(3, 1, &[]),
        sent(3, 10, &[]),
        sent(4, 0, &[]),
        sent(5, 0, &[]),
        sent(5, 1, &[4]),
        sent(6, 1, &data(6, 1)),
        sent(6, 7, &[]),
        sent(7, 1, &[]),
        CloseReason::ConnectTimeout,
        CloseReason::ConnectionClosed,
        CloseReason::SendHoldExpired,
        CloseReason::ReplacedByPeer,
        CloseReason::Stopped,
        CloseReason::Invalid(ConfigError::ReservedAsn(Asn::new(0))),
        CloseReason::Invalid(ConfigError::ConnectTimeTooShort(Duration::from_millis(1))),
        CloseReason::Invalid(ConfigError::SegmentSize(40)),
    ];
    list.push(CloseReason::ConnectFailed(ErrorKind::ConnectionRefused.into()));
    list.push(CloseReason::ConnectionFailed(ErrorKind::ConnectionReset.into()));
    list
}

/// Everything there is to say where nobody is behind an interface.
fn all_without_neighbor() -> Vec<CloseReason> {
    let reasons = [
        NoNeighbor::NoInterface,
        NoNeighbor::Down,
        NoNeighbor::NoAddress,
        NoNeighbor::Silent,
        NoNeighbor::Deaf(Some(1)),
        NoNeighbor::Deaf(None),
    ];
    reasons.map(CloseReason::NoNeighbor).into()
}

fn mk_unnumbered() -> PeerConfig {
    PeerConfig::unnumbered("eth1", 179, Asn::new(64513), RemoteAs::External, 0)
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bgp-errors.md")
}

fn rows(list: &[CloseReason]) -> String {
    rows_of(&mk_config(), list)
}

fn rows_of(config: &PeerConfig, list: &[CloseReason]) -> String {
    let row = |reason: &CloseReason| {
        let technical = reason.to_string().replace('|', "\\|");
        let sentence = reason.explain(config, &NAMES).to_string();
        format!("| {} | `{technical}` |\n", sentence.replace('|', "\\|"))
    };
    list.iter().map(row).collect()
}

fn text() -> String {
    let head = "| sentence | as the library writes it |\n|---|---|\n";
    format!(
        "# Why a BGP session ends or does not come up\n\n\
         The sentences of logs and events, here for a router at 192.0.2.1 with `peerASN: 64512`, `myASN: 64513` and both\n\
         families. A test makes this page; the numbers in parentheses are error code and subcode of the NOTIFICATION\n\
         (RFC 4271 §4.5).\n\n\
         ## The router says so\n\n{head}{}\n## We refuse what the router says of itself\n\n{head}{}\n\
         ## Everything else\n\n{head}{}\n\
         ## Nobody is behind `interface: eth1`\n\n{head}{}",
        rows(&all_received()),
        rows(&all_refused()),
        rows(&all_others()),
        rows_of(&mk_unnumbered(), &all_without_neighbor()),
    )
}

// req: N5
#[test]
fn the_page_lists_the_sentence_of_every_error() {
    // The published crate comes without the repository's documentation.
    if !page().parent().unwrap().is_dir() {
        return;
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(page(), text()).unwrap();
    }
    let there = std::fs::read_to_string(page()).unwrap_or_default();
    assert_eq!(there, text(), "UPDATE_GOLDEN=1 writes the page");
}

// req: N5
#[test]
fn a_sentence_has_the_values_of_both_sides() {
    let refused = CloseReason::RefusedOpen(OpenError::BadPeerAs(Asn::new(64999)));
    assert_eq!(sentence(&refused), "the router says AS 64999, spec.peerASN is 64512 (2/2)");
    assert_eq!(
        sentence(&received(6, 1, &data(6, 1))),
        "the router takes at most 3 prefixes of IPv4 unicast from us (6/1)"
    );
    assert_eq!(
        sentence(&received(2, 7, &data(2, 7))),
        "the router has not activated IPv6 unicast for us; see spec.dualStackAddressFamily (2/7)"
    );
    assert!(sentence(&received(2, 3, &[])).contains("set spec.routerID"));
    assert!(sentence(&received(5, 2, &[2])).contains("UPDATE"));
    assert!(sentence(&received(3, 8, &data(3, 8))).contains("NEXT_HOP"));
    let silent = CloseReason::NoNeighbor(NoNeighbor::Silent);
    let said = silent.explain(&mk_unnumbered(), &NAMES).to_string();
    assert!(said.starts_with("no router has advertised itself on interface eth1"), "{said}");
    let said = CloseReason::ConnectTimeout.explain(&mk_unnumbered(), &NAMES).to_string();
    assert!(said.starts_with("the router on eth1 does not answer"), "{said}");
    let mut config = mk_config();
    config.minimum_hold_time = HoldTime::from_secs(30).ok();
    let short = CloseReason::RefusedOpen(OpenError::UnacceptableHoldTime(9));
    let said = short.explain(&config, &NAMES).to_string();
    assert_eq!(said, "the router wants a hold time of 9 s, at least 30 s are wanted (2/6)");
}

// req: N5, !N5
#[test]
fn no_octets_of_a_router_make_a_sentence_of_several_lines_or_none() {
    let datas: [&[u8]; 7] =
        [&[], &[0], &[255; 3], &[1, 200], b"\n\x1b[31m", &[6, 6, 6, 6, 6, 6, 6, 6], &[3, 10, 10, 10]];
    let mut seen = BTreeSet::new();
    for code in 0..=255 {
        for subcode in 0..=12 {
            for data in datas {
                for reason in [received(code, subcode, data), sent(code, subcode, data)] {
                    let said = sentence(&reason);
                    assert!(said.len() > 10 && !said.chars().any(char::is_control), "{said:?}");
                    assert!(said.contains(&format!("({code}/{subcode})")), "{said}");
                    seen.insert(said);
                }
            }
        }
    }
    assert!(seen.len() > 500, "{}", seen.len());
    for reason in all_refused().iter().chain(&all_others()) {
        assert!(sentence(reason).len() > 10);
    }
    let _: fn(AuthenticationError) -> CloseReason = CloseReason::Unauthenticated;
}
