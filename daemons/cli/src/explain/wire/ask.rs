//! Questions by ARP and neighbor discovery, and the answers of one second.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures::TryStreamExt as _;
use metallb_arp::io::linux::{self, Filter, PacketSocket};
use metallb_arp::responder::InterfaceIndex;
use metallb_arp::wire::ethernet::{EtherType, Frame, MacAddr};
use metallb_arp::wire::ndp::{Envelope, Message, NeighborSolicitation};
use metallb_arp::wire::{arp, ipv6};
use metallb_core::keys::Family;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::LinkAttribute;

use super::route::Route;
use super::{Answers, Seen};

/// This machine on the segment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Station {
    index: u32,
    mac: MacAddr,
    addresses: Vec<IpAddr>,
}

/// Asks who has an address, and who has those of the nodes in the same family, to name them.
pub(super) async fn ask(address: IpAddr, nodes: &BTreeMap<IpAddr, String>, route: Route) -> Seen {
    let asked = async {
        let station = station(&route.interface).await?;
        let of_family = |other: &&IpAddr| Family::of(**other) == Family::of(address);
        let others = nodes.keys().filter(of_family).take(NODES_ASKED).copied();
        let frames = frames(&station, std::iter::once(address).chain(others))?;
        exchange(&station, &frames).await
    };
    match asked.await {
        Ok(answers) => Seen { route: Some(route), trouble: None, answers },
        Err(trouble) => Seen { route: Some(route), trouble: Some(trouble), answers: Answers::new() },
    }
}

/// The questions. The sender is an address of this machine that is none of those asked for, as with any client.
fn frames(station: &Station, asked: impl Iterator<Item = IpAddr>) -> Result<Vec<Vec<u8>>, String> {
    let v4 = |target: Ipv4Addr| {
        let own = station.addresses.iter().find_map(|own| match own {
            IpAddr::V4(own) if *own != target => Some(*own),
            _ => None,
        });
        // Without an address it is a probe, which is answered as well (RFC 5227 §2.1.1).
        arp::Packet::request(station.mac, own.unwrap_or(Ipv4Addr::UNSPECIFIED), target)
    };
    let link_local = station.addresses.iter().find_map(|own| match own {
        IpAddr::V6(own) if own.is_unicast_link_local() => Some(*own),
        _ => None,
    });
    asked
        .map(|target| {
            let mut frame = Vec::new();
            match target {
                IpAddr::V4(target) => v4(target).emit_frame(MacAddr::BROADCAST, &mut frame),
                IpAddr::V6(target) => {
                    let own = link_local.ok_or("the interface has no link-local IPv6 address to ask from")?;
                    let group = ipv6::solicited_node_group(target);
                    let question =
                        NeighborSolicitation { target, source_link_layer: Some(station.mac), nonce: None };
                    question.emit_frame(&Envelope::to_group(station.mac, own, group), &mut frame);
                }
            }
            Ok(frame)
        })
        .collect()
}

/// Sends the questions twice, and gathers what comes back in a second.
async fn exchange(station: &Station, frames: &[Vec<u8>]) -> Result<Answers, String> {
    let socket =
        PacketSocket::open(InterfaceIndex(station.index), Filter::Observe).map_err(|error| match error {
            linux::Error::MissingCapability { capability } => {
                format!("asking the network needs {capability}: run it with sudo, or without --wire")
            }
            error => error.to_string(),
        })?;
    let mut answers = Answers::new();
    for _ in 0..TIMES {
        for frame in frames {
            socket.send(frame).await.map_err(|error| format!("cannot send: {error}"))?;
        }
        let gather = async {
            let mut room = [0; 2048];
            loop {
                let length =
                    socket.recv(&mut room).await.map_err(|error| format!("cannot receive: {error}"))?;
                let Some((address, mac)) = room.get(..length).and_then(answer) else { continue };
                if mac != station.mac {
                    answers.entry(address).or_default().insert(mac);
                }
            }
        };
        // It ends by the clock, unless the interface fails.
        if let Ok(failed) = tokio::time::timeout(PATIENCE, gather).await {
            let failed: Result<(), String> = failed;
            failed?;
        }
    }
    Ok(answers)
}

