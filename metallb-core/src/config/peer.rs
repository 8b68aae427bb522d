//! BGP peers: reading, and two peers that are one session.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::advertisement::{Meeting, meeting};
use super::check::{Check, Limits, out_of_range};
use super::duration;
use super::error::{Combination, Problem};
use super::input::{PasswordInput, PeerInput, Secret};
use super::model::{Peer, PeerEndpoint, PeerFamilies, RemoteAs};
use crate::keys::{Family, InterfaceName, ProfileName};

/// The peer as far as it could be read; the check says whether it is valid.
pub(super) fn read(input: &PeerInput, check: &mut Check) -> Option<Peer> {
    if input.my_asn == 0 {
        check.error("spec.myASN", out_of_range(0, 1, u32::MAX));
    }
    if input.local_asn == Some(0) {
        check.error("spec.localASN", out_of_range(0, 1, u32::MAX));
    }
    let remote = remote_as(input, check);
    let endpoint = endpoint(input, check);
    let (hold_time, keepalive_time) = timers(input, check);
    let connect_time = connect_time(input, check);
    let router_id = router_id(input, check);
    let source = source(input, endpoint.as_ref(), check);
    let unnumbered = matches!(endpoint, Some(PeerEndpoint::Interface(_)));
    let both = input.dual_stack_address_family || unnumbered;
    let peer = Peer {
        name: input.meta.name.as_str().into(),
        created: input.meta.created,
        my_asn: input.my_asn,
        local_asn: input.local_asn,
        port: check.number(
            "spec.peerPort",
            input.port,
            Limits { min: 1_u16, max: u16::MAX, default: DEFAULT_PORT },
        ),
        source,
        hold_time,
        keepalive_time,
        connect_time,
        router_id,
        next_hop_v4: next_hop::<Ipv4Addr>("spec.nextHop.ipv4", input.next_hop_v4.as_deref(), check),
        next_hop_v6: next_hop::<Ipv6Addr>("spec.nextHop.ipv6", input.next_hop_v6.as_deref(), check),
        tcp_mss: input.tcp_mss.map(|mss| check.number("spec.tcpMSS", Some(mss), SEGMENT_SIZES)),
        node_selectors: check.selectors("spec.nodeSelectors", &input.node_selectors),
        password: password(input, check),
        bfd: input.bfd_profile.as_deref().filter(|name| !name.is_empty()).map(ProfileName::from),
        graceful_restart: input.graceful_restart,
        ebgp_multi_hop: input.ebgp_multi_hop,
        vrf: device("spec.vrf", input.vrf.as_deref(), check),
        families: if both { PeerFamilies::Both } else { PeerFamilies::Own },
        remote: remote?,
        endpoint: endpoint?,
    };
    if peer.ebgp_multi_hop && peer.remote == RemoteAs::Asn(peer.my_asn) {
        check.error("spec.ebgpMultiHop", Problem::Combination(Combination::MultiHopInternal));
    } else if peer.ebgp_multi_hop && peer.is_internal() {
        check.warn("spec.ebgpMultiHop", Problem::Combination(Combination::MultiHopWithoutEffect));
    }
    Some(peer)
}

/// Two peers with the same session exclude each other on the nodes that both select; the older wins there.
pub(super) fn conflicts(older: &[Arc<Peer>], peer: &Peer, check: &mut Check) {
    let field = match peer.endpoint {
        PeerEndpoint::Address(_) => "spec.peerAddress",
        PeerEndpoint::Interface(_) => "spec.interface",
    };
    for other in older.iter().filter(|other| other.is_same_session(peer)) {
        let older = other.name.clone();
        let shadowed = other.selects_all_of(peer);
        match meeting(&other.node_selectors, &peer.node_selectors) {
            _ if shadowed => check.error(field, Problem::DuplicatePeer { older }),
            Meeting::Certain | Meeting::Possible => check.warn(field, Problem::OverlappingPeer { older }),
            Meeting::Never => {}
        }
    }
}

