//! A peer that is only as good as a test wants it to be.

use metallb_bgp::types::{Asn, Family, HoldTime};
use metallb_bgp::wire::capability::Capability;
use metallb_bgp::wire::header::MessageType;
use metallb_bgp::wire::keepalive;
use metallb_bgp::wire::notification::Notification;
use metallb_bgp::wire::open::Open;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::mk_id;

/// A peer made of a bare socket: it answers OPEN and says KEEPALIVE as often as it is told to.
pub(crate) struct Bare(pub(crate) tokio::net::TcpStream, pub(crate) Option<Open>);

impl Bare {
    /// Accepts the speaker's connection and brings the session up.
    pub(crate) async fn establish(listener: &tokio::net::TcpListener, hold_time: u16) -> Self {
        Self::establish_with(listener.accept().await.unwrap().0, hold_time, Vec::new()).await
    }

    /// Brings the session up, with these capabilities besides IPv4.
    pub(crate) async fn establish_with(
        stream: tokio::net::TcpStream,
        hold_time: u16,
        others: Vec<Capability>,
    ) -> Self {
        let mut bare = Self(stream, None);
        let hold_time = HoldTime::from_secs(hold_time).unwrap();
        let mut capabilities = vec![Capability::Multiprotocol(Family::Ipv4Unicast.afi_safi())];
        capabilities.extend(others);
        let open = Open::new(Asn::new(64512), hold_time, mk_id(9), capabilities);
        let mut out = Vec::new();
        open.encode(&mut out).unwrap();
        keepalive::encode(&mut out);
        bare.0.write_all(&out).await.unwrap();
        let (kind, body) = bare.read().await;
        assert_eq!(kind, MessageType::Open);
        bare.1 = Some(Open::parse(&body).unwrap());
        assert_eq!(bare.read().await.0, MessageType::Keepalive);
        bare
    }

    /// The next message: its type and body.
    pub(crate) async fn read(&mut self) -> (MessageType, Vec<u8>) {
        let mut header = [0; 19];
        self.0.read_exact(&mut header).await.unwrap();
        let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
        let mut body = vec![0; length - header.len()];
        self.0.read_exact(&mut body).await.unwrap();
        (MessageType::from_code(header[18]).unwrap(), body)
    }

    pub(crate) async fn write(&mut self, message: &[u8]) {
        self.0.write_all(message).await.unwrap();
    }

    /// Reads on until a NOTIFICATION; then the connection must end.
    pub(crate) async fn notification(mut self) -> Notification {
        loop {
            let (kind, body) = self.read().await;
            if kind == MessageType::Notification {
                let mut rest = Vec::new();
                let end = self.0.read_to_end(&mut rest).await;
                assert!(end.is_ok() && rest.is_empty(), "nothing after a NOTIFICATION");
                return Notification::parse(&body);
            }
        }
    }
}
