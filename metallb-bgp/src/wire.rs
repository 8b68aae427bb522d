//! The messages of BGP as octets and as values.
//!
//! Decoding has two layers: a borrowed view that judges nothing ([`header::Frame`], [`update::UpdateView`]), and
//! values that can only be valid ([`open::Open`], [`notification::Notification`], [`crate::types::Attributes`]).
//! Judging an UPDATE is a third, separate step ([`update::UpdateView::classify`]), because RFC 7606 makes the
//! answer depend on the session.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod capability;
pub mod error;
pub mod header;
pub mod iana;
pub mod keepalive;
pub mod negotiate;
pub mod notification;
pub mod open;
pub mod pack;
pub(crate) mod reader;
pub mod refresh;
pub mod update;

use self::error::WireError;
use self::header::{Frame, MessageType};
use self::notification::Notification;
use self::open::Open;
use self::refresh::RouteRefresh;
use self::update::UpdateView;

/// One received message.
#[derive(Clone, Debug)]
pub enum Message<'a> {
    /// OPEN.
    Open(Open),
    /// UPDATE, not judged yet.
    Update(UpdateView<'a>),
    /// NOTIFICATION.
    Notification(Notification),
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH.
    RouteRefresh(RouteRefresh),
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// [`WireError`] when the session cannot go on.
    pub fn parse(frame: Frame<'a>) -> Result<Self, WireError> {
        Ok(match frame.kind() {
            MessageType::Open => Self::Open(Open::parse(frame.body())?),
            MessageType::Update => Self::Update(UpdateView::parse(frame)?),
            MessageType::Notification => Self::Notification(Notification::parse(frame.body())),
            MessageType::Keepalive => Self::Keepalive,
            MessageType::RouteRefresh => {
                Self::RouteRefresh(RouteRefresh::parse(frame.body(), frame.octets())?)
            }
        })
    }

    /// The message's type.
    pub const fn kind(&self) -> MessageType {
        match self {
            Self::Open(_) => MessageType::Open,
            Self::Update(_) => MessageType::Update,
            Self::Notification(_) => MessageType::Notification,
            Self::Keepalive => MessageType::Keepalive,
            Self::RouteRefresh(_) => MessageType::RouteRefresh,
        }
    }
}

#[cfg(test)]
mod captured;
#[cfg(test)]
mod testing;
