//! BGP communities as values.

use std::fmt;

use super::error::Problem;

/// A BGP community. Ordered as they stand in an UPDATE: standard ones first, each kind by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::exhaustive_enums, reason = "a speaker that ignored one would announce the wrong routes")]
pub enum Community {
    /// RFC 1997: AS number in the upper half, value in the lower.
    Standard(u32),
    /// RFC 8092: global administrator and two local data parts.
    Large(u32, u32, u32),
}

impl Community {
    /// Reads `A:B`, `large:A:B:C` or a well-known name; `None` when it is none of these.
    ///
    /// Well-known names are those of the IANA registry that MetalLB's users may want: `no-export`, `no-advertise`,
    /// `local-as`, `no-peer`, `graceful-shutdown`, `blackhole`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((_, value)) = WELL_KNOWN.iter().find(|(name, _)| *name == text) {
            return Some(Self::Standard(*value));
        }
        if let Some(parts) = text.strip_prefix("large:") {
            let mut parts = parts.split(':').map(decimal::<u32>);
            let community = Self::Large(parts.next()??, parts.next()??, parts.next()??);
            return parts.next().is_none().then_some(community);
        }
        let (upper, lower) = text.split_once(':')?;
        Some(Self::Standard(u32::from(decimal::<u16>(upper)?) << 16 | u32::from(decimal::<u16>(lower)?)))
    }

    /// As [`Community::parse`], with the error of a configuration.
    pub(crate) fn parse_value(text: &str) -> Result<Self, Problem> {
        Self::parse(text).ok_or_else(|| Problem::NotA {
            text: text.into(),
            expected: "a community; write A:B with 0 to 65535 each, or large:A:B:C",
        })
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(value) => write!(f, "{}:{}", value >> 16, value & 0xffff),
            Self::Large(a, b, c) => write!(f, "large:{a}:{b}:{c}"),
        }
    }
}

/// Digits only: `str::parse` would also take a plus sign.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// <https://www.iana.org/assignments/bgp-well-known-communities>
const WELL_KNOWN: [(&str, u32); 6] = [
    ("graceful-shutdown", 0xffff_0000),
    ("blackhole", 0xffff_029a),
    ("no-export", 0xffff_ff01),
    ("no-advertise", 0xffff_ff02),
    ("local-as", 0xffff_ff03),
    ("no-peer", 0xffff_ff04),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_well_known_names_are_read_and_written() {
        assert_eq!(Community::parse("65535:65281"), Community::parse("no-export"));
        assert_eq!(Community::parse("1:2"), Some(Community::Standard(0x0001_0002)));
        assert_eq!(Community::parse("large:4294967295:0:7"), Some(Community::Large(u32::MAX, 0, 7)));
        for text in ["0:0", "65535:65535", "large:1:2:3"] {
            assert_eq!(Community::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_community_is_refused() {
        for text in
            ["", "1", "1:2:3", "65536:1", "1:65536", "+1:2", "large:1:2", "large:1:2:3:4", "a:b", ":", "1: 2"]
        {
            assert_eq!(Community::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn standard_communities_sort_before_large_ones() {
        assert!(Community::Standard(u32::MAX) < Community::Large(0, 0, 0));
    }
}
