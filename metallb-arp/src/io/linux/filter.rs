//! What a packet socket lets through, decided in the kernel by a classic BPF program.

use socket2::SockFilter;

use crate::wire::ethernet::EtherType;

/// Which frames a [`super::PacketSocket`] receives. Frames of VLANs (other than priority tags) never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// ARP requests and replies that others send to us, to all, or to a group.
    Arp,
    /// Neighbor solicitations and advertisements that others send to us or to a group.
    Ndp,
    /// Router solicitations and advertisements that others send to us or to a group.
    RouterDiscovery,
    /// ARP requests and replies, neighbor solicitations and advertisements in both directions, whoever
    /// they are for: an observer's view (what the network card lets through).
    Observe,
}

impl Filter {
    /// The protocol the socket is bound to.
    pub(super) fn protocol(self) -> u16 {
        match self {
            Self::Arp => EtherType::ARP.0,
            Self::Ndp | Self::RouterDiscovery => EtherType::IPV6.0,
            Self::Observe => ALL_PROTOCOLS,
        }
    }

    pub(super) fn program(self) -> Vec<SockFilter> {
        match self {
            Self::Arp => program(&[untagged(), inbound(), arp_operation()]),
            Self::Ndp => program(&[untagged(), inbound(), icmpv6_kind(135)]),
            Self::RouterDiscovery => program(&[untagged(), inbound(), icmpv6_kind(133)]),
            Self::Observe => observe(),
        }
    }
}

/// One condition: loads and tests that fall through when it holds. `Test`s that fail go to the end.
type Condition = Vec<Step>;

#[derive(Clone, Copy)]
enum Step {
    Load(u16, u32),
    Mask(u32),
    Equal(u32),
    NotEqual(u32),
    AtLeast(u32),
    AtMost(u32),
}

fn program(conditions: &[Condition]) -> Vec<SockFilter> {
    let steps: Vec<Step> = conditions.iter().flatten().copied().collect();
    let count = steps.len();
    let mut program: Vec<SockFilter> = Vec::with_capacity(count + 2);
    for (at, step) in steps.into_iter().enumerate() {
        // From the instruction after this one to the last, which drops the frame.
        let fail = u8::try_from(count - at).unwrap_or(u8::MAX);
        program.push(match step {
            Step::Load(width, offset) => SockFilter::new(width, 0, 0, offset),
            Step::Mask(mask) => SockFilter::new(AND, 0, 0, mask),
            Step::Equal(value) => SockFilter::new(JUMP_EQUAL, 0, fail, value),
            Step::NotEqual(value) => SockFilter::new(JUMP_EQUAL, fail, 0, value),
            Step::AtLeast(value) => SockFilter::new(JUMP_AT_LEAST, 0, fail, value),
            Step::AtMost(value) => SockFilter::new(JUMP_GREATER, fail, 0, value),
        });
    }
    program.push(SockFilter::new(RETURN, 0, 0, WHOLE_FRAME));
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    program
}

/// VLAN identifier 0, also when the tag has been taken out of the frame.
fn untagged() -> Condition {
    vec![Step::Load(LOAD_WORD, ANCILLARY + VLAN_TAG), Step::Mask(VLAN_IDENTIFIER), Step::Equal(0)]
}

/// Neither sent by this machine nor for another one.
fn inbound() -> Condition {
    vec![
        Step::Load(LOAD_WORD, ANCILLARY + PACKET_TYPE),
        Step::NotEqual(PACKET_OTHERHOST),
        Step::NotEqual(PACKET_OUTGOING),
    ]
}

fn arp_operation() -> Condition {
    vec![Step::Load(LOAD_HALF, ARP_OPERATION), Step::AtLeast(1), Step::AtMost(2)]
}

/// ICMPv6 right behind the fixed header, of type `first` or the one after it.
fn icmpv6_kind(first: u32) -> Condition {
    vec![
        Step::Load(LOAD_BYTE, NEXT_HEADER),
        Step::Equal(58),
        Step::Load(LOAD_BYTE, ICMPV6_TYPE),
        Step::AtLeast(first),
        Step::AtMost(first + 1),
    ]
}

/// Untagged, and then ARP or NDP: the one program with a branch.
fn observe() -> Vec<SockFilter> {
    let arp = program(&[arp_operation()]);
    let ndp = program(&[icmpv6_kind(135)]);
    let arp_len = u8::try_from(arp.len()).unwrap_or(u8::MAX);
    let mut all = vec![
        SockFilter::new(LOAD_WORD, 0, 0, ANCILLARY + VLAN_TAG),
        SockFilter::new(AND, 0, 0, VLAN_IDENTIFIER),
        SockFilter::new(JUMP_EQUAL, 1, 0, 0),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(LOAD_HALF, 0, 0, ETHERTYPE),
        SockFilter::new(JUMP_EQUAL, 0, arp_len, u32::from(EtherType::ARP.0)),
    ];
    all.extend(arp);
    all.push(SockFilter::new(JUMP_EQUAL, 1, 0, u32::from(EtherType::IPV6.0)));
    all.push(SockFilter::new(RETURN, 0, 0, 0));
    all.extend(ndp);
    all
}

/// ETH_P_ALL: every protocol, in both directions.
const ALL_PROTOCOLS: u16 = 3;
/// Instruction codes of classic BPF (linux/bpf_common.h).
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const AND: u16 = 0x54;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const WHOLE_FRAME: u32 = 0xffff;
/// Offsets of metadata (linux/filter.h: SKF_AD_OFF, SKF_AD_PKTTYPE, SKF_AD_VLAN_TAG).
const ANCILLARY: u32 = 0xffff_f000;
const PACKET_TYPE: u32 = 4;
const VLAN_TAG: u32 = 44;
const VLAN_IDENTIFIER: u32 = 0x0fff;
/// linux/if_packet.h.
const PACKET_OTHERHOST: u32 = 3;
const PACKET_OUTGOING: u32 = 4;
/// Offsets in the frame, Ethernet header included.
const ETHERTYPE: u32 = 12;
const ARP_OPERATION: u32 = 20;
const NEXT_HEADER: u32 = 20;
const ICMPV6_TYPE: u32 = 54;