impl Peer {
    /// True when surely every node that the other selects is selected by this one.
    fn selects_all_of(&self, other: &Self) -> bool {
        let everything = |peer: &Self| {
            peer.node_selectors.is_empty()
                || peer.node_selectors.iter().any(crate::select::Selector::matches_everything)
        };
        everything(self)
            || !everything(other)
                && other.node_selectors.iter().all(|selector| self.node_selectors.contains(selector))
    }
}

fn remote_as(input: &PeerInput, check: &mut Check) -> Option<RemoteAs> {
    // Zero is what an absent number looks like in resources written by older tools.
    let asn = input.peer_asn.filter(|&asn| asn != 0);
    let dynamic = input.dynamic_asn.as_deref().filter(|text| !text.is_empty());
    match (asn, dynamic) {
        (Some(_), Some(_)) => {
            check.error("spec.dynamicASN", Problem::Exclusive { other: "peerASN" });
            None
        }
        (None, None) => {
            let remedy = "give peerASN, or dynamicASN internal or external";
            check.error("spec.peerASN", Problem::Missing { remedy });
            None
        }
        (Some(asn), None) => Some(RemoteAs::Asn(asn)),
        (None, Some("internal")) => Some(RemoteAs::Internal),
        (None, Some("external")) => Some(RemoteAs::External),
        (None, Some(text)) => {
            let expected = "a kind of AS number; write internal or external";
            check.error("spec.dynamicASN", Problem::NotA { text: text.into(), expected });
            None
        }
    }
}

fn endpoint(input: &PeerInput, check: &mut Check) -> Option<PeerEndpoint> {
    let address = input.address.as_deref().filter(|text| !text.is_empty());
    let interface = input.interface.as_deref().filter(|text| !text.is_empty());
    match (address, interface) {
        (Some(_), Some(_)) => {
            check.error("spec.interface", Problem::Exclusive { other: "peerAddress" });
            None
        }
        (None, None) => {
            check.error("spec.peerAddress", Problem::Missing { remedy: "give peerAddress, or interface" });
            None
        }
        (Some(text), None) => unicast("spec.peerAddress", text, check).map(PeerEndpoint::Address),
        (None, name) => device("spec.interface", name, check).map(PeerEndpoint::Interface),
    }
}

fn source(input: &PeerInput, endpoint: Option<&PeerEndpoint>, check: &mut Check) -> Option<IpAddr> {
    let text = input.source_address.as_deref().filter(|text| !text.is_empty())?;
    let source = unicast("spec.sourceAddress", text, check)?;
    if let Some(&PeerEndpoint::Address(peer)) = endpoint
        && Family::of(peer) != Family::of(source)
    {
        check.error("spec.sourceAddress", Problem::SourceFamily { peer });
    }
    Some(source)
}

/// An address that a host can have.
fn unicast(field: &str, text: &str, check: &mut Check) -> Option<IpAddr> {
    let expected = "a unicast IP address; write for example 192.0.2.1 or 2001:db8::1";
    match text.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() && !address.is_multicast() => Some(address.to_canonical()),
        _ => {
            check.error(field, Problem::NotA { text: text.into(), expected });
            None
        }
    }
}

/// Name of a network device, as Linux allows it.
fn device(field: &str, name: Option<&str>, check: &mut Check) -> Option<InterfaceName> {
    let name = name.filter(|name| !name.is_empty())?;
    let odd = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if name.len() > LONGEST_DEVICE_NAME || name.contains(odd) || matches!(name, "." | "..") {
        let expected = "the name of a network device; use at most 15 characters without space, '/' and ':'";
        check.error(field, Problem::NotA { text: name.into(), expected });
        return None;
    }
    Some(name.into())
}

