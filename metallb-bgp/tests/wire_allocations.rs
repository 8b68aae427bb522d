//! Packing into a buffer that is large enough, and judging and reading a table, take nothing from the allocator.

#![expect(clippy::unwrap_used, unsafe_code, reason = "tests; an allocator that counts has to be one")]

#[path = "support/allocations.rs"]
mod allocations;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use metallb_bgp::types::{AsPath, Asn, AsnWidth, Attributes, Families, Family, PeerKind};
use metallb_bgp::wire::header::{Framer, MessageLimit};
use metallb_bgp::wire::pack::{Announcements, AttributeBlock, PathEncoding, Withdrawals};
use metallb_bgp::wire::update::{Action, UpdateContext, UpdateView};

use allocations::allocations;

fn table(family: Family) -> Vec<IpNetwork> {
    let prefix = |i: u32| match family {
        Family::Ipv4Unicast => Ipv4Network::new(Ipv4Addr::from_bits(i << 4), 28).unwrap().into(),
        Family::Ipv6Unicast => Ipv6Network::new(Ipv6Addr::from_bits(u128::from(i)), 128).unwrap().into(),
    };
    (0..10_000).map(prefix).collect()
}

fn block(family: Family) -> AttributeBlock {
    let next_hop: IpAddr = match family {
        Family::Ipv4Unicast => Ipv4Addr::new(192, 0, 2, 1).into(),
        Family::Ipv6Unicast => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let mut attributes = Attributes::originate(next_hop.into());
    attributes.as_path = AsPath::sequence([Asn::new(64513)]);
    let encoding = PathEncoding { peer: PeerKind::External, asn_width: AsnWidth::Four };
    AttributeBlock::encode(&attributes, family, encoding).unwrap()
}

#[test]
fn packing_and_judging_a_table_do_not_allocate() {
    let context = UpdateContext::new(PeerKind::External, Asn::new(64513), AsnWidth::Four, Families::BOTH);
    for family in Family::ALL {
        let (table, block) = (table(family), block(family));
        let mut out = Vec::with_capacity(1 << 20);
        let packing = allocations(|| {
            let mut messages = Announcements::new(&block, &table, MessageLimit::Standard);
            while messages.write_next(&mut out).unwrap() > 0 {}
            let mut messages = Withdrawals::new(family, &table, MessageLimit::Standard);
            while messages.write_next(&mut out).unwrap() > 0 {}
        });
        assert_eq!(packing, 0, "{family}");
        let mut framer = Framer::new();
        let (mut announced, mut withdrawn) = (0, 0);
        let judging = allocations(|| {
            let mut stream: &[u8] = &out;
            while let Some(frame) = framer.next_frame(&mut stream).unwrap() {
                let classified = UpdateView::parse(frame).unwrap().classify(&context);
                assert_eq!(classified.action(), Action::Accept);
                announced += classified.reach().map(|reach| reach.prefixes.count()).sum::<usize>();
                withdrawn += classified.withdrawn().count();
            }
        });
        assert_eq!((judging, announced, withdrawn), (0, table.len(), table.len()), "{family}");
    }
}

// req: H5
#[test]
fn a_split_stream_costs_one_allocation_of_at_most_the_largest_message() {
    let (table, block) = (table(Family::Ipv4Unicast), block(Family::Ipv4Unicast));
    let mut out = Vec::with_capacity(1 << 20);
    let mut messages = Announcements::new(&block, &table, MessageLimit::Standard);
    while messages.write_next(&mut out).unwrap() > 0 {}
    let mut framer = Framer::new();
    let mut count = 0;
    let reading = allocations(|| {
        for mut piece in out.chunks(1000) {
            while framer.next_frame(&mut piece).unwrap().is_some() {
                count += 1;
            }
        }
    });
    assert!(count > 10 && reading <= 4, "{reading} allocations for {count} messages");
}
