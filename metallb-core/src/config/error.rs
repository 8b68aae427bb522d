//! What can be wrong with a configuration object.

use std::fmt;
use std::net::IpAddr;

use super::duration::DurationError;
use super::input::SecretProblem;
use crate::addr::{AddressError, AddressRange};
use crate::facts::AddressOwner;
use crate::keys::{AdvertisementName, Family, PeerName, PoolName, ProfileName};
use crate::quote::{limited, quoted, remedy_for_interface, remedy_for_name};
use crate::select::SelectorError;

/// Kinds of configuration objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::exhaustive_enums, reason = "consumers map each to their own")]
pub enum Kind {
    /// `IPAddressPool`.
    Pool,
    /// `L2Advertisement`.
    L2Advertisement,
    /// `BGPAdvertisement`.
    BgpAdvertisement,
    /// `BGPPeer`.
    Peer,
    /// `Community`.
    Community,
    /// `BFDProfile`.
    BfdProfile,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pool => "IPAddressPool",
            Self::L2Advertisement => "L2Advertisement",
            Self::BgpAdvertisement => "BGPAdvertisement",
            Self::Peer => "BGPPeer",
            Self::Community => "Community",
            Self::BfdProfile => "BFDProfile",
        })
    }
}

/// One configuration object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a kind and a name")]
pub struct ObjectId {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Box<str>,
}

impl ObjectId {
    /// The object `name` of `kind`.
    pub fn new(kind: Kind, name: impl Into<Box<str>>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind, self.name)
    }
}

/// What of an object is in force although something is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum InForce {
    /// Nothing: the object is left out.
    Nothing,
    /// Its last good version.
    Previous,
    /// The object, except for the part that the error names.
    Partly,
    /// All of it; this is only a warning.
    Fully,
}

/// One thing that is wrong with one configuration object.
///
/// Reads `IPAddressPool "x": spec.addresses[1]: <what is wrong>; <remedy>`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The object.
    pub object: ObjectId,
    /// Path of the field as in the resource, e.g. `spec.addresses[1]`. Empty when it is the object as a whole.
    pub field: String,
    /// What is wrong.
    pub problem: Problem,
    /// What of the object is in force nevertheless.
    pub in_force: InForce,
}

impl ConfigError {
    /// An error that leaves the object out until told otherwise.
    pub fn new(object: ObjectId, field: impl Into<String>, problem: Problem) -> Self {
        Self { object, field: field.into(), problem, in_force: InForce::Nothing }
    }

    /// A warning: the object is in force.
    pub fn warning(object: ObjectId, field: impl Into<String>, problem: Problem) -> Self {
        Self { in_force: InForce::Fully, ..Self::new(object, field, problem) }
    }

    /// Stable word for conditions, events and metric labels.
    pub const fn reason(&self) -> &'static str {
        self.problem.reason()
    }

    /// True when the last good version of the object is in force.
    pub fn kept_previous(&self) -> bool {
        self.in_force == InForce::Previous
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problem.source()
    }
}

