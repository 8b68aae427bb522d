//! A place's neighbour table: what its kernel resolved by ARP and NDP.

use std::net::IpAddr;

use futures::TryStreamExt;
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};

use super::{MacAddr, Room, links};
use crate::error::Error;

/// The hardware address that the kernel has for `address` on `eth0`, if it has one.
pub(crate) async fn lookup(room: &Room, address: IpAddr) -> Result<Option<MacAddr>, Error> {
    Ok(entries(room, address).await?.iter().find_map(|entry| {
        entry.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(octets) => MacAddr::from_slice(octets),
            _ => None,
        })
    }))
}

/// Forgets `address`, so that the next packet to it resolves it anew.
pub(crate) async fn forget(room: &Room, address: IpAddr) -> Result<(), Error> {
    for entry in entries(room, address).await? {
        let doing = format!("removing {address} from the neighbour table of {}", room.name());
        room.netlink().neighbours().del(entry).execute().await.map_err(Error::net(doing))?;
    }
    Ok(())
}

async fn entries(room: &Room, address: IpAddr) -> Result<Vec<NeighbourMessage>, Error> {
    let index = links::index(room, "eth0").await?;
    let doing = format!("reading the neighbour table of {}", room.name());
    let all: Vec<_> =
        room.netlink().neighbours().get().execute().try_collect().await.map_err(Error::net(doing))?;
    Ok(all
        .into_iter()
        .filter(|entry| entry.header.ifindex == index && destination(entry) == Some(address))
        .collect())
}

fn destination(entry: &NeighbourMessage) -> Option<IpAddr> {
    entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some((*address).into()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some((*address).into()),
        _ => None,
    })
}
