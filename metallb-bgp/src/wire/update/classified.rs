//! A judged UPDATE: what to do, and the routes and attributes that remain.

use std::net::Ipv4Addr;

use ipnetwork::IpNetwork;

use super::attribute::RawAttributes;
use super::fault::{Action, Fault, UpdateError};
use super::nlri::Prefixes;
use super::path;
use crate::types::{
    AfiSafi, Aggregator, AsPath, Asn, AsnWidth, Attributes, Community, ExtendedCommunity, Families, Family,
    Ipv6ExtendedCommunity, LargeCommunity, NextHop, Origin, OtherAttribute,
};
use crate::wire::iana;

/// An UPDATE after its judgement.
///
/// The accessors already apply the judgement: routes of a message that is treated as withdrawal are found in
/// [`Classified::withdrawn`], and a message that resets the session has no routes at all.
#[derive(Clone, Debug)]
pub struct Classified<'a> {
    pub(super) action: Action,
    pub(super) fault: Option<Fault>,
    /// The attribute the fault is about; empty if none.
    pub(super) culprit: &'a [u8],
    /// Some fault asks for treat-as-withdraw.
    pub(super) withdraw: bool,
    pub(super) disabled: Families,
    pub(super) end_of_rib: Option<AfiSafi>,
    /// The Withdrawn Routes and NLRI fields.
    pub(super) body: [Prefixes<'a>; 2],
    pub(super) reach: Option<(Option<NextHop>, Prefixes<'a>)>,
    pub(super) unreach: Option<Prefixes<'a>>,
    pub(super) accepted: Accepted<'a>,
    pub(super) attributes: &'a [u8],
    asn_width: AsnWidth,
}

/// Routes of one family with their next hop.
#[derive(Clone, Debug)]
pub struct Reach<'a> {
    /// Where they lead.
    pub next_hop: NextHop,
    /// Their prefixes.
    pub prefixes: Prefixes<'a>,
}

impl<'a> Classified<'a> {
    pub(super) fn new(asn_width: AsnWidth) -> Self {
        Self {
            action: Action::Accept,
            fault: None,
            culprit: &[],
            withdraw: false,
            disabled: Families::EMPTY,
            end_of_rib: None,
            body: [Prefixes::empty(Family::Ipv4Unicast), Prefixes::empty(Family::Ipv4Unicast)],
            reach: None,
            unreach: None,
            accepted: Accepted::default(),
            attributes: &[],
            asn_width,
        }
    }

    /// What has to be done: the strongest that any fault asks for.
    pub const fn action(&self) -> Action {
        self.action
    }

    /// The first of the faults that ask for [`Classified::action`], `None` when the message is clean.
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// The error that ends the session, if it has to end.
    pub fn error(&self) -> Option<UpdateError> {
        let fault = self.fault.filter(|_| self.action == Action::ResetSession)?;
        let code;
        let data = match fault.subcode() {
            iana::UPDATE_MISSING_WELL_KNOWN => {
                code = [match fault {
                    Fault::Missing(code) => code,
                    _ => 0,
                }];
                &code[..]
            }
            iana::UPDATE_MALFORMED_ATTRIBUTE_LIST
            | iana::UPDATE_INVALID_NETWORK
            | iana::UPDATE_MALFORMED_AS_PATH => &[],
            _ => self.culprit,
        };
        Some(UpdateError::new(fault, data))
    }

    /// Families whose routes have to be ignored from now on, when the action is [`Action::DisableFamily`].
    pub const fn disabled_families(&self) -> Families {
        self.disabled
    }

    /// The family whose End-of-RIB marker this is (RFC 4724 §2).
    pub const fn end_of_rib(&self) -> Option<AfiSafi> {
        self.end_of_rib
    }

