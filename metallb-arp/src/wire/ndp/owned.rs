//! Neighbor discovery messages to be sent: valid by construction.

use core::net::Ipv6Addr;

use zerocopy::IntoBytes;
use zerocopy::big_endian::{U16, U32};

use super::option::{Nonce, OptionKind, PrefixInformation, emit_mac, emit_mtu};
use super::{
    FLAG_MANAGED, FLAG_OTHER, FLAG_OVERRIDE, FLAG_ROUTER, FLAG_SOLICITED, RawAdvertisement, RawReserved,
    RawRouterAdvertisement, RawSolicitation,
};
use crate::wire::ethernet::{self, EtherType, MacAddr};
use crate::wire::{icmpv6, ipv6};

/// The addresses a message is sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Hardware address of the sender.
    pub source_mac: MacAddr,
    /// Hardware address of the receiver; for a group, [`MacAddr::for_ipv6_multicast`].
    pub destination_mac: MacAddr,
    /// IPv6 source.
    pub source: Ipv6Addr,
    /// IPv6 destination.
    pub destination: Ipv6Addr,
}

impl Envelope {
    /// From one station to a multicast group.
    pub fn to_group(source_mac: MacAddr, source: Ipv6Addr, group: Ipv6Addr) -> Self {
        Self { source_mac, destination_mac: MacAddr::for_ipv6_multicast(group), source, destination: group }
    }

    /// Appends a whole frame: Ethernet, IPv6, ICMPv6 with its checksum, and the body `write` appends.
    fn emit(&self, kind: icmpv6::Kind, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = out.len();
        ethernet::Header::new(self.destination_mac, self.source_mac, EtherType::IPV6).emit(out);
        ipv6::Header::for_ndp(self.source, self.destination, 0).emit(out);
        out.extend_from_slice(icmpv6::Header::new(kind).as_bytes());
        write(out);
        self.finish(out, start);
    }

    /// Fills in payload length and checksum of the frame that begins at `start`.
    fn finish(&self, out: &mut [u8], start: usize) {
        let Some(packet) = out.get_mut(start + ethernet::HEADER_LEN..) else { return };
        let Some((header, payload)) = packet.split_at_mut_checked(ipv6::HEADER_LEN) else { return };
        // The messages of this crate are bounded far below 64 KiB, see `MAX_PREFIXES`.
        let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        header.copy_from_slice(ipv6::Header::for_ndp(self.source, self.destination, length).as_bytes());
        let sum = icmpv6::checksum(self.source, self.destination, payload);
        if let Some((_, [high, low, ..])) = payload.split_at_mut_checked(CHECKSUM_OFFSET) {
            [*high, *low] = sum.to_be_bytes();
        }
    }
}

/// A Neighbor Solicitation to send (RFC 4861 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborSolicitation {
    /// The address asked for.
    pub target: Ipv6Addr,
    /// The sender's hardware address; must be `None` when sent from `::`.
    pub source_link_layer: Option<MacAddr>,
    /// Tells one's own solicitation, looped back by the network, from another's (RFC 7527 §4.1).
    pub nonce: Option<Nonce>,
}

impl NeighborSolicitation {
    /// A solicitation of duplicate address detection (RFC 4862 §5.4.2), with the nonce of RFC 7527.
    pub const fn detect_duplicate(target: Ipv6Addr, nonce: Nonce) -> Self {
        Self { target, source_link_layer: None, nonce: Some(nonce) }
    }

    /// Appends a whole Ethernet frame to `out`. A source link-layer address is left out when the
    /// envelope's source is `::`, where RFC 4861 §4.3 forbids it.
    pub fn emit_frame(&self, envelope: &Envelope, out: &mut Vec<u8>) {
        envelope.emit(icmpv6::Kind::NEIGHBOR_SOLICITATION, out, |out| {
            let raw = RawSolicitation { reserved: U32::ZERO, target: self.target.octets() };
            out.extend_from_slice(raw.as_bytes());
            if let Some(mac) = self.source_link_layer.filter(|_| !envelope.source.is_unspecified()) {
                emit_mac(OptionKind::SOURCE_LINK_LAYER, mac, out);
            }
            if let Some(nonce) = self.nonce {
                nonce.emit(out);
            }
        });
    }
}

/// A Neighbor Advertisement to send (RFC 4861 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborAdvertisement {
    /// The address advertised.
    pub target: Ipv6Addr,
    /// Its hardware address.
    pub target_link_layer: Option<MacAddr>,
    /// The R flag.
    pub router: bool,
    /// The S flag; left out when the destination is a group, where RFC 4861 §7.1.2 forbids it.
    pub solicited: bool,
    /// The O flag.
    pub overrides: bool,
}

