//! Announces prefixes to a router until it is stopped:
//! `announce <router address> <our ASN> <router's ASN> <prefix>...`.

use metallb_bgp::io::tokio::{Shutdown, Speaker, SpeakerConfig};
use metallb_bgp::session::{GracefulRestart, PeerConfig};
use metallb_bgp::table::{Announcement, RouteAttributes};
use metallb_bgp::types::{Asn, RemoteAs, RouterId};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: announce ROUTER OUR-ASN ROUTER-ASN PREFIX...");
    let router = format!("{}:179", next()?).parse()?;
    let (ours, theirs): (Asn, Asn) = (next()?.parse()?, next()?.parse()?);

    let (speaker, mut events) = Speaker::start(SpeakerConfig::new(RouterId::new([10, 0, 0, 1].into())?))?;
    let mut peer = PeerConfig::new(router, ours, RemoteAs::Asn(theirs), 0);
    peer.graceful_restart = Some(GracefulRestart::default());
    speaker.set_peer("router".into(), peer);
    for prefix in arguments {
        let route = Announcement { peers: ["router".into()].into(), attributes: RouteAttributes::new() };
        speaker.set_prefix(prefix.parse()?, vec![route]);
    }
    speaker.table_complete();
    loop {
        tokio::select! {
            Some(event) = events.recv() => println!("{event:?}"),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    speaker.shutdown(Shutdown::Cease { text: "stopped".to_owned() }).await;
    Ok(())
}