    /// The announced routes, at most one group of each form.
    pub fn reach(&self) -> impl Iterator<Item = Reach<'a>> + use<'a> {
        let body = self.accepted.next_hop().map(|next_hop| (next_hop, self.announced_body()));
        let multiprotocol = self.reach.clone().and_then(|(next_hop, prefixes)| Some((next_hop?, prefixes)));
        let groups = [body, multiprotocol];
        let usable = !self.withdraw && self.action != Action::ResetSession;
        let reach = move |(next_hop, prefixes)| Reach { next_hop, prefixes };
        groups.into_iter().flatten().filter(move |(_, prefixes)| usable && prefixes.len() != 0).map(reach)
    }

    /// The withdrawn prefixes, and the announced ones when they are treated as withdrawn.
    pub fn withdrawn(&self) -> impl Iterator<Item = IpNetwork> + use<'a> {
        let [withdrawn, _] = self.body.clone();
        let announced = self.withdraw.then(|| self.announced_body());
        let reach = self.reach.clone().filter(|_| self.withdraw).map(|(_, prefixes)| prefixes);
        let usable = self.action != Action::ResetSession;
        let groups = [Some(withdrawn), self.unreach.clone(), announced, reach];
        groups.into_iter().flatten().filter(move |_| usable).flatten()
    }

    /// The attributes of the routes with next hop `next_hop` (see [`Reach::next_hop`]).
    ///
    /// Allocates only for lists that are not empty. Paths of OLD peers are rebuilt from AS4_PATH (RFC 6793 §4.2.3).
    pub fn attributes(&self, next_hop: NextHop) -> Attributes {
        let accepted = &self.accepted;
        let (as_path, aggregator) = accepted.path_and_aggregator(self.asn_width);
        let mut attributes = Attributes {
            origin: accepted.origin(),
            as_path,
            next_hop,
            med: accepted.med.and_then(number),
            local_pref: accepted.local_pref.and_then(number),
            atomic_aggregate: accepted.atomic_aggregate,
            aggregator,
            communities: list(accepted.communities, |octets| Community(u32::from_be_bytes(octets))),
            originator_id: accepted.originator_id.and_then(number).map(Ipv4Addr::from_bits),
            cluster_list: list(accepted.cluster_list, |octets: [u8; 4]| Ipv4Addr::from(octets)),
            extended_communities: list(accepted.extended_communities, ExtendedCommunity),
            ipv6_extended_communities: list(accepted.ipv6_extended_communities, Ipv6ExtendedCommunity),
            large_communities: list(accepted.large_communities, large_community),
            other: self.other(),
        };
        attributes.normalize();
        attributes
    }

    /// Optional transitive attributes that are not known, the first of each code.
    fn other(&self) -> Vec<OtherAttribute> {
        let unknown = RawAttributes::new(self.attributes).filter_map(Result::ok).filter(|attribute| {
            let known = iana::is_known_attribute(attribute.code());
            !known && attribute.is_optional() && attribute.is_transitive()
        });
        let other = |code, value: &[u8]| OtherAttribute { code, value: value.to_vec() };
        unknown.map(|attribute| other(attribute.code(), attribute.value())).collect()
    }

    fn announced_body(&self) -> Prefixes<'a> {
        let [_, announced] = self.body.clone();
        announced
    }
}

/// The values of the attributes that were accepted.
#[derive(Clone, Debug, Default)]
pub(super) struct Accepted<'a> {
    origin: Option<&'a [u8]>,
    as_path: Option<&'a [u8]>,
    next_hop: Option<&'a [u8]>,
    med: Option<&'a [u8]>,
    local_pref: Option<&'a [u8]>,
    atomic_aggregate: bool,
    aggregator: Option<&'a [u8]>,
    communities: Option<&'a [u8]>,
    originator_id: Option<&'a [u8]>,
    cluster_list: Option<&'a [u8]>,
    extended_communities: Option<&'a [u8]>,
    as4_path: Option<&'a [u8]>,
    as4_aggregator: Option<&'a [u8]>,
    ipv6_extended_communities: Option<&'a [u8]>,
    large_communities: Option<&'a [u8]>,
}

