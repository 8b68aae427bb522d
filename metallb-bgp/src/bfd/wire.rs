//! The control packet (RFC 5880 §4.1).

use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets of a control packet without authentication.
pub const LENGTH: usize = 24;

/// The state of a session (RFC 5880 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Switched off by the operator.
    AdminDown,
    /// Nothing is heard, or the neighbour does not hear us.
    #[default]
    Down,
    /// The neighbour is heard; whether it hears us is not known.
    Init,
    /// Packets come and go.
    Up,
}

impl State {
    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        })
    }
}

/// Why a session left the state Up last (RFC 5880 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Diagnostic {
    /// 0.
    #[default]
    None,
    /// 1: no packet came for a whole detection time.
    DetectionTimeExpired,
    /// 2: echo packets did not come back.
    EchoFailed,
    /// 3: the neighbour's session is down.
    NeighborSignaledDown,
    /// 4: the forwarding plane was reset.
    ForwardingPlaneReset,
    /// 5: the path is down.
    PathDown,
    /// 6: a path that this one is part of is down.
    ConcatenatedPathDown,
    /// 7: switched off by the operator.
    AdministrativelyDown,
    /// 8: as 6, in the other direction.
    ReverseConcatenatedPathDown,
    /// 9 to 31, which have no meaning yet.
    Unknown(u8),
}

impl Diagnostic {
    const fn from_bits(bits: u8) -> Self {
        match bits & DIAGNOSTIC {
            0 => Self::None,
            1 => Self::DetectionTimeExpired,
            2 => Self::EchoFailed,
            3 => Self::NeighborSignaledDown,
            4 => Self::ForwardingPlaneReset,
            5 => Self::PathDown,
            6 => Self::ConcatenatedPathDown,
            7 => Self::AdministrativelyDown,
            8 => Self::ReverseConcatenatedPathDown,
            other => Self::Unknown(other),
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::None => 0,
            Self::DetectionTimeExpired => 1,
            Self::EchoFailed => 2,
            Self::NeighborSignaledDown => 3,
            Self::ForwardingPlaneReset => 4,
            Self::PathDown => 5,
            Self::ConcatenatedPathDown => 6,
            Self::AdministrativelyDown => 7,
            Self::ReverseConcatenatedPathDown => 8,
            Self::Unknown(other) => other & DIAGNOSTIC,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no diagnostic",
            Self::DetectionTimeExpired => "control detection time expired",
            Self::EchoFailed => "echo function failed",
            Self::NeighborSignaledDown => "neighbor signaled session down",
            Self::ForwardingPlaneReset => "forwarding plane reset",
            Self::PathDown => "path down",
            Self::ConcatenatedPathDown => "concatenated path down",
            Self::AdministrativelyDown => "administratively down",
            Self::ReverseConcatenatedPathDown => "reverse concatenated path down",
            Self::Unknown(other) => return write!(f, "unknown diagnostic {other}"),
        })
    }
}

/// The number by which one side knows a session; never zero (RFC 5880 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Discriminator(NonZeroU32);