fn router_id(input: &PeerInput, check: &mut Check) -> Option<Ipv4Addr> {
    let text = input.router_id.as_deref().filter(|text| !text.is_empty())?;
    match text.parse::<Ipv4Addr>() {
        Ok(id) if !id.is_unspecified() => Some(id),
        _ => {
            let expected = "a BGP identifier; write an IPv4 address other than 0.0.0.0";
            check.error("spec.routerID", Problem::NotA { text: text.into(), expected });
            None
        }
    }
}

/// An address of one family that routers can send to; `self` is what it is without.
fn next_hop<A: FromStr + Copy + Into<IpAddr>>(
    field: &str,
    text: Option<&str>,
    check: &mut Check,
) -> Option<A> {
    let text = text.filter(|text| !matches!(*text, "" | "self"))?;
    let address = text.parse::<A>().ok().filter(|address| is_next_hop((*address).into()));
    if address.is_none() {
        let expected = "an address of that family that routers can send to; write one like 192.0.2.1 for ipv4 or \
            2001:db8::1 for ipv6, or self";
        check.error(field, Problem::NotA { text: text.into(), expected });
    }
    address
}

/// Not unspecified, loopback, multicast, link-local, reserved, nor of the other family in disguise.
fn is_next_hop(address: IpAddr) -> bool {
    let is_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || matches!(v4.octets(), [0 | 240..=255, ..]),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    };
    !(is_local || address.is_unspecified() || address.is_loopback() || address.is_multicast())
}

fn password(input: &PeerInput, check: &mut Check) -> Option<Secret> {
    let (field, secret) = match &input.password {
        PasswordInput::None => return None,
        PasswordInput::Plain(secret) => ("spec.password", secret),
        PasswordInput::Both => {
            check.error("spec.passwordSecret", Problem::Exclusive { other: "password" });
            return None;
        }
        PasswordInput::Reference { name, value: Ok(secret) } => {
            return referenced_password(name, secret, check);
        }
        PasswordInput::Reference { name, value: Err(problem) } => {
            let problem = Problem::Secret { name: name.as_str().into(), problem: *problem };
            check.error("spec.passwordSecret", problem);
            return None;
        }
    };
    usable_password(field, secret, check);
    Some(secret.clone())
}

/// The password of a Secret: often made of a file, which ends with a line break that nobody means.
fn referenced_password(name: &str, secret: &Secret, check: &mut Check) -> Option<Secret> {
    let field = "spec.passwordSecret";
    let cut = secret.reveal().strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
    if cut.is_some() {
        check.warn(field, Problem::PasswordCut { name: name.into() });
    }
    let secret = cut.map_or_else(|| secret.clone(), Secret::new);
    if secret.reveal().is_empty() {
        check.warn(field, Problem::PasswordEmpty { name: name.into() });
        return None;
    }
    usable_password(field, &secret, check);
    Some(secret)
}

fn usable_password(field: &str, secret: &Secret, check: &mut Check) {
    let octets = secret.reveal().len();
    if !(1..=LONGEST_PASSWORD).contains(&octets) {
        check.error(field, Problem::PasswordLength { octets });
    }
    // No router takes one, so the two sides would never agree.
    if secret.reveal().contains(['\n', '\r']) {
        check.error(field, Problem::PasswordLineBreak);
    }
}

