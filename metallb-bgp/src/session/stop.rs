//! Why a session is stopped from our side.

use crate::wire::iana;
use crate::wire::notification::Notification;

/// Why a session is to end; the peer is told (RFC 4486, RFC 9003).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Cease 6/2 with a text for the peer's operator of at most 255 octets of UTF-8; may be empty.
    Shutdown(String),
    /// Cease 6/3: the peer is not configured any more.
    Deconfigured,
    /// Cease 6/4 with a text, after which the session starts again.
    Reset(String),
    /// Cease 6/6: the configuration changed in a way that needs a new session.
    ConfigChanged,
    /// Cease 6/8: something ran out.
    OutOfResources,
    /// Cease 6/10: BFD says that the path to the peer is down (RFC 9384).
    BfdDown,
    /// This program restarts: where graceful restart was agreed on, the connection closes without a NOTIFICATION and the
    /// peer keeps the routes (RFC 4724 §5); elsewhere everything is withdrawn, and Cease 6/2 with a text as for
    /// [`Shutdown`](Self::Shutdown).
    Restart(String),
}

impl StopReason {
    /// The Cease to send.
    pub fn notification(&self) -> Notification {
        match self {
            Self::Shutdown(text) | Self::Restart(text) => {
                Notification::cease_with_text(iana::CEASE_ADMIN_SHUTDOWN, text)
            }
            Self::Deconfigured => Notification::cease(iana::CEASE_PEER_DECONFIGURED),
            Self::Reset(text) => Notification::cease_with_text(iana::CEASE_ADMIN_RESET, text),
            Self::ConfigChanged => Notification::cease(iana::CEASE_OTHER_CONFIG_CHANGE),
            Self::OutOfResources => Notification::cease(iana::CEASE_OUT_OF_RESOURCES),
            Self::BfdDown => Notification::cease(iana::CEASE_BFD_DOWN),
        }
    }

    /// Whether the session is to stay down, so that the peer must not keep its routes (RFC 8538 §3). After a restart that
    /// depends on the peer.
    pub(super) const fn is_final(&self) -> bool {
        matches!(self, Self::Shutdown(_) | Self::Deconfigured | Self::OutOfResources | Self::BfdDown)
    }
}