impl Discriminator {
    /// The discriminator with this number; zero is none.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    pub const fn value(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Discriminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A control packet that obeys the rules of RFC 5880 §6.8.6 which need no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one bit of the packet")]
pub struct ControlPacket {
    /// Why the sender's session left Up last.
    pub diagnostic: Diagnostic,
    /// The state of the sender's session.
    pub state: State,
    /// P: an answer with F is wanted.
    pub poll: bool,
    /// F: this is the answer to a P.
    pub is_final: bool,
    /// C: the sender's BFD does not share the fate of its control plane.
    pub control_plane_independent: bool,
    /// A: the packet has an authentication section.
    pub authenticated: bool,
    /// D: the sender wants no periodic packets while both sides are up.
    pub demand: bool,
    /// After how many missing packets the sender is to be taken for dead.
    pub detect_multiplier: NonZeroU8,
    /// The sender's discriminator.
    pub my_discriminator: Discriminator,
    /// The receiver's discriminator, if the sender knows it.
    pub your_discriminator: Option<Discriminator>,
    /// The shortest interval at which the sender wants to send; whole microseconds.
    pub desired_min_tx: Duration,
    /// The shortest interval at which the sender can receive; zero wants no periodic packets.
    pub required_min_rx: Duration,
    /// The shortest interval of echo packets the sender takes; zero takes none.
    pub required_min_echo_rx: Duration,
}

impl ControlPacket {
    /// Reads the payload of a datagram; what follows the packet is ignored.
    ///
    /// # Errors
    /// [`Malformed`]: the first rule of RFC 5880 §6.8.6 that it breaks, in the order given there.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let (octets, _) =
            Octets::ref_from_prefix(payload).map_err(|_| Malformed::Truncated { octets: payload.len() })?;
        let version = octets.version_diagnostic >> 5;
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let flag = |bit| octets.state_flags & bit != 0;
        let least = if flag(AUTHENTICATION) { LENGTH_AUTHENTICATED } else { LENGTH };
        if usize::from(octets.length) < least {
            return Err(Malformed::Length(octets.length));
        }
        if usize::from(octets.length) > payload.len() {
            return Err(Malformed::Truncated { octets: payload.len() });
        }
        let detect_multiplier = NonZeroU8::new(octets.detect_multiplier).ok_or(Malformed::ZeroMultiplier)?;
        if flag(MULTIPOINT) {
            return Err(Malformed::Multipoint);
        }
        let my = Discriminator::new(octets.my_discriminator.get()).ok_or(Malformed::ZeroDiscriminator)?;
        let your = Discriminator::new(octets.your_discriminator.get());
        let state = State::from_bits(octets.state_flags >> 6);
        if your.is_none() && state > State::Down {
            return Err(Malformed::Unaddressed(state));
        }
        let micros = |value: U32| Duration::from_micros(u64::from(value.get()));
        Ok(Self {
            diagnostic: Diagnostic::from_bits(octets.version_diagnostic),
            state,
            poll: flag(POLL),
            is_final: flag(FINAL),
            control_plane_independent: flag(CONTROL_PLANE_INDEPENDENT),
            authenticated: flag(AUTHENTICATION),
            demand: flag(DEMAND),
            detect_multiplier,
            my_discriminator: my,
            your_discriminator: your,
            desired_min_tx: micros(octets.desired_min_tx),
            required_min_rx: micros(octets.required_min_rx),
            required_min_echo_rx: micros(octets.required_min_echo_rx),
        })
    }

    /// The packet as octets. One that says it is authenticated has no place for the section that would follow, so A is
    /// never sent. Intervals that do not fit are sent as the longest there is.
    pub fn encode(&self) -> [u8; LENGTH] {
        let flags = [
            (self.poll, POLL),
            (self.is_final, FINAL),
            (self.control_plane_independent, CONTROL_PLANE_INDEPENDENT),
            (self.demand, DEMAND),
        ];
        let flags = flags.into_iter().filter(|(on, _)| *on).fold(0, |flags, (_, bit)| flags | bit);
        let micros = |time: Duration| U32::new(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
        let octets = Octets {
            version_diagnostic: VERSION << 5 | self.diagnostic.bits(),
            state_flags: self.state.bits() << 6 | flags,
            detect_multiplier: self.detect_multiplier.get(),
            length: LENGTH_OCTET,
            my_discriminator: U32::new(self.my_discriminator.value()),
            your_discriminator: U32::new(self.your_discriminator.map_or(0, Discriminator::value)),
            desired_min_tx: micros(self.desired_min_tx),
            required_min_rx: micros(self.required_min_rx),
            required_min_echo_rx: micros(self.required_min_echo_rx),
        };
        zerocopy::transmute!(octets)
    }
}

/// Why a datagram is no control packet, or not one to be looked at (RFC 5880 §6.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// There are fewer octets than a packet has, or than this one says it has.
    #[error("the packet is longer than its {octets} octets")]
    Truncated {
        /// How many there are.
        octets: usize,
    },
    /// Another version than 1.
    #[error("version {0} instead of 1")]
    Version(u8),
    /// The length is below that of the fields there must be.
    #[error("a length of {0}")]
    Length(u8),
    /// Detect Mult is zero.
    #[error("a detection multiplier of 0")]
    ZeroMultiplier,
    /// M is set.
    #[error("the multipoint bit is set")]
    Multipoint,
    /// My Discriminator is zero.
    #[error("my discriminator is 0")]
    ZeroDiscriminator,
    /// Your Discriminator is zero, but the state in the packet says that the sender knows us.
    #[error("your discriminator is 0 in state {0}")]
    Unaddressed(State),
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Octets {
    version_diagnostic: u8,
    state_flags: u8,
    detect_multiplier: u8,
    length: u8,
    my_discriminator: U32,
    your_discriminator: U32,
    desired_min_tx: U32,
    required_min_rx: U32,
    required_min_echo_rx: U32,
}

const VERSION: u8 = 1;
const DIAGNOSTIC: u8 = 0x1f;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;
const LENGTH_OCTET: u8 = 24;
/// With the first two octets of an authentication section.
const LENGTH_AUTHENTICATED: usize = LENGTH + 2;

#[cfg(test)]
mod tests;
