//! Names of things, each with a type of its own.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

/// Declares a name: a cheap-to-clone, immutable text that cannot be confused with another kind of name.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(from = "String", into = "String"))]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the name as it is written; names are compared byte by byte.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(name.into())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().into()
            }
        }
    };
}

name! {
    /// Name of an address pool (an `IPAddressPool` object).
    PoolName
}
name! {
    /// Name of a node of the cluster.
    NodeName
}
name! {
    /// Name of a BGP peer (a `BGPPeer` object).
    PeerName
}
name! {
    /// Name of a BFD profile (a `BFDProfile` object).
    ProfileName
}
name! {
    /// Name of an advertisement (an `L2Advertisement` or a `BGPAdvertisement` object).
    AdvertisementName
}
name! {
    /// Name of a network interface of a node.
    InterfaceName
}
name! {
    /// Name of a namespace.
    NamespaceName
}
name! {
    /// Services with equal sharing keys may hold the same address (`metallb.io/allow-shared-ip`).
    SharingKey
}

/// A service: its namespace and its name. Ordered by namespace, then by name.
///
/// One allocation of memory and one pointer wide, because an allocator may hold a million of them.
#[derive(Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "(String, String)", into = "(String, String)"))]
pub struct ServiceKey {
    /// `namespace/name`. Where the first slash is not the one between the two, or the text would be taken for such a
    /// case, `\0`, the length of the namespace and another `\0` stand behind it.
    text: Arc<str>,
}

impl ServiceKey {
    /// The service `name` in `namespace`. Any text will do, and different parts give different keys, whatever slashes
    /// they contain.
    pub fn new(namespace: impl AsRef<str>, name: impl AsRef<str>) -> Self {
        let (namespace, name) = (namespace.as_ref(), name.as_ref());
        let text = if namespace.contains('/') || name.ends_with('\0') {
            format!("{namespace}/{name}\0{}\0", namespace.len())
        } else {
            format!("{namespace}/{name}")
        };
        Self { text: text.into() }
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.parts().0
    }

    /// The bare name.
    pub fn name(&self) -> &str {
        self.parts().1
    }

    /// `namespace/name`. For people: keys are told apart by the keys themselves, not by this text.
    pub fn as_str(&self) -> &str {
        self.marked().map_or(&self.text, |(text, _)| text)
    }

    fn parts(&self) -> (&str, &str) {
        let (text, length) = match self.marked() {
            None => (self.text.as_ref(), self.text.find('/')),
            Some((text, length)) => (text, length.parse().ok()),
        };
        let parts = length.and_then(|length| Some((text.get(..length)?, text.get(length + 1..)?)));
        parts.unwrap_or(("", text))
    }

    /// The text without what is appended to it, and the length of the namespace, when something is appended.
    fn marked(&self) -> Option<(&str, &str)> {
        self.text.strip_suffix('\0')?.rsplit_once('\0')
    }
}

impl PartialEq for ServiceKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ServiceKey {}

impl Hash for ServiceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialOrd for ServiceKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ServiceKey {
    /// The order of `(namespace, name)`, without taking the text apart: where two texts part within the namespace, the
    /// slash that ends one of them counts as less than anything.
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.text, &other.text) {
            return Ordering::Equal;
        }
        if self.text.ends_with('\0') || other.text.ends_with('\0') {
            return self.parts().cmp(&other.parts());
        }
        let (a, b) = (self.text.as_bytes(), other.text.as_bytes());
        // Names of one cluster begin alike: eight octets at a time up to where they part.
        let (blocks, others) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        let alike = 8 * blocks.iter().zip(others).take_while(|(x, y)| x == y).count();
        let Some((at, (x, y))) = a.iter().zip(b).enumerate().skip(alike).find(|(_, (x, y))| x != y) else {
            return a.len().cmp(&b.len());
        };
        let within_namespace = || a.iter().take(at).all(|octet| *octet != b'/');
        match (x, y) {
            (b'/', _) if within_namespace() => Ordering::Less,
            (_, b'/') if within_namespace() => Ordering::Greater,
            _ => x.cmp(y),
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl From<(String, String)> for ServiceKey {
    fn from((namespace, name): (String, String)) -> Self {
        Self::new(namespace, name)
    }
}

impl From<ServiceKey> for (String, String) {
    fn from(key: ServiceKey) -> Self {
        (key.namespace().to_owned(), key.name().to_owned())
    }
}

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// Length of an address in bits.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Transport protocol of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// A port of a service as the outside world sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::exhaustive_structs, reason = "a port is a protocol and a number")]
pub struct Port {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Port number.
    pub number: u16,
}

impl Port {
    /// Port `number` of `protocol`.
    pub const fn new(protocol: Protocol, number: u16) -> Self {
        Self { protocol, number }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.protocol, self.number)
    }
}

/// When an object was created, in seconds since the Unix epoch. Only the order matters: the older object wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::exhaustive_structs, reason = "a number with a meaning")]
pub struct Created(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_ordered_by_namespace_then_name() {
        let mut keys = [
            ServiceKey::new("a-b", "x"),
            ServiceKey::new("a", "z"),
            ServiceKey::new("a", "b"),
            ServiceKey::new("b", "a"),
        ];
        keys.sort();
        let texts: Vec<&str> = keys.iter().map(ServiceKey::as_str).collect();
        assert_eq!(texts, ["a/b", "a/z", "a-b/x", "b/a"]);
    }

    #[test]
    fn the_order_of_texts_is_that_of_their_parts() {
        let parts = [
            "",
            "!",
            "a",
            "a!",
            "a/",
            "a/b",
            "a/b/",
            "a-b",
            "a\0",
            "ab",
            "b",
            "long-name",
            "long-name!",
            "long-name-of-a-space",
        ];
        let names = [
            "",
            "!",
            "a",
            "a!b",
            "a/b",
            "a-b",
            "ab",
            "x\0",
            "x\x003\0",
            "service-1",
            "service-10000001",
            "service-10000002",
        ];
        let all = || parts.iter().flat_map(|namespace| names.iter().map(move |name| (*namespace, *name)));
        for (a, b) in all().flat_map(|a| all().map(move |b| (a, b))) {
            let order = ServiceKey::new(a.0, a.1).cmp(&ServiceKey::new(b.0, b.1));
            assert_eq!(order, a.cmp(&b), "{a:?} and {b:?}");
        }
    }

    #[test]
    fn different_parts_are_different_keys_and_come_back_as_they_were() {
        let texts =
            ["", "a", "a/b", "a_b", "b/c", "/", "a/", "\0", "x\x003\0", "a\x001\0", "/\0", "0\0", "é/ü"];
        let all: Vec<(&str, &str)> = texts.iter().flat_map(|a| texts.iter().map(move |b| (*a, *b))).collect();
        let keys: std::collections::BTreeSet<ServiceKey> =
            all.iter().map(|(namespace, name)| ServiceKey::new(namespace, name)).collect();
        let hashed: std::collections::HashSet<&ServiceKey> = keys.iter().collect();
        assert_eq!((keys.len(), hashed.len()), (all.len(), all.len()));
        for (namespace, name) in all {
            let key = ServiceKey::new(namespace, name);
            assert_eq!((key.namespace(), key.name()), (namespace, name));
            assert_eq!(key.to_string(), format!("{namespace}/{name}"));
        }
    }
}
