//! Where facts come from, and what follows when a source ends.

use metallb_arp::io::linux;
use metallb_bgp::io::tokio::EventReceiver as BgpEvents;
use metallb_bgp::session;
use tokio::sync::{mpsc, watch};

use crate::inputs::Inputs;
use crate::membership::Heard;
use crate::sweep::Page;

/// Where facts come from.
#[derive(Debug)]
pub(crate) struct Sources {
    /// The API server.
    pub inputs: Inputs,
    /// What is found of earlier owners of services.
    pub swept: mpsc::Receiver<Page>,
    /// Everything else.
    pub drivers: DriverEvents,
}

/// What the drivers tell.
#[derive(Debug)]
pub(crate) struct DriverEvents {
    /// Interfaces and conflicts.
    pub layer2: linux::EventReceiver,
    /// Sessions.
    pub bgp: BgpEvents,
    /// Other speakers; `None` without membership.
    pub speakers: Option<watch::Receiver<Heard>>,
}

/// Something a driver tells.
#[derive(Debug)]
pub(crate) enum DriverEvent {
    /// Of interfaces and conflicts.
    Layer2(linux::Event),
    /// Of sessions.
    Bgp(session::Event),
    /// What is known of the speakers has changed.
    Speakers(Heard),
}

/// A driver has ended while the speaker runs. Nobody would answer for what this node owns, or nobody would know that it
/// lives: the process ends, too, and is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DriverEnded {
    /// ARP and NDP.
    #[error("the layer2 driver has ended: nobody would answer for addresses of this node")]
    Layer2,
    /// BGP.
    #[error("the BGP driver has ended: no route of this node would be up to date")]
    Bgp,
    /// Membership.
    #[error("the membership task has ended: nobody would know which speakers live")]
    Membership,
}

impl DriverEvents {
    /// What a driver tells next. Safe to cancel.
    ///
    /// # Errors
    /// When a driver has ended.
    pub(crate) async fn next(&mut self) -> Result<DriverEvent, DriverEnded> {
        tokio::select! {
            event = self.layer2.recv() => event.map(DriverEvent::Layer2).ok_or(DriverEnded::Layer2),
            event = self.bgp.recv() => event.map(DriverEvent::Bgp).ok_or(DriverEnded::Bgp),
            view = changed(&mut self.speakers) => view.map(DriverEvent::Speakers),
        }
    }
}

async fn changed(speakers: &mut Option<watch::Receiver<Heard>>) -> Result<Heard, DriverEnded> {
    let Some(speakers) = speakers else { return std::future::pending().await };
    speakers.changed().await.map_err(|_| DriverEnded::Membership)?;
    Ok(speakers.borrow_and_update().clone())
}

#[cfg(test)]
mod tests {
    use metallb_bgp::io::tokio::{Shutdown, Speaker, SpeakerConfig};
    use metallb_bgp::types::RouterId;

    use super::*;

    struct Drivers {
        layer2: linux::Handle,
        bgp: Speaker,
        view: watch::Sender<Heard>,
        events: DriverEvents,
    }

    /// `None` where raw sockets may not be used.
    fn mk_drivers() -> Option<Drivers> {
        let (layer2, layer2_events) = match linux::Driver::start(linux::Options::new(0)) {
            Ok(started) => started,
            Err(linux::Error::MissingCapability { .. }) => {
                println!("skipped: needs CAP_NET_RAW");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let config = SpeakerConfig::new(RouterId::of_name("node").id);
        let (bgp, bgp_events) = Speaker::start(config).unwrap();
        let (view, viewed) = watch::channel(Heard::default());
        let events = DriverEvents { layer2: layer2_events, bgp: bgp_events, speakers: Some(viewed) };
        Some(Drivers { layer2, bgp, view, events })
    }

    async fn end(events: &mut DriverEvents) -> DriverEnded {
        let ended = async {
            loop {
                if let Err(ended) = events.next().await {
                    return ended;
                }
            }
        };
        let patience = std::time::Duration::from_secs(60);
        tokio::time::timeout(patience, ended).await.expect("the end of a driver is not noticed")
    }

    #[tokio::test]
    async fn the_end_of_the_layer2_driver_is_noticed() {
        let Some(mut drivers) = mk_drivers() else { return };
        drivers.layer2.shutdown();
        assert_eq!(end(&mut drivers.events).await, DriverEnded::Layer2);
    }

    #[tokio::test]
    async fn the_end_of_the_bgp_driver_is_noticed() {
        let Some(mut drivers) = mk_drivers() else { return };
        drivers.bgp.shutdown(Shutdown::Cease { text: String::new() }).await;
        assert_eq!(end(&mut drivers.events).await, DriverEnded::Bgp);
    }

    #[tokio::test]
    async fn the_end_of_the_membership_is_noticed() {
        let Some(mut drivers) = mk_drivers() else { return };
        drivers.view.send_replace(Heard::default());
        drop(drivers.view);
        assert_eq!(end(&mut drivers.events).await, DriverEnded::Membership);
    }
}
