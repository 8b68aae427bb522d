//! A place's routes, as its kernel has them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures::TryStreamExt;
use ipnetwork::IpNetwork;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType, RouteVia,
};
use rtnetlink::{RouteMessageBuilder, RouteNextHopBuilder};

use super::{Room, links};
use crate::error::Error;

/// Next hops per prefix.
pub(crate) type Table = BTreeMap<IpNetwork, BTreeSet<IpAddr>>;

/// Sends everything without a better route to `gateway`.
pub(crate) async fn add_default(room: &Room, gateway: IpAddr) -> Result<(), Error> {
    let message = match gateway {
        IpAddr::V4(gateway) => RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build(),
        IpAddr::V6(gateway) => RouteMessageBuilder::<Ipv6Addr>::new().gateway(gateway).build(),
    };
    let doing = format!("adding the default route by {gateway} in {}", room.name());
    room.netlink().route().add(message).execute().await.map_err(Error::net(doing))
}

/// Makes `prefix` a neighbour's: resolved by ARP or NDP on `eth0`.
pub(crate) async fn add_on_link(room: &Room, prefix: IpNetwork) -> Result<(), Error> {
    let index = links::index(room, "eth0").await?;
    let message = match prefix {
        IpNetwork::V4(net) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(net.network(), net.prefix())
            .output_interface(index)
            .scope(rtnetlink::packet_route::route::RouteScope::Link)
            .build(),
        IpNetwork::V6(net) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(net.network(), net.prefix())
            .output_interface(index)
            .build(),
    };
    let doing = format!("adding the route to {prefix} in {}", room.name());
    room.netlink().route().add(message).replace().execute().await.map_err(Error::net(doing))
}

/// Makes the kernel's BGP route for `prefix` exactly these next hops; none removes it.
pub(crate) async fn set_paths(
    room: &Room,
    link: u32,
    prefix: IpNetwork,
    next_hops: &BTreeSet<IpAddr>,
) -> Result<(), Error> {
    let doing = || format!("setting the route to {prefix} in {}", room.name());
    if next_hops.is_empty() {
        for message in bgp_routes(room).await? {
            if destination(&message) == Some(prefix) {
                room.netlink().route().del(message).execute().await.map_err(Error::net(doing()))?;
            }
        }
        return Ok(());
    }
    let mut hops = Vec::new();
    for next_hop in next_hops {
        let builder = match next_hop {
            IpAddr::V4(_) => RouteNextHopBuilder::new_ipv4(),
            IpAddr::V6(_) => RouteNextHopBuilder::new_ipv6(),
        };
        let hop = builder.interface(link).via(*next_hop).map_err(|error| Error::Router {
            router: "built-in router",
            reason: format!("next hop {next_hop}: {error}"),
        })?;
        hops.push(hop.build());
    }
    let message = match prefix {
        IpNetwork::V4(net) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(net.network(), net.prefix())
            .protocol(RouteProtocol::Bgp)
            .multipath(hops)
            .build(),
        IpNetwork::V6(net) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(net.network(), net.prefix())
            .protocol(RouteProtocol::Bgp)
            .multipath(hops)
            .build(),
    };
    room.netlink().route().add(message).replace().execute().await.map_err(Error::net(doing()))
}

/// The routes that a routing protocol put into the kernel's main table.
pub(crate) async fn learned(room: &Room) -> Result<Table, Error> {
    let mut table = Table::new();
    for message in bgp_routes(room).await? {
        if let Some(prefix) = destination(&message) {
            table.entry(prefix).or_default().extend(next_hops(&message));
        }
    }
    Ok(table)
}

async fn bgp_routes(room: &Room) -> Result<Vec<RouteMessage>, Error> {
    let mut found = Vec::new();
    for query in
        [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()]
    {
        let doing = format!("reading the routes of {}", room.name());
        let routes: Vec<RouteMessage> =
            room.netlink().route().get(query).execute().try_collect().await.map_err(Error::net(doing))?;
        found.extend(routes.into_iter().filter(|route| {
            route.header.table == RouteHeader::RT_TABLE_MAIN
                && route.header.kind == RouteType::Unicast
                // BIRD marks its routes as its own, whatever protocol they came from.
                && matches!(route.header.protocol, RouteProtocol::Bgp | RouteProtocol::Bird)
        }));
    }
    Ok(found)
}

fn destination(route: &RouteMessage) -> Option<IpNetwork> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(address) => plain(address),
        _ => None,
    })?;
    IpNetwork::new(address, route.header.destination_prefix_length).ok()
}

fn next_hops(route: &RouteMessage) -> Vec<IpAddr> {
    route
        .attributes
        .iter()
        .flat_map(|attribute| match attribute {
            RouteAttribute::MultiPath(hops) => {
                hops.iter().filter_map(|hop| gateway(&hop.attributes)).collect()
            }
            _ => Vec::new(),
        })
        .chain(gateway(&route.attributes))
        .collect()
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => plain(address),
        RouteAttribute::Via(RouteVia::Inet6(address)) => Some((*address).into()),
        RouteAttribute::Via(RouteVia::Inet(address)) => Some((*address).into()),
        _ => None,
    })
}

fn plain(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