impl NeighborAdvertisement {
    /// The answer to a solicitation from a neighbor: S=1, O=1 (RFC 4861 §7.2.4).
    pub const fn answer(target: Ipv6Addr, mac: MacAddr) -> Self {
        Self { target, target_link_layer: Some(mac), router: false, solicited: true, overrides: true }
    }

    /// An unsolicited advertisement, also the answer to duplicate address detection: S=0, O=1 (RFC 4861
    /// §7.2.4, §7.2.6).
    pub const fn unsolicited(target: Ipv6Addr, mac: MacAddr) -> Self {
        Self { target, target_link_layer: Some(mac), router: false, solicited: false, overrides: true }
    }

    /// Appends a whole Ethernet frame to `out`.
    pub fn emit_frame(&self, envelope: &Envelope, out: &mut Vec<u8>) {
        let flags = [
            (self.router, FLAG_ROUTER),
            (self.solicited && !envelope.destination.is_multicast(), FLAG_SOLICITED),
            (self.overrides, FLAG_OVERRIDE),
        ];
        let flags = flags.into_iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit);
        envelope.emit(icmpv6::Kind::NEIGHBOR_ADVERTISEMENT, out, |out| {
            let raw = RawAdvertisement { flags, reserved: [0; 3], target: self.target.octets() };
            out.extend_from_slice(raw.as_bytes());
            if let Some(mac) = self.target_link_layer {
                emit_mac(OptionKind::TARGET_LINK_LAYER, mac, out);
            }
        });
    }
}

/// A Router Solicitation to send (RFC 4861 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterSolicitation {
    /// The sender's hardware address.
    pub source_link_layer: Option<MacAddr>,
}

impl RouterSolicitation {
    /// Appends a whole Ethernet frame to `out`, without the link-layer address when sent from `::`.
    pub fn emit_frame(&self, envelope: &Envelope, out: &mut Vec<u8>) {
        envelope.emit(icmpv6::Kind::ROUTER_SOLICITATION, out, |out| {
            out.extend_from_slice(RawReserved { reserved: U32::ZERO }.as_bytes());
            if let Some(mac) = self.source_link_layer.filter(|_| !envelope.source.is_unspecified()) {
                emit_mac(OptionKind::SOURCE_LINK_LAYER, mac, out);
            }
        });
    }
}

/// A Router Advertisement to send (RFC 4861 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterAdvertisement<'a> {
    /// The hop limit hosts should use; 0 leaves it to them.
    pub hop_limit: u8,
    /// The M flag: addresses are available by DHCPv6.
    pub managed: bool,
    /// The O flag: other configuration is available by DHCPv6.
    pub other_configuration: bool,
    /// How long, in seconds, the sender is a default router; 0: it is none.
    pub lifetime: u16,
    /// How long, in milliseconds, a neighbor is reachable after a confirmation; 0 leaves it to hosts.
    pub reachable_time: u32,
    /// Time between solicitations in milliseconds; 0 leaves it to hosts.
    pub retransmit_timer: u32,
    /// The sender's hardware address.
    pub source_link_layer: Option<MacAddr>,
    /// The MTU of the link.
    pub mtu: Option<u32>,
    /// Prefixes on the link; [`MAX_PREFIXES`] at most are sent.
    pub prefixes: &'a [PrefixInformation],
}

impl RouterAdvertisement<'_> {
    /// Appends a whole Ethernet frame to `out`.
    pub fn emit_frame(&self, envelope: &Envelope, out: &mut Vec<u8>) {
        let managed = if self.managed { FLAG_MANAGED } else { 0 };
        let other = if self.other_configuration { FLAG_OTHER } else { 0 };
        envelope.emit(icmpv6::Kind::ROUTER_ADVERTISEMENT, out, |out| {
            let raw = RawRouterAdvertisement {
                hop_limit: self.hop_limit,
                flags: managed | other,
                lifetime: U16::new(self.lifetime),
                reachable_time: U32::new(self.reachable_time),
                retransmit_timer: U32::new(self.retransmit_timer),
            };
            out.extend_from_slice(raw.as_bytes());
            if let Some(mac) = self.source_link_layer {
                emit_mac(OptionKind::SOURCE_LINK_LAYER, mac, out);
            }
            if let Some(mtu) = self.mtu {
                emit_mtu(mtu, out);
            }
            for prefix in self.prefixes.iter().take(MAX_PREFIXES) {
                prefix.emit(out);
            }
        });
    }
}

/// Prefixes one router advertisement holds, so that it fits the smallest IPv6 MTU (RFC 8200 §5).
pub const MAX_PREFIXES: usize = 36;
const CHECKSUM_OFFSET: usize = 2;