/// The address for which a frame answers, and who sends it.
fn answer(octets: &[u8]) -> Option<(IpAddr, MacAddr)> {
    let frame = Frame::parse(octets).ok()?;
    match frame.ethertype {
        EtherType::ARP => {
            let packet = arp::PacketView::parse(frame.payload).ok()?;
            (packet.operation() == arp::Operation::Reply)
                .then(|| (IpAddr::V4(packet.sender()), packet.sender_mac()))
        }
        EtherType::IPV6 => match Message::parse(frame.payload).ok()?? {
            Message::NeighborAdvertisement(answer) => {
                let mac = answer.options.target_link_layer().unwrap_or_else(|| frame.source());
                Some((IpAddr::V6(answer.target()), mac))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Looks an interface of this machine up.
async fn station(interface: &str) -> Result<Station, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot look {interface} up: {error}");
    let (connection, netlink, _) = rtnetlink::new_connection().map_err(|error| failed(&error))?;
    let connection = tokio::spawn(connection);
    let mut links = netlink.link().get().match_name(interface.to_owned()).execute();
    let link = match links.try_next().await {
        Ok(link) => link,
        Err(rtnetlink::Error::NetlinkError(why)) if why.to_io().raw_os_error() == Some(NO_SUCH_DEVICE) => {
            None
        }
        Err(error) => return Err(failed(&error)),
    };
    let link = link.ok_or_else(|| format!("this machine has no interface {interface}"))?;
    let mac = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(octets) => <[u8; 6]>::try_from(octets.as_slice()).ok().map(MacAddr::from),
        _ => None,
    });
    let mac = mac.ok_or_else(|| format!("{interface} is no Ethernet interface"))?;
    let index = link.header.index;
    let mut found = netlink.address().get().set_link_index_filter(index).execute();
    let mut addresses = Vec::new();
    while let Some(message) = found.try_next().await.map_err(|error| failed(&error))? {
        addresses.extend(message.attributes.iter().filter_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        }));
    }
    connection.abort();
    Ok(Station { index, mac, addresses })
}

/// `ENODEV`.
const NO_SUCH_DEVICE: i32 = 19;
/// How many nodes are asked for their own addresses.
const NODES_ASKED: usize = 256;
/// How often the questions are sent.
const TIMES: usize = 2;
/// How long the answers to each of them are waited for: a second altogether.
const PATIENCE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const OWN: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
    const OTHER: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);

    fn mk_station(addresses: &[&str]) -> Station {
        Station {
            index: 1,
            mac: OWN,
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn the_questions_are_those_of_any_client() {
        let station = mk_station(&["192.0.2.9", "fe80::9"]);
        let asked = ["192.0.2.7", "2001:db8::7"].map(|text| text.parse().unwrap());
        let frames = frames(&station, asked.into_iter()).unwrap();
        let request = arp::PacketView::parse(Frame::parse(&frames[0]).unwrap().payload).unwrap();
        assert_eq!(
            (request.sender().to_string(), request.target().to_string()),
            ("192.0.2.9".into(), "192.0.2.7".into())
        );
        let frame = Frame::parse(&frames[1]).unwrap();
        let Ok(Some(Message::NeighborSolicitation(question))) = Message::parse(frame.payload) else {
            panic!()
        };
        assert_eq!(question.target().to_string(), "2001:db8::7");
        assert_eq!(frame.destination().to_string(), "33:33:ff:00:00:07");
    }

    #[test]
    fn a_machine_without_addresses_asks_by_a_probe_and_not_at_all() {
        let station = mk_station(&[]);
        let frames_of = |text: &str| frames(&station, std::iter::once(text.parse().unwrap()));
        let probe = frames_of("192.0.2.7").unwrap();
        assert!(
            arp::PacketView::parse(Frame::parse(&probe[0]).unwrap().payload)
                .unwrap()
                .sender()
                .is_unspecified()
        );
        assert!(frames_of("2001:db8::7").unwrap_err().contains("link-local"));
    }

    #[test]
    fn only_answers_count() {
        let (mut reply, mut request) = (Vec::new(), Vec::new());
        let (theirs, ours) = (Ipv4Addr::new(192, 0, 2, 7), Ipv4Addr::new(192, 0, 2, 9));
        arp::Packet::reply(OTHER, theirs, OWN, ours).emit_frame(OWN, &mut reply);
        arp::Packet::request(OTHER, theirs, ours).emit_frame(MacAddr::BROADCAST, &mut request);
        assert_eq!(answer(&reply), Some((IpAddr::V4(theirs), OTHER)));
        assert_eq!(answer(&request), None);
        assert_eq!(answer(&[]), None);
        let address = Ipv6Addr::LOCALHOST;
        assert_eq!(answer(&address.octets()), None);
    }
}