/// What is wrong. The text says what would help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The object could not be read at all.
    #[error("cannot be read: {}; correct the object", limited(.message))]
    Unreadable {
        /// What the reader said.
        message: Box<str>,
    },
    /// Two objects of one kind have one name.
    #[error("another {kind} has the same name; rename one")]
    DuplicateName {
        /// The kind.
        kind: Kind,
    },
    /// A field that must be given is not.
    #[error("is missing; {remedy}")]
    Missing {
        /// What to write.
        remedy: &'static str,
    },
    /// An address, range or CIDR is wrong.
    #[error("{0}")]
    Address(AddressError),
    /// A CIDR whose address is not its first.
    #[error("{} means {}-{}; write {range} to say so", quoted(.text), .range.first(), .range.last())]
    HostBits {
        /// As written.
        text: Box<str>,
        /// What it means.
        range: AddressRange,
    },
    /// An exclusion outside of the pool.
    #[error("{} is not in spec.addresses and excludes nothing; correct or remove it", quoted(.text))]
    ExcludesNothing {
        /// As written.
        text: Box<str>,
    },
    /// Addresses of the pool that visibly are somebody else's.
    #[error("{}", owned_text(.first, *.more))]
    Owned {
        /// The lowest of them, with their owners.
        first: Vec<(IpAddr, AddressOwner)>,
        /// How many there are besides.
        more: usize,
    },
    /// Two entries of one pool share addresses.
    #[error("overlaps with spec.addresses[{other}] ({}) of the same pool; remove one", limited(.other_text))]
    OverlapInside {
        /// Index of the other entry.
        other: usize,
        /// The other entry as written.
        other_text: Box<str>,
    },
    /// An entry shares addresses with an older pool.
    #[error(
        "overlaps with {other_text} of IPAddressPool \"{pool}\", which is older; remove the common addresses from one"
    )]
    OverlapWithPool {
        /// The older pool.
        pool: PoolName,
        /// Its entry.
        other_text: Box<str>,
    },
    /// A label selector is wrong.
    #[error("{0}")]
    Selector(SelectorError),
    /// A list has the same element twice.
    #[error("{} is listed twice; remove one", quoted(.text))]
    Duplicate {
        /// The element.
        text: Box<str>,
    },
    /// A number is out of its range.
    #[error("{value} is out of range; use {min} to {max}")]
    OutOfRange {
        /// As written.
        value: i64,
        /// Lowest allowed.
        min: i64,
        /// Highest allowed.
        max: i64,
    },
    /// A text is not what the field needs.
    #[error("{} is not {expected}", quoted(.text))]
    NotA {
        /// As written.
        text: Box<str>,
        /// What it should be, with an example.
        expected: &'static str,
    },
    /// A duration is wrong.
    #[error("{0}")]
    Duration(DurationError),
    /// The hold time is neither 0 nor 3 s to 65535 s.
    #[error("a hold time of {seconds} s is not allowed; use 0s, or 3s to 65535s")]
    HoldTime {
        /// Whole seconds.
        seconds: u64,
    },
    /// The keepalive interval does not fit the hold time.
    #[error("keepalive {keepalive} s does not fit hold time {hold} s; use at most the hold time")]
    KeepaliveTime {
        /// Whole seconds.
        keepalive: u64,
        /// Whole seconds.
        hold: u64,
    },
    /// A keepalive interval of zero beside a hold time.
    #[error(
        "0s would let the session expire: {seconds} s, a third of the hold time, is used; write 1s up to the hold time"
    )]
    KeepaliveDerived {
        /// What is used.
        seconds: u64,
    },
    /// Fractions of a second are dropped.
    #[error("fractions of a second are ignored: {seconds} s is used; write whole seconds")]
    Truncated {
        /// What is used.
        seconds: u64,
    },
    /// Two fields exclude each other.
    #[error("cannot be set together with {other}; remove one")]
    Exclusive {
        /// The other field.
        other: &'static str,
    },
    /// The fields do not make sense together.
    #[error("{0}")]
    Combination(Combination),
    /// The source address is not of the family of the peer address.
    #[error("is not of the family of peerAddress {peer}; use an address of the same family")]
    SourceFamily {
        /// The peer.
        peer: IpAddr,
    },
    /// The referenced password cannot be used.
    #[error("secret {} {}", quoted(.name), secret_problem(*.problem))]
    Secret {
        /// Name of the secret.
        name: Box<str>,
        /// Why.
        problem: SecretProblem,
    },
    /// The password is longer than the kernel takes.
    #[error("the password has {octets} octets; TCP-MD5 takes 1 to 80")]
    PasswordLength {
        /// Its length.
        octets: usize,
    },
    /// The password has a line break, which no router takes.
    #[error("the password contains a line break; remove it")]
    PasswordLineBreak,
    /// The password in a Secret ends with a line break.
    #[error(
        "the password in secret {} ends with a line break; it is used without: make the Secret of a text without one",
        quoted(.name)
    )]
    PasswordCut {
        /// Name of the secret.
        name: Box<str>,
    },
    /// The password in a Secret is empty.
    #[error(
        "the password in secret {} is empty: the session runs without password; write one or remove passwordSecret",
        quoted(.name)
    )]
    PasswordEmpty {
        /// Name of the secret.
        name: Box<str>,
    },
    /// An element of a list of names is empty.
    #[error("is an empty name and means nothing; remove the element")]
    EmptyName,
    /// An interface that no machine can have.
    #[error("{} can be no interface; {}", quoted(.name), remedy_for_interface(.name))]
    NoInterface {
        /// As written.
        name: Box<str>,
    },
    /// An older peer has the same session on every node this one selects.
    #[error(
        "BGPPeer \"{older}\" is older and has the same session on the same nodes; remove one or select other nodes"
    )]
    DuplicatePeer {
        /// The older peer.
        older: PeerName,
    },
    /// An older peer may have the same session on some nodes.
    #[error(
        "BGPPeer \"{older}\" is older and wins on nodes that both select; make the node selectors disjoint"
    )]
    OverlappingPeer {
        /// The older peer.
        older: PeerName,
    },
    /// A BFD profile does not exist.
    #[error("there is no BFDProfile \"{profile}\"; the session runs without BFD until it is created")]
    UnknownProfile {
        /// The profile.
        profile: ProfileName,
    },
    /// A pool does not exist.
    #[error("there is no IPAddressPool {}; {}", quoted(.pool.as_str()), remedy_for_name(.pool.as_str()))]
    UnknownPool {
        /// The pool.
        pool: PoolName,
    },
    /// A peer does not exist.
    #[error("there is no BGPPeer {}; {}", quoted(.peer.as_str()), remedy_for_name(.peer.as_str()))]
    UnknownPeer {
        /// The peer.
        peer: PeerName,
    },
    /// A community is neither a value nor a known name.
    #[error(
        "{} is not a community: write A:B (0 to 65535 each), large:A:B:C, or the name of an alias that a Community object defines",
        quoted(.text)
    )]
    UnknownCommunity {
        /// As written.
        text: Box<str>,
    },
    /// A community alias is defined elsewhere already.
    #[error("alias {} is already defined by Community {other:?}; rename one", quoted(.alias))]
    DuplicateAlias {
        /// The alias.
        alias: Box<str>,
        /// The object that defines it.
        other: Box<str>,
    },
    /// The aggregate would attract traffic for addresses that are not in the pool.
    #[error(
        "/{length} would announce more than {entry} of IPAddressPool \"{pool}\", which is not announced by it; use at least /{least}"
    )]
    AggregationTooShort {
        /// The aggregation length.
        length: u8,
        /// The entry as written.
        entry: Box<str>,
        /// The pool.
        pool: PoolName,
        /// The shortest length that is allowed.
        least: u8,
    },
    /// An older advertisement announces the same with another local preference.
    #[error(
        "BGPAdvertisement \"{older}\" is older and announces the {family} prefixes of IPAddressPool \"{pool}\" to the same peers with another localPref; make them equal or select different peers or nodes"
    )]
    LocalPrefConflict {
        /// The older advertisement.
        older: AdvertisementName,
        /// The pool that both announce.
        pool: PoolName,
        /// The family concerned.
        family: Family,
    },
}

