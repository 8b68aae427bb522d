//! Code points assigned by IANA.
//!
//! Registries: <https://www.iana.org/assignments/bgp-parameters>,
//! <https://www.iana.org/assignments/capability-codes>,
//! <https://www.iana.org/assignments/address-family-numbers>,
//! <https://www.iana.org/assignments/safi-namespace>,
//! <https://www.iana.org/assignments/bgp-well-known-communities>.

/// The protocol version of every OPEN (RFC 4271 §4.2).
pub const BGP_VERSION: u8 = 4;

/// AFI of IPv4.
pub const AFI_IPV4: u16 = 1;
/// AFI of IPv6.
pub const AFI_IPV6: u16 = 2;
/// SAFI of unicast forwarding.
pub const SAFI_UNICAST: u8 = 1;

/// Message type OPEN.
pub const MSG_OPEN: u8 = 1;
/// Message type UPDATE.
pub const MSG_UPDATE: u8 = 2;
/// Message type NOTIFICATION.
pub const MSG_NOTIFICATION: u8 = 3;
/// Message type KEEPALIVE.
pub const MSG_KEEPALIVE: u8 = 4;
/// Message type ROUTE-REFRESH (RFC 2918).
pub const MSG_ROUTE_REFRESH: u8 = 5;

/// Optional parameter "Capabilities" (RFC 5492 §4).
pub const PARAM_CAPABILITIES: u8 = 2;
/// Optional parameter type 255: the parameters use the extended form (RFC 9072 §2).
pub const PARAM_EXTENDED_LENGTH: u8 = 255;

/// Capability: multiprotocol extensions (RFC 4760 §8).
pub const CAP_MULTIPROTOCOL: u8 = 1;
/// Capability: route refresh (RFC 2918).
pub const CAP_ROUTE_REFRESH: u8 = 2;
/// Capability: extended next hop encoding (RFC 8950 §4).
pub const CAP_EXTENDED_NEXT_HOP: u8 = 5;
/// Capability: extended message (RFC 8654).
pub const CAP_EXTENDED_MESSAGE: u8 = 6;
/// Capability: role (RFC 9234).
pub const CAP_ROLE: u8 = 9;
/// Role "Provider" (RFC 9234 §4.1).
pub const ROLE_PROVIDER: u8 = 0;
/// Role "RS": a route server.
pub const ROLE_ROUTE_SERVER: u8 = 1;
/// Role "RS-Client".
pub const ROLE_ROUTE_SERVER_CLIENT: u8 = 2;
/// Role "Customer".
pub const ROLE_CUSTOMER: u8 = 3;
/// Role "Peer".
pub const ROLE_PEER: u8 = 4;
/// Capability: graceful restart (RFC 4724).
pub const CAP_GRACEFUL_RESTART: u8 = 64;
/// Capability: four-octet AS numbers (RFC 6793).
pub const CAP_FOUR_OCTET_ASN: u8 = 65;
/// Capability: ADD-PATH (RFC 7911).
pub const CAP_ADD_PATH: u8 = 69;
/// Capability: enhanced route refresh (RFC 7313).
pub const CAP_ENHANCED_ROUTE_REFRESH: u8 = 70;
/// Capability: long-lived graceful restart (RFC 9494).
pub const CAP_LONG_LIVED_GRACEFUL_RESTART: u8 = 71;
/// Capability: FQDN (draft-walton-bgp-hostname-capability).
pub const CAP_FQDN: u8 = 73;
/// Capability: software version (draft-abraitis-bgp-version-capability).
pub const CAP_SOFTWARE_VERSION: u8 = 75;

/// Path attribute ORIGIN.
pub const ATTR_ORIGIN: u8 = 1;
/// Path attribute AS_PATH.
pub const ATTR_AS_PATH: u8 = 2;
/// Path attribute NEXT_HOP.
pub const ATTR_NEXT_HOP: u8 = 3;
/// Path attribute MULTI_EXIT_DISC.
pub const ATTR_MED: u8 = 4;
/// Path attribute LOCAL_PREF.
pub const ATTR_LOCAL_PREF: u8 = 5;
/// Path attribute ATOMIC_AGGREGATE.
pub const ATTR_ATOMIC_AGGREGATE: u8 = 6;
/// Path attribute AGGREGATOR.
pub const ATTR_AGGREGATOR: u8 = 7;
/// Path attribute COMMUNITIES (RFC 1997).
pub const ATTR_COMMUNITIES: u8 = 8;
/// Path attribute ORIGINATOR_ID (RFC 4456).
pub const ATTR_ORIGINATOR_ID: u8 = 9;
/// Path attribute CLUSTER_LIST (RFC 4456).
pub const ATTR_CLUSTER_LIST: u8 = 10;
/// Path attribute MP_REACH_NLRI (RFC 4760 §3).
pub const ATTR_MP_REACH: u8 = 14;
/// Path attribute MP_UNREACH_NLRI (RFC 4760 §4).
pub const ATTR_MP_UNREACH: u8 = 15;
/// Path attribute EXTENDED COMMUNITIES (RFC 4360).
pub const ATTR_EXTENDED_COMMUNITIES: u8 = 16;
/// Path attribute AS4_PATH (RFC 6793).
pub const ATTR_AS4_PATH: u8 = 17;
/// Path attribute AS4_AGGREGATOR (RFC 6793).
pub const ATTR_AS4_AGGREGATOR: u8 = 18;
/// Path attribute IPv6 Address Specific Extended Community (RFC 5701).
pub const ATTR_IPV6_EXTENDED_COMMUNITIES: u8 = 25;
/// Path attribute LARGE_COMMUNITY (RFC 8092).
pub const ATTR_LARGE_COMMUNITIES: u8 = 32;

