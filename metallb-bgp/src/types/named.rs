//! A BGP identifier for a speaker that has no IPv4 address: made of its name.

use std::net::Ipv4Addr;

use super::RouterId;

/// The identifier that follows from a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedRouterId {
    /// What to use.
    pub id: RouterId,
    /// What the rule gives, where that is no address a host can have, and `id` therefore another: routers that do not
    /// know RFC 6286 refuse such an identifier with 2/3.
    pub folded_from: Option<Ipv4Addr>,
}

impl RouterId {
    /// MetalLB's rule: the CRC-32 of the name, its least significant octet first. A value outside of what hosts can
    /// have (0/8, 127/8, 224/3) is folded into it.
    #[must_use]
    pub fn of_name(name: &str) -> NamedRouterId {
        let [first, second, third, fourth] = crc32(name.as_bytes()).to_le_bytes();
        let folded = match first & 0x7f {
            // Only the classes from 224 on lose their highest bit.
            _ if (1..=126).contains(&first) || (128..=223).contains(&first) => first,
            0 => 1,
            127 => 126,
            low => low,
        };
        let exact = Ipv4Addr::new(first, second, third, fourth);
        let id = Self(Ipv4Addr::new(folded, second, third, fourth));
        NamedRouterId { id, folded_from: (folded != first).then_some(exact) }
    }
}

/// CRC-32 (IEEE 802.3, reflected), as Go's `crc32.ChecksumIEEE`.
fn crc32(octets: &[u8]) -> u32 {
    !octets.iter().fold(u32::MAX, |crc, &octet| {
        (0..8).fold(crc ^ u32::from(octet), |crc, _| {
            let carry = crc & 1;
            (crc >> 1) ^ (0xEDB8_8320 * carry)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_has_the_standards_check_value() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    // req: I1
    #[test]
    fn a_name_gives_the_identifier_that_metallb_gives() {
        let of = |name| RouterId::of_name(name);
        assert_eq!(of("node1").id.to_string(), "64.37.239.133");
        assert_eq!(of("node1").folded_from, None);
    }

    // req: !I1
    #[test]
    fn what_no_host_can_have_is_folded_and_says_so() {
        let mut folded = 0;
        for number in 0..4096 {
            let named = RouterId::of_name(&format!("worker-{number}"));
            let octets = named.id.address().octets();
            assert!((1..=126).contains(&octets[0]) || (128..=223).contains(&octets[0]), "{named:?}");
            let exact = crc32(format!("worker-{number}").as_bytes()).to_le_bytes();
            assert_eq!(named.folded_from.is_none(), octets == exact);
            assert_eq!(octets[1..], exact[1..]);
            folded += usize::from(named.folded_from.is_some());
        }
        assert!((300..900).contains(&folded), "about one in eight: {folded}");
    }
}