impl Problem {
    /// Stable word for conditions, events and metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::DuplicateName { .. } => "duplicate_name",
            Self::Missing { .. } => "missing_field",
            Self::Address(_) => "invalid_address",
            Self::HostBits { .. } => "host_bits",
            Self::ExcludesNothing { .. } => "excludes_nothing",
            Self::Owned { .. } => "owned_by_others",
            Self::OverlapInside { .. } | Self::OverlapWithPool { .. } => "overlap",
            Self::Selector(_) => "invalid_selector",
            Self::Duplicate { .. } => "duplicate_element",
            Self::OutOfRange { .. } => "out_of_range",
            Self::NotA { .. } => "invalid_value",
            Self::Duration(_) => "invalid_duration",
            Self::HoldTime { .. } => "invalid_hold_time",
            Self::KeepaliveTime { .. } | Self::KeepaliveDerived { .. } => "invalid_keepalive_time",
            Self::Truncated { .. } => "truncated",
            Self::Exclusive { .. } => "exclusive_fields",
            Self::Combination(_) => "invalid_combination",
            Self::SourceFamily { .. } => "source_family_mismatch",
            Self::Secret { .. } => "unusable_secret",
            Self::PasswordLength { .. }
            | Self::PasswordLineBreak
            | Self::PasswordCut { .. }
            | Self::PasswordEmpty { .. } => "invalid_password",
            Self::EmptyName => "empty_name",
            Self::NoInterface { .. } => "invalid_interface",
            Self::DuplicatePeer { .. } | Self::OverlappingPeer { .. } => "duplicate_peer",
            Self::UnknownProfile { .. } => "unknown_bfd_profile",
            Self::UnknownPool { .. } => "unknown_pool",
            Self::UnknownPeer { .. } => "unknown_peer",
            Self::UnknownCommunity { .. } => "unknown_community",
            Self::DuplicateAlias { .. } => "duplicate_alias",
            Self::AggregationTooShort { .. } => "aggregation_too_short",
            Self::LocalPrefConflict { .. } => "local_pref_conflict",
        }
    }

    /// True when it points to an object that does not exist (yet).
    pub const fn is_missing_reference(&self) -> bool {
        matches!(
            self,
            Self::UnknownProfile { .. }
                | Self::UnknownPool { .. }
                | Self::UnknownPeer { .. }
                | Self::UnknownCommunity { .. }
                | Self::Secret { problem: SecretProblem::Missing, .. }
        )
    }
}

/// Fields that do not make sense together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Combination {
    /// `ebgpMultiHop` with an internal peer.
    #[error("is only for external peers, but the peer has our own AS number; remove it")]
    MultiHopInternal,
    /// `ebgpMultiHop` with a peer that turns out to be internal, by `dynamicASN` or by `localASN`.
    #[error("has no effect: the session is internal; remove it")]
    MultiHopWithoutEffect,
    /// An aggregation length with service selectors.
    #[error(
        "cannot be combined with serviceSelectors: an aggregate also covers services that are not selected; remove one"
    )]
    AggregationWithServiceSelectors,
}

const fn secret_problem(problem: SecretProblem) -> &'static str {
    match problem {
        SecretProblem::Missing => "does not exist; create it",
        SecretProblem::WrongType => "is not of type kubernetes.io/basic-auth; create it with that type",
        SecretProblem::NoPassword => "has no key \"password\"; add it",
        SecretProblem::NotText => "holds a password that is not UTF-8 text; use text",
    }
}

fn owned_text(first: &[(IpAddr, AddressOwner)], more: usize) -> String {
    let named: Vec<String> = first.iter().map(|(address, owner)| format!("{address} ({owner})")).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "the pool contains addresses of others: {}{more}; services do not get them; list them in spec.excludeAddresses \
         or take them out of the pool",
        named.join(", ")
    )
}
