//! Address Resolution Protocol for IPv4 over Ethernet (RFC 826, RFC 5227).

use core::net::Ipv4Addr;

use zerocopy::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::{EtherType, Header, MacAddr};

/// A borrowed ARP packet for IPv4 over Ethernet; the operation is kept as it is.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct PacketView {
    hardware: U16,
    protocol: U16,
    hardware_len: u8,
    protocol_len: u8,
    operation: U16,
    sender_mac: MacAddr,
    sender: [u8; 4],
    target_mac: MacAddr,
    target: [u8; 4],
}

impl PacketView {
    /// Reads a packet from the payload of an Ethernet frame; padding behind it is ignored.
    ///
    /// # Errors
    /// [`Error::Truncated`] when it is cut short, otherwise the first field that is not that of IPv4
    /// over Ethernet, in the order of RFC 826 ("Packet Reception").
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<&Self, Error> {
        let (packet, _padding) =
            Self::ref_from_prefix(bytes).map_err(|_| Error::Truncated { octets: bytes.len() })?;
        if packet.hardware.get() != HARDWARE_ETHERNET {
            return Err(Error::Hardware(packet.hardware.get()));
        }
        if packet.protocol.get() != EtherType::IPV4.0 {
            return Err(Error::Protocol(packet.protocol.get()));
        }
        if packet.hardware_len != HARDWARE_LEN || packet.protocol_len != PROTOCOL_LEN {
            return Err(Error::AddressLengths {
                hardware: packet.hardware_len,
                protocol: packet.protocol_len,
            });
        }
        Ok(packet)
    }

    /// What the packet wants.
    #[inline]
    pub fn operation(&self) -> Operation {
        Operation::from_code(self.operation.get())
    }

    /// Hardware address of who sent the packet.
    pub fn sender_mac(&self) -> MacAddr {
        self.sender_mac
    }

    /// Protocol address of who sent the packet; 0.0.0.0 in a probe (RFC 5227 §1.1).
    pub fn sender(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.sender)
    }

    /// Hardware address of the target; of no meaning in a request.
    pub fn target_mac(&self) -> MacAddr {
        self.target_mac
    }

    /// The address asked for, or the one answered to.
    pub fn target(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.target)
    }

    /// The packet as an owned value; `None` when the operation is neither request nor reply.
    pub fn to_owned(&self) -> Option<Packet> {
        let operation = match self.operation() {
            known @ (Operation::Request | Operation::Reply) => known,
            Operation::Unknown(_) => return None,
        };
        Some(Packet {
            operation,
            sender_mac: self.sender_mac(),
            sender: self.sender(),
            target_mac: self.target_mac(),
            target: self.target(),
        })
    }
}

/// An owned ARP packet, as this crate sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    operation: Operation,
    sender_mac: MacAddr,
    sender: Ipv4Addr,
    target_mac: MacAddr,
    target: Ipv4Addr,
}

impl Packet {
    /// A request "who has `target`" (RFC 826).
    pub const fn request(sender_mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self { operation: Operation::Request, sender_mac, sender, target_mac: MacAddr::ZERO, target }
    }

    /// A reply "`sender` is at `sender_mac`" to who asked (RFC 826).
    pub const fn reply(sender_mac: MacAddr, sender: Ipv4Addr, to_mac: MacAddr, to: Ipv4Addr) -> Self {
        Self { operation: Operation::Reply, sender_mac, sender, target_mac: to_mac, target: to }
    }

    /// An ARP probe: is anybody using `address`? (RFC 5227 §2.1.1)
    pub const fn probe(sender_mac: MacAddr, address: Ipv4Addr) -> Self {
        Self::request(sender_mac, Ipv4Addr::UNSPECIFIED, address)
    }

    /// A gratuitous request, the ARP announcement of RFC 5227 §2.3: sender and target are `address`.
    pub const fn announcement(mac: MacAddr, address: Ipv4Addr) -> Self {
        Self::request(mac, address, address)
    }

    /// A gratuitous reply: sender and target are `address`, target hardware address is broadcast.
    pub const fn gratuitous_reply(mac: MacAddr, address: Ipv4Addr) -> Self {
        Self::reply(mac, address, MacAddr::BROADCAST, address)
    }

    /// What the packet wants; never [`Operation::Unknown`].
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// Hardware address of the sender.
    pub const fn sender_mac(&self) -> MacAddr {
        self.sender_mac
    }

    /// Protocol address of the sender.
    pub const fn sender(&self) -> Ipv4Addr {
        self.sender
    }

    /// Hardware address of the target.
    pub const fn target_mac(&self) -> MacAddr {
        self.target_mac
    }

    /// Protocol address of the target.
    pub const fn target(&self) -> Ipv4Addr {
        self.target
    }

    /// Appends the 28 octets of the packet to `out`.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let raw = PacketView {
            hardware: U16::new(HARDWARE_ETHERNET),
            protocol: U16::new(EtherType::IPV4.0),
            hardware_len: HARDWARE_LEN,
            protocol_len: PROTOCOL_LEN,
            operation: U16::new(self.operation.code()),
            sender_mac: self.sender_mac,
            sender: self.sender.octets(),
            target_mac: self.target_mac,
            target: self.target.octets(),
        };
        out.extend_from_slice(raw.as_bytes());
    }

    /// Appends a whole Ethernet frame with this packet, from the sender's hardware address, to `out`.
    pub fn emit_frame(&self, destination: MacAddr, out: &mut Vec<u8>) {
        Header::new(destination, self.sender_mac, EtherType::ARP).emit(out);
        self.emit(out);
    }
}

/// What an ARP packet wants ([registry](https://www.iana.org/assignments/arp-parameters)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// "Who has this address?" (1)
    Request,
    /// "I have it." (2)
    Reply,
    /// Anything else, kept.
    Unknown(u16),
}

impl Operation {
    /// The operation with this code.
    pub const fn from_code(code: u16) -> Self {
        match code {
            OPERATION_REQUEST => Self::Request,
            OPERATION_REPLY => Self::Reply,
            other => Self::Unknown(other),
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u16 {
        match self {
            Self::Request => OPERATION_REQUEST,
            Self::Reply => OPERATION_REPLY,
            Self::Unknown(code) => code,
        }
    }
}

/// Why bytes are not an ARP packet for IPv4 over Ethernet.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer than 28 octets.
    #[error("{octets} octets instead of {LEN}")]
    Truncated {
        /// Octets there are.
        octets: usize,
    },
    /// The hardware type is not Ethernet.
    #[error("hardware type {0} instead of Ethernet")]
    Hardware(u16),
    /// The protocol type is not IPv4.
    #[error("protocol type {0:#06x} instead of IPv4")]
    Protocol(u16),
    /// The address lengths are not those of Ethernet and IPv4.
    #[error("address lengths {hardware} and {protocol} instead of 6 and 4")]
    AddressLengths {
        /// Length of hardware addresses in the packet.
        hardware: u8,
        /// Length of protocol addresses in the packet.
        protocol: u8,
    },
}

/// Length of an ARP packet for IPv4 over Ethernet, in octets.
pub const LEN: usize = size_of::<PacketView>();
/// Hardware type of Ethernet ([registry](https://www.iana.org/assignments/arp-parameters)).
const HARDWARE_ETHERNET: u16 = 1;
const HARDWARE_LEN: u8 = 6;
const PROTOCOL_LEN: u8 = 4;
const OPERATION_REQUEST: u16 = 1;
const OPERATION_REPLY: u16 = 2;
