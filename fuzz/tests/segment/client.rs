//! A machine on the segment that talks to the addresses, and remembers where they are.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use metallb_arp::wire::MacAddr;
use metallb_arp::wire::arp::{Operation, Packet, PacketView};
use metallb_arp::wire::ethernet::{EtherType, Frame};

const MAC: MacAddr = MacAddr::new([2, 0, 0, 1, 0, 0]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 250);

/// Its cache, kept as RFC 826 says.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) cache: BTreeMap<IpAddr, MacAddr>,
}

impl Client {
    /// The question for an address, to everybody.
    pub(crate) fn ask(address: IpAddr) -> Vec<u8> {
        let IpAddr::V4(target) = address else { panic!("{address}") };
        let mut frame = Vec::new();
        Packet::request(MAC, ADDRESS, target).emit_frame(MacAddr::BROADCAST, &mut frame);
        frame
    }

    pub(crate) fn receive(&mut self, octets: &[u8]) {
        let frame = Frame::parse(octets).unwrap();
        let ours = frame.destination() == MAC || frame.destination().is_group();
        if !ours || frame.ethertype != EtherType::ARP {
            return;
        }
        let packet = PacketView::parse(frame.payload).unwrap();
        let sender = IpAddr::V4(packet.sender());
        if packet.target() == ADDRESS && packet.operation() == Operation::Reply {
            self.cache.insert(sender, packet.sender_mac());
        } else if let Some(entry) = self.cache.get_mut(&sender) {
            *entry = packet.sender_mac();
        }
    }
}