/// Attribute flag "Optional": not every speaker knows it.
pub const FLAG_OPTIONAL: u8 = 0x80;
/// Attribute flag "Transitive": handed on by speakers that do not know it.
pub const FLAG_TRANSITIVE: u8 = 0x40;
/// Attribute flag "Partial": some speaker on the way did not know it.
pub const FLAG_PARTIAL: u8 = 0x20;
/// Attribute flag "Extended Length": the length has two octets.
pub const FLAG_EXTENDED_LENGTH: u8 = 0x10;

/// AS_PATH segment AS_SET.
pub const SEGMENT_SET: u8 = 1;
/// AS_PATH segment AS_SEQUENCE.
pub const SEGMENT_SEQUENCE: u8 = 2;
/// AS_PATH segment AS_CONFED_SEQUENCE (RFC 5065).
pub const SEGMENT_CONFED_SEQUENCE: u8 = 3;
/// AS_PATH segment AS_CONFED_SET (RFC 5065).
pub const SEGMENT_CONFED_SET: u8 = 4;

/// Error code: Message Header Error.
pub const ERR_HEADER: u8 = 1;
/// Error code: OPEN Message Error.
pub const ERR_OPEN: u8 = 2;
/// Error code: UPDATE Message Error.
pub const ERR_UPDATE: u8 = 3;
/// Error code: Hold Timer Expired.
pub const ERR_HOLD_TIMER: u8 = 4;
/// Error code: Finite State Machine Error.
pub const ERR_FSM: u8 = 5;
/// Error code: Cease.
pub const ERR_CEASE: u8 = 6;
/// Error code: ROUTE-REFRESH Message Error (RFC 7313).
pub const ERR_ROUTE_REFRESH: u8 = 7;
/// Error code: Send Hold Timer Expired (RFC 9687).
pub const ERR_SEND_HOLD_TIMER: u8 = 8;

/// Subcode for errors without a more exact one.
pub const SUB_UNSPECIFIC: u8 = 0;

/// Header error: Connection Not Synchronized.
pub const HEADER_NOT_SYNCHRONIZED: u8 = 1;
/// Header error: Bad Message Length.
pub const HEADER_BAD_LENGTH: u8 = 2;
/// Header error: Bad Message Type.
pub const HEADER_BAD_TYPE: u8 = 3;

/// OPEN error: Unsupported Version Number.
pub const OPEN_UNSUPPORTED_VERSION: u8 = 1;
/// OPEN error: Bad Peer AS.
pub const OPEN_BAD_PEER_AS: u8 = 2;
/// OPEN error: Bad BGP Identifier.
pub const OPEN_BAD_IDENTIFIER: u8 = 3;
/// OPEN error: Unsupported Optional Parameter.
pub const OPEN_UNSUPPORTED_PARAMETER: u8 = 4;
/// OPEN error: Unacceptable Hold Time.
pub const OPEN_UNACCEPTABLE_HOLD_TIME: u8 = 6;
/// OPEN error: Unsupported Capability (RFC 5492).
pub const OPEN_UNSUPPORTED_CAPABILITY: u8 = 7;
/// OPEN error: Role Mismatch (RFC 9234).
pub const OPEN_ROLE_MISMATCH: u8 = 11;