/// Hold time and keepalive interval.
fn timers(input: &PeerInput, check: &mut Check) -> (Duration, Duration) {
    let (hold_text, keepalive_text) = (input.hold_time.as_deref(), input.keepalive_time.as_deref());
    let hold = seconds("spec.holdTime", hold_text, check);
    let keepalive = seconds("spec.keepaliveTime", keepalive_text, check);
    // Cut down to 0 these two would switch the hold time off.
    if let Some(text) = hold_text.filter(|text| is_split_second(text)) {
        let expected = "a hold time of whole seconds; write 3s to 65535s, or 0s for none";
        check.error("spec.holdTime", Problem::NotA { text: text.into(), expected });
        return (Duration::ZERO, Duration::ZERO);
    }
    if let Some(text) = keepalive_text.filter(|text| hold_text.is_none() && is_split_second(text)) {
        let expected =
            "a keepalive time that a hold time follows from; write 1s to 21845s, or give holdTime too";
        check.error("spec.keepaliveTime", Problem::NotA { text: text.into(), expected });
        return (Duration::ZERO, Duration::ZERO);
    }
    let (hold, keepalive) = match (hold, keepalive) {
        (None, None) => (DEFAULT_HOLD, DEFAULT_HOLD / 3),
        (Some(0), None) => (0, 0),
        (Some(hold), None) => (hold, (hold / 3).max(1)),
        (None, Some(keepalive)) => (keepalive.saturating_mul(3), keepalive),
        (Some(hold), Some(0)) if hold != 0 => {
            // What older versions of MetalLB wrote for an absent keepalive time. Taken literally the session would expire.
            let seconds = (hold / 3).max(1);
            check.warn("spec.keepaliveTime", Problem::KeepaliveDerived { seconds });
            (hold, seconds)
        }
        (Some(hold), Some(keepalive)) => (hold, keepalive),
    };
    if hold != 0 && !(SHORTEST_HOLD..=LONGEST_HOLD).contains(&hold) {
        let field = if input.hold_time.is_some() { "spec.holdTime" } else { "spec.keepaliveTime" };
        check.error(field, Problem::HoldTime { seconds: hold });
    } else if keepalive > hold {
        check.error("spec.keepaliveTime", Problem::KeepaliveTime { keepalive, hold });
    }
    (Duration::from_secs(hold), Duration::from_secs(keepalive))
}

/// Whole seconds of a duration; fractions are dropped with a warning.
fn seconds(field: &str, text: Option<&str>, check: &mut Check) -> Option<u64> {
    let duration = read_duration(field, text, check)?;
    let seconds = duration.as_secs();
    if duration.subsec_nanos() != 0 {
        check.warn(field, Problem::Truncated { seconds });
    }
    Some(seconds)
}

fn is_split_second(text: &str) -> bool {
    duration::parse(text).is_ok_and(|duration| !duration.is_zero() && duration < Duration::from_secs(1))
}

fn connect_time(input: &PeerInput, check: &mut Check) -> Option<Duration> {
    let field = "spec.connectTime";
    let duration = read_duration(field, input.connect_time.as_deref(), check)?;
    if duration.subsec_nanos() != 0 {
        let text = input.connect_time.as_deref().unwrap_or_default().into();
        check.error(
            field,
            Problem::NotA { text, expected: "a whole number of seconds; write for example 5s" },
        );
    } else if !(1..=LONGEST_HOLD).contains(&duration.as_secs()) {
        let value = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        check.error(field, Problem::OutOfRange { value, min: 1, max: i64::from(u16::MAX) });
    }
    Some(duration)
}

fn read_duration(field: &str, text: Option<&str>, check: &mut Check) -> Option<Duration> {
    match duration::parse(text?) {
        Ok(duration) => Some(duration),
        Err(error) => {
            check.error(field, Problem::Duration(error));
            None
        }
    }
}

/// RFC 4271 §8.2.2: port 179.
const DEFAULT_PORT: u16 = 179;
/// What Linux takes as the maximum segment size of TCP.
const SEGMENT_SIZES: Limits<u16> = Limits { min: 88, max: 32_767, default: 536 };
/// RFC 4271 §10: suggested hold time, in seconds.
const DEFAULT_HOLD: u64 = 90;
/// RFC 4271 §4.2: zero or at least three seconds.
const SHORTEST_HOLD: u64 = 3;
/// RFC 4271 §4.2: two octets.
const LONGEST_HOLD: u64 = 65_535;
/// `TCP_MD5SIG_MAXKEYLEN` of Linux.
const LONGEST_PASSWORD: usize = 80;
/// `IFNAMSIZ` of Linux without the terminating zero.
const LONGEST_DEVICE_NAME: usize = 15;