impl<'a> Accepted<'a> {
    pub(super) fn keep(&mut self, code: u8, value: &'a [u8]) {
        let field = match code {
            iana::ATTR_ORIGIN => &mut self.origin,
            iana::ATTR_AS_PATH => &mut self.as_path,
            iana::ATTR_NEXT_HOP => &mut self.next_hop,
            iana::ATTR_MED => &mut self.med,
            iana::ATTR_LOCAL_PREF => &mut self.local_pref,
            iana::ATTR_ATOMIC_AGGREGATE => {
                self.atomic_aggregate = true;
                return;
            }
            iana::ATTR_AGGREGATOR => &mut self.aggregator,
            iana::ATTR_COMMUNITIES => &mut self.communities,
            iana::ATTR_ORIGINATOR_ID => &mut self.originator_id,
            iana::ATTR_CLUSTER_LIST => &mut self.cluster_list,
            iana::ATTR_EXTENDED_COMMUNITIES => &mut self.extended_communities,
            iana::ATTR_AS4_PATH => &mut self.as4_path,
            iana::ATTR_AS4_AGGREGATOR => &mut self.as4_aggregator,
            iana::ATTR_IPV6_EXTENDED_COMMUNITIES => &mut self.ipv6_extended_communities,
            iana::ATTR_LARGE_COMMUNITIES => &mut self.large_communities,
            _ => return,
        };
        *field = Some(value);
    }

    fn next_hop(&self) -> Option<NextHop> {
        self.next_hop.and_then(number).map(Ipv4Addr::from_bits).map(NextHop::V4)
    }

    fn origin(&self) -> Origin {
        match self.origin {
            Some([iana::ORIGIN_IGP]) => Origin::Igp,
            Some([iana::ORIGIN_EGP]) => Origin::Egp,
            _ => Origin::Incomplete,
        }
    }

    /// AS_PATH and AGGREGATOR, completed by AS4_PATH and AS4_AGGREGATOR (RFC 6793 §4.2.3).
    fn path_and_aggregator(&self, width: AsnWidth) -> (AsPath, Option<Aggregator>) {
        let path = path::value(self.as_path.unwrap_or_default(), width);
        let aggregator = self.aggregator.and_then(|value| read_aggregator(value, width));
        let as4_aggregator = self.as4_aggregator.and_then(|value| read_aggregator(value, AsnWidth::Four));
        if aggregator.is_some_and(|aggregator| aggregator.asn != Asn::TRANS) && as4_aggregator.is_some() {
            return (path, aggregator);
        }
        let path = match self.as4_path {
            Some(as4_path) => path::merge(path, path::value(as4_path, AsnWidth::Four)),
            None => path,
        };
        (path, aggregator.map(|aggregator| as4_aggregator.unwrap_or(aggregator)))
    }
}

fn read_aggregator(value: &[u8], width: AsnWidth) -> Option<Aggregator> {
    let (asn, address) = match width {
        AsnWidth::Two => {
            let (asn, address) = value.split_first_chunk()?;
            (u32::from(u16::from_be_bytes(*asn)), address)
        }
        AsnWidth::Four => {
            let (asn, address) = value.split_first_chunk()?;
            (u32::from_be_bytes(*asn), address)
        }
    };
    Some(Aggregator { asn: Asn::new(asn), address: number(address).map(Ipv4Addr::from_bits)? })
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().copied().map(u32::from_be_bytes)
}

fn list<T, const N: usize>(value: Option<&[u8]>, item: fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = value.unwrap_or_default().as_chunks::<N>();
    chunks.iter().map(|octets| item(*octets)).collect()
}

fn large_community(octets: [u8; 12]) -> LargeCommunity {
    let mut fields = octets.as_chunks::<4>().0.iter().map(|field| u32::from_be_bytes(*field));
    let mut next = || fields.next().unwrap_or_default();
    LargeCommunity::new(next(), next(), next())
}
