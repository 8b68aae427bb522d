//! Links and addresses.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use futures::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::{LinkBridge, LinkUnspec, LinkVeth};
use serde::{Deserialize, Serialize};

use super::Room;
use crate::error::Error;

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct MacAddr(pub(crate) [u8; 6]);

impl MacAddr {
    /// The address in a link or neighbour attribute, if it has six octets.
    pub(crate) fn from_slice(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = self.0.map(|octet| format!("{octet:02x}"));
        f.write_str(&octets.join(":"))
    }
}

/// The number of a link.
pub(crate) async fn index(room: &Room, link: &str) -> Result<u32, Error> {
    let doing = || format!("looking for the link {link} in {}", room.name());
    let mut found = room.netlink().link().get().match_name(link.to_owned()).execute();
    let message = found.try_next().await.map_err(Error::net(doing()))?;
    message
        .map(|message| message.header.index)
        .ok_or_else(|| Error::io(doing())(std::io::Error::from(std::io::ErrorKind::NotFound)))
}

/// The hardware address of a link, as the kernel has it.
pub(crate) async fn mac(room: &Room, link: &str) -> Result<Option<MacAddr>, Error> {
    let doing = format!("reading the hardware address of {link} in {}", room.name());
    let mut found = room.netlink().link().get().match_name(link.to_owned()).execute();
    let message = found.try_next().await.map_err(Error::net(doing))?;
    Ok(message.into_iter().flat_map(|message| message.attributes).find_map(|attribute| match attribute {
        LinkAttribute::Address(octets) => MacAddr::from_slice(&octets),
        _ => None,
    }))
}

/// Makes a bridge and sets it up.
pub(crate) async fn add_bridge(room: &Room, name: &str) -> Result<u32, Error> {
    // No spanning tree: a port forwards at once.
    let message = LinkBridge::new(name).forward_delay(0).up().build();
    let doing = format!("making the bridge {name} in {}", room.name());
    room.netlink().link().add(message).execute().await.map_err(Error::net(doing))?;
    index(room, name).await
}

/// Connects a place to the bridge: a pair of links, one a port of the bridge, the other `eth0` there.
pub(crate) async fn plug(segment: &Room, bridge: u32, place: &Room, mac: MacAddr) -> Result<(), Error> {
    let (port, outside) = (port(place.name()), "eth0");
    let doing = || format!("connecting {} to the segment", place.name());
    let link = segment.netlink().link();
    let pair = LinkVeth::new(&port, outside).build();
    link.add(pair).execute().await.map_err(Error::net(doing()))?;
    let moved = LinkUnspec::new_with_index(index(segment, outside).await?)
        .address(mac.0.to_vec())
        .setns_by_fd(place.namespace().as_raw_fd())
        .build();
    link.set(moved).execute().await.map_err(Error::net(doing()))?;
    let attached = LinkUnspec::new_with_index(index(segment, &port).await?).controller(bridge).up().build();
    link.set(attached).execute().await.map_err(Error::net(doing()))?;
    set_up(place, "lo", true).await?;
    set_up(place, outside, true).await
}

/// The name of a place's port on the bridge.
pub(crate) fn port(place: &str) -> String {
    format!("port-{place}")
}

/// Sets a link up or down.
pub(crate) async fn set_up(room: &Room, link: &str, up: bool) -> Result<(), Error> {
    let builder = LinkUnspec::new_with_index(index(room, link).await?);
    let message = if up { builder.up() } else { builder.down() }.build();
    let doing = format!("setting {link} in {} {}", room.name(), if up { "up" } else { "down" });
    room.netlink().link().set(message).execute().await.map_err(Error::net(doing))
}

/// Adds an address; that it is there already is no error.
pub(crate) async fn add_address(room: &Room, link: &str, address: IpAddr, length: u8) -> Result<(), Error> {
    let index = index(room, link).await?;
    let mut request = room.netlink().address().add(index, address, length).replace();
    if address.is_ipv6() {
        // Usable at once: duplicate detection would keep it tentative for a second.
        let message = request.message_mut();
        message.header.flags |= rtnetlink::packet_route::address::AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    let doing = format!("adding {address}/{length} to {link} in {}", room.name());
    request.execute().await.map_err(Error::net(doing))
}

/// The addresses of a link.
pub(crate) async fn addresses(room: &Room, link: &str) -> Result<BTreeSet<IpAddr>, Error> {
    let index = index(room, link).await?;
    let doing = format!("reading the addresses of {link} in {}", room.name());
    let request = room.netlink().address().get().set_link_index_filter(index);
    let found: Vec<_> = request.execute().try_collect().await.map_err(Error::net(doing))?;
    let attributes = found.into_iter().flat_map(|message| message.attributes);
    Ok(attributes
        .filter_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(address),
            _ => None,
        })
        .collect())
}

/// Removes an address; that it is gone already is no error.
pub(crate) async fn remove_address(room: &Room, link: &str, address: IpAddr) -> Result<(), Error> {
    let index = index(room, link).await?;
    let doing = format!("removing {address} from {link} in {}", room.name());
    let found: Vec<_> = room
        .netlink()
        .address()
        .get()
        .set_link_index_filter(index)
        .set_address_filter(address)
        .execute()
        .try_collect()
        .await
        .map_err(Error::net(doing.clone()))?;
    for message in found {
        room.netlink().address().del(message).execute().await.map_err(Error::net(doing.clone()))?;
    }
    Ok(())
}
