//! A packet socket on the client's `eth0`: who claims which address by ARP and NDP, and when.

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use metallb_arp::io::linux::{Filter, PacketSocket};
use metallb_arp::responder::InterfaceIndex;
use metallb_arp::wire::ethernet::{EtherType, Frame};
use metallb_arp::wire::{arp, ndp};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::error::Error;
use crate::net::{MacAddr, Room, links};

/// Longest frame that is looked at; what claims an address is far shorter.
const FRAME: usize = 2048;
/// Claims that are kept until they are read; more are dropped.
const KEPT: usize = 1024;

/// A packet that says where an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) at: Instant,
    pub(crate) address: IpAddr,
    pub(crate) mac: MacAddr,
    pub(crate) form: Form,
}

/// What kind of packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    ArpReply,
    GratuitousArp,
    SolicitedAdvertisement,
    UnsolicitedAdvertisement,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ArpReply => "ARP reply",
            Self::GratuitousArp => "gratuitous ARP",
            Self::SolicitedAdvertisement => "neighbor advertisement, solicited",
            Self::UnsolicitedAdvertisement => "neighbor advertisement, unsolicited",
        })
    }
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Observer {
    claims: mpsc::Receiver<Claim>,
    read: Vec<Claim>,
    task: AbortHandle,
}

impl Observer {
    /// Listens on `eth0` of a place.
    pub(crate) async fn start(room: &Room) -> Result<Self, Error> {
        let index = InterfaceIndex(links::index(room, "eth0").await?);
        let doing = format!("opening a packet socket in {}", room.name());
        let opened = room.run(async move { PacketSocket::open(index, Filter::Observe) }).await?;
        let socket = opened.map_err(|error| Error::io(doing)(std::io::Error::other(error)))?;
        let (tell, claims) = mpsc::channel(KEPT);
        let task = room.runtime().spawn(async move {
            let mut frame = vec![0; FRAME];
            while let Ok(length) = socket.recv(&mut frame).await {
                let claim = frame.get(..length).and_then(|frame| read(Instant::now(), frame));
                if let Some(claim) = claim {
                    // When nobody reads, newer claims are worth no more than older ones.
                    let _ = tell.try_send(claim);
                }
            }
        });
        Ok(Self { claims, read: Vec::new(), task: task.abort_handle() })
    }

    /// The first claim to `address` that `wanted` accepts, among those that have arrived.
    pub(crate) fn find(&mut self, address: IpAddr, wanted: impl Fn(&Claim) -> bool) -> Option<Claim> {
        while let Ok(claim) = self.claims.try_recv() {
            self.read.push(claim);
        }
        self.read.iter().find(|claim| claim.address == address && wanted(claim)).cloned()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a frame claims, if anything.
fn read(at: Instant, frame: &[u8]) -> Option<Claim> {
    let frame = Frame::parse(frame).ok()?;
    let claim = |address: IpAddr, mac: [u8; 6], form| Claim { at, address, mac: MacAddr(mac), form };
    match frame.ethertype {
        EtherType::ARP => {
            let packet = arp::PacketView::parse(frame.payload).ok()?;
            let form = match packet.operation() {
                _ if packet.sender() == packet.target() => Form::GratuitousArp,
                arp::Operation::Reply => Form::ArpReply,
                _ => return None,
            };
            Some(claim(packet.sender().into(), packet.sender_mac().octets(), form))
        }
        EtherType::IPV6 => {
            let Ok(Some(ndp::Message::NeighborAdvertisement(message))) = ndp::Message::parse(frame.payload)
            else {
                return None;
            };
            let mac = message.options.target_link_layer()?;
            let form = if message.solicited() {
                Form::SolicitedAdvertisement
            } else {
                Form::UnsolicitedAdvertisement
            };
            Some(claim(message.target().into(), mac.octets(), form))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use metallb_arp::wire::MacAddr as Mac;

    use super::*;

    fn mk_frame(packet: &arp::Packet) -> Vec<u8> {
        let mut frame = Vec::new();
        packet.emit_frame(Mac::new([0xff; 6]), &mut frame);
        frame
    }

    #[test]
    fn a_reply_and_an_announcement_claim_an_address_and_a_request_does_not() {
        let (mac, other) = (Mac::new([2, 0, 0, 0, 0, 1]), Mac::new([2, 0, 0, 0, 0, 2]));
        let (address, asker) = ("192.0.2.100".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let form = |packet: &arp::Packet| read(Instant::now(), &mk_frame(packet)).map(|claim| claim.form);
        assert_eq!(form(&arp::Packet::reply(mac, address, other, asker)), Some(Form::ArpReply));
        assert_eq!(form(&arp::Packet::announcement(mac, address)), Some(Form::GratuitousArp));
        assert_eq!(form(&arp::Packet::request(other, asker, address)), None);
    }
}