/// UPDATE error: Malformed Attribute List.
pub const UPDATE_MALFORMED_ATTRIBUTE_LIST: u8 = 1;
/// UPDATE error: Unrecognized Well-known Attribute.
pub const UPDATE_UNRECOGNIZED_WELL_KNOWN: u8 = 2;
/// UPDATE error: Missing Well-known Attribute.
pub const UPDATE_MISSING_WELL_KNOWN: u8 = 3;
/// UPDATE error: Attribute Flags Error.
pub const UPDATE_ATTRIBUTE_FLAGS: u8 = 4;
/// UPDATE error: Attribute Length Error.
pub const UPDATE_ATTRIBUTE_LENGTH: u8 = 5;
/// UPDATE error: Invalid ORIGIN Attribute.
pub const UPDATE_INVALID_ORIGIN: u8 = 6;
/// UPDATE error: Invalid NEXT_HOP Attribute.
pub const UPDATE_INVALID_NEXT_HOP: u8 = 8;
/// UPDATE error: Optional Attribute Error.
pub const UPDATE_OPTIONAL_ATTRIBUTE: u8 = 9;
/// UPDATE error: Invalid Network Field.
pub const UPDATE_INVALID_NETWORK: u8 = 10;
/// UPDATE error: Malformed AS_PATH.
pub const UPDATE_MALFORMED_AS_PATH: u8 = 11;

/// FSM error: Receive Unexpected Message in OpenSent State (RFC 6608).
pub const FSM_IN_OPEN_SENT: u8 = 1;
/// FSM error: Receive Unexpected Message in OpenConfirm State (RFC 6608).
pub const FSM_IN_OPEN_CONFIRM: u8 = 2;
/// FSM error: Receive Unexpected Message in Established State (RFC 6608).
pub const FSM_IN_ESTABLISHED: u8 = 3;

/// Cease: Maximum Number of Prefixes Reached (RFC 4486).
pub const CEASE_MAX_PREFIXES: u8 = 1;
/// Cease: Administrative Shutdown (RFC 4486, RFC 9003).
pub const CEASE_ADMIN_SHUTDOWN: u8 = 2;
/// Cease: Peer De-configured (RFC 4486).
pub const CEASE_PEER_DECONFIGURED: u8 = 3;
/// Cease: Administrative Reset (RFC 4486, RFC 9003).
pub const CEASE_ADMIN_RESET: u8 = 4;
/// Cease: Connection Rejected (RFC 4486).
pub const CEASE_CONNECTION_REJECTED: u8 = 5;
/// Cease: Other Configuration Change (RFC 4486).
pub const CEASE_OTHER_CONFIG_CHANGE: u8 = 6;
/// Cease: Connection Collision Resolution (RFC 4486).
pub const CEASE_COLLISION: u8 = 7;
/// Cease: Out of Resources (RFC 4486).
pub const CEASE_OUT_OF_RESOURCES: u8 = 8;
/// Cease: Hard Reset (RFC 8538).
pub const CEASE_HARD_RESET: u8 = 9;
/// Cease: BFD Down (RFC 9384).
pub const CEASE_BFD_DOWN: u8 = 10;

/// ROUTE-REFRESH error: Invalid Message Length (RFC 7313 §5).
pub const REFRESH_INVALID_LENGTH: u8 = 1;

/// ROUTE-REFRESH subtype: a plain request (RFC 2918).
pub const REFRESH_REQUEST: u8 = 0;
/// ROUTE-REFRESH subtype: beginning of a refresh, BoRR (RFC 7313).
pub const REFRESH_BEGIN: u8 = 1;
/// ROUTE-REFRESH subtype: end of a refresh, EoRR (RFC 7313).
pub const REFRESH_END: u8 = 2;

/// ORIGIN value IGP.
pub const ORIGIN_IGP: u8 = 0;
/// ORIGIN value EGP.
pub const ORIGIN_EGP: u8 = 1;
/// ORIGIN value INCOMPLETE.
pub const ORIGIN_INCOMPLETE: u8 = 2;

/// Whether this crate interprets path attributes with the type code `code`.
pub const fn is_known_attribute(code: u8) -> bool {
    attribute_flags(code).is_some()
}

/// The Optional and Transitive flags a known path attribute must have, `None` for an unknown one.
pub const fn attribute_flags(code: u8) -> Option<u8> {
    match code {
        ATTR_ORIGIN | ATTR_AS_PATH | ATTR_NEXT_HOP | ATTR_LOCAL_PREF | ATTR_ATOMIC_AGGREGATE => {
            Some(FLAG_TRANSITIVE)
        }
        ATTR_MED | ATTR_ORIGINATOR_ID | ATTR_CLUSTER_LIST | ATTR_MP_REACH | ATTR_MP_UNREACH => {
            Some(FLAG_OPTIONAL)
        }
        ATTR_AGGREGATOR
        | ATTR_COMMUNITIES
        | ATTR_EXTENDED_COMMUNITIES
        | ATTR_AS4_PATH
        | ATTR_AS4_AGGREGATOR
        | ATTR_IPV6_EXTENDED_COMMUNITIES
        | ATTR_LARGE_COMMUNITIES => Some(FLAG_OPTIONAL | FLAG_TRANSITIVE),
        _ => None,
    }
}
