//! Sessions that BFD watches (RFC 5882).

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::{Engine, now};
use crate::addresses::AddressTable;
use crate::bfd::wire::State as PathState;
use crate::bfd::{Change, Event, Hops, Path, Profile, User};
use crate::fsm::State;
use crate::io::bfd::{Bfd, BfdSnapshot};
use crate::session::{PeerConfig, PeerKey, StopReason, TtlPolicy};
use crate::types::RemoteAs;

/// What the engine knows of BFD. Its thread starts with the first peer that wants it.
pub(super) struct Watchdog {
    driver: Option<Bfd>,
    seed: u64,
    /// For the thread alone, so that its end is the end of the events.
    sender: Option<UnboundedSender<Event>>,
    events: UnboundedReceiver<Event>,
    watched: BTreeMap<PeerKey, (Path, Profile)>,
    /// Peers whose path is up.
    up: BTreeSet<PeerKey>,
    /// Peers whose sessions wait until it is.
    held: BTreeSet<PeerKey>,
    /// The sessions end when BFD has said that it does.
    stop: Option<(StopReason, oneshot::Receiver<()>)>,
}

impl Watchdog {
    pub(super) fn new(seed: u64) -> Self {
        let (sender, events) = unbounded_channel();
        Self {
            driver: None,
            seed,
            sender: Some(sender),
            events,
            watched: BTreeMap::new(),
            up: BTreeSet::new(),
            held: BTreeSet::new(),
            stop: None,
        }
    }

    /// Whether the end has begun.
    pub(super) const fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Whether there is to be no session with this peer for now; it is remembered.
    pub(super) fn holds(&mut self, key: &PeerKey, config: &PeerConfig) -> bool {
        let strict = config.bfd.is_some_and(|bfd| bfd.strict);
        let held = strict && !self.up.contains(key);
        if held {
            self.held.insert(key.clone());
        }
        held
    }

    /// Nobody watches the path to a peer any more. That does not end a session.
    pub(super) fn release(&mut self, key: &PeerKey) {
        self.up.remove(key);
        self.held.remove(key);
        if self.watched.remove(key).is_some()
            && let Some(driver) = &self.driver
        {
            driver.release(User::new(key.as_str()));
        }
    }

    /// The path to watch of a peer.
    fn path_to(&self, key: &PeerKey, config: &PeerConfig, own: &AddressTable) -> Path {
        let proven = self.watched.get(key).map(|(path, _)| path).filter(|_| self.up.contains(key));
        path_to(config, own, proven)
    }

    /// Has the path of a peer watched.
    fn watch(&mut self, key: &PeerKey, path: Path, profile: Profile) {
        if self.watched.get(key).is_some_and(|watched| *watched == (path.clone(), profile)) {
            return;
        }
        if let Some(sender) = &self.sender {
            match Bfd::start(self.seed, sender.clone()) {
                Ok(driver) => {
                    self.driver = Some(driver);
                    self.sender = None;
                }
                Err(error) => {
                    tracing::error!(protocol = "bgp", peer = %key, %error, "BFD cannot be started");
                    return;
                }
            }
        }
        let other_path = self.watched.get(key).is_some_and(|(watched, _)| *watched != path);
        if other_path {
            // What was known is about another path.
            self.up.remove(key);
        }
        if let Some(driver) = &self.driver {
            driver.watch(User::new(key.as_str()), path.clone(), profile);
        }
        self.watched.insert(key.clone(), (path, profile));
    }

    /// What BFD says, sent to whoever asks.
    pub(super) fn request_snapshot(&self, reply: oneshot::Sender<BfdSnapshot>) {
        match &self.driver {
            Some(driver) => driver.request_snapshot(reply),
            // Whoever asked may have given up.
            None => drop(reply.send(BfdSnapshot::default())),
        }
    }
}

impl Engine {
    /// Follows what the configuration of a peer says about BFD. A session that is there goes on either way: that BFD is
    /// not up yet is no failure.
    pub(super) fn watch(&mut self, key: &PeerKey) {
        let Some(peer) = self.peers.get(key) else { return };
        let config = peer.session.config();
        match config.bfd {
            Some(bfd) if !config.is_remote_unknown() => {
                let path = self.bfd.path_to(key, config, &self.node.addresses);
                self.bfd.watch(key, path, bfd.profile);
            }
            _ => self.bfd.release_but_held(key),
        }
        let waits = config.bfd.is_some_and(|bfd| bfd.strict) && !self.bfd.up.contains(key);
        if !waits {
            self.let_go(key);
        }
    }

    /// Follows the addresses of the machine: they decide how far away an internal peer is.
    pub(super) fn watch_all(&mut self) {
        let keys: Vec<PeerKey> = self.bfd.watched.keys().cloned().collect();
        for key in keys {
            self.watch(&key);
        }
    }

    /// Starts a session that was held back.
    fn let_go(&mut self, key: &PeerKey) {
        if self.bfd.held.remove(key)
            && let Some(peer) = self.peers.get_mut(key, &mut self.schedule)
        {
            peer.session.start(now());
        }
    }

    /// Takes what BFD says.
    pub(super) fn poll_bfd(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready(event) = self.bfd.events.poll_recv(cx) {
            let Some(event) = event else {
                progress |= self.bfd_ended();
                break;
            };
            let key = PeerKey::new(event.user.as_str());
            // One that was not watched any more when this was said has nothing to do with it.
            if !self.stopping && self.bfd.watched.contains_key(&key) {
                self.path_changed(&key, event.change);
            }
            progress = true;
        }
        let Some((_, stopped)) = &mut self.bfd.stop else { return progress };
        if Pin::new(stopped).poll(cx).is_ready()
            && let Some((reason, _)) = self.bfd.stop.take()
        {
            self.stop(&reason);
            return true;
        }
        progress
    }

    /// Without the thread nobody would notice a path that fails. Ends everything then, as if this program ended, which is
    /// started again; peers may keep the routes.
    fn bfd_ended(&mut self) -> bool {
        let is_failure = self.bfd.driver.take().is_some() && !self.bfd.is_stopping() && !self.stopping;
        if is_failure {
            tracing::error!(protocol = "bgp", error = "the driver of BFD has ended", "ending all sessions");
            self.begin_stop(StopReason::Restart(String::new()));
        }
        is_failure
    }

    fn path_changed(&mut self, key: &PeerKey, change: Change) {
        let Some(peer) = self.peers.get_mut(key, &mut self.schedule) else { return };
        tracing::debug!(protocol = "bgp", peer = %key, bfd = %change.to, cause = %change.cause, "BFD");
        if change.to == PathState::Up {
            tracing::info!(protocol = "bgp", peer = %key, "BFD is up");
            self.bfd.up.insert(key.clone());
            if self.bfd.held.remove(key) {
                peer.session.start(now());
            } else {
                peer.session.retry_now(now());
            }
            return;
        }
        let was_up = self.bfd.up.remove(key);
        if change.is_failure() {
            self.path_failed(key, change);
        } else if change.from == PathState::Up {
            tracing::info!(protocol = "bgp", peer = %key, cause = %change.cause, "BFD is off");
        }
        if was_up {
            // The addresses may say by now that the peer is somewhere else.
            self.watch(key);
        }
    }

    fn path_failed(&mut self, key: &PeerKey, change: Change) {
        let Some(peer) = self.peers.get_mut(key, &mut self.schedule) else { return };
        tracing::warn!(protocol = "bgp", peer = %key, error = %change.cause, "BFD is down");
        let strict = peer.session.config().bfd.is_some_and(|bfd| bfd.strict);
        if strict {
            self.bfd.held.insert(key.clone());
        } else if peer.session.state() <= State::Active {
            return;
        }
        peer.session.stop(now(), &StopReason::BfdDown, &mut self.table);
        if !strict {
            peer.session.resume(now());
        }
    }

    /// Ends everything. BFD says first that it is switched off, so that a peer that keeps the routes through a restart
    /// does not take the silence for a failure (RFC 5882 §4.2).
    pub(super) fn begin_stop(&mut self, reason: StopReason) {
        if self.bfd.is_stopping() {
            return;
        }
        match &self.bfd.driver {
            Some(driver) => self.bfd.stop = Some((reason, driver.stop())),
            None => self.stop(&reason),
        }
    }
}

impl Watchdog {
    /// As [`release`](Self::release); that a session is held back is not forgotten.
    fn release_but_held(&mut self, key: &PeerKey) {
        let held = self.held.contains(key);
        self.release(key);
        if held {
            self.held.insert(key.clone());
        }
    }
}

/// The path of a session: over several hops where the configuration says so, and for an internal peer that is on no
/// subnet of this node. A path that is up has proven how far away the peer is: a link that fails takes its addresses along,
/// and BFD is to say so, not to be switched off.
fn path_to(config: &PeerConfig, own: &AddressTable, proven: Option<&Path>) -> Path {
    let remote = config.remote.ip().to_canonical();
    let internal = match config.remote_asn {
        RemoteAs::Asn(asn) => asn == config.local_asn,
        RemoteAs::Internal => true,
        RemoteAs::External | RemoteAs::Any => false,
    };
    let hops = |far| if far { Hops::Several } else { Hops::One };
    let (hops, is_guess) = match config.ttl {
        _ if config.interface.is_some() => (Hops::One, false),
        TtlPolicy::Multihop(_) => (Hops::Several, false),
        TtlPolicy::Gtsm { hops: distance } => (hops(distance > 1), false),
        TtlPolicy::System | TtlPolicy::Exact(_) if !internal => (Hops::One, false),
        TtlPolicy::System | TtlPolicy::Exact(_) => (hops(!own.is_neighbour(remote)), true),
    };
    let mut path = Path::new(remote, hops);
    path.local = config.local_address.map(|local| local.to_canonical());
    path.device = config.bind_device.as_deref().map(Arc::from);
    path.interface = match config.remote {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id()),
        _ => None,
    };
    match proven {
        Some(proven) if is_guess && (Path { hops: proven.hops, ..path.clone() }) == *proven => proven.clone(),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::addresses::{AddressFact, AddressState, InterfaceIndex};
    use crate::bfd::wire::{ControlPacket, Diagnostic, Discriminator};
    use crate::bfd::{Arrival, Cause, Sessions};
    use crate::types::Asn;

    const OWN: &str = "2001:db8::2";
    const PEER: &str = "2001:db8::1";

    fn mk_config(remote_asn: u32) -> PeerConfig {
        let remote = SocketAddr::new(PEER.parse().unwrap(), 179);
        PeerConfig::new(remote, Asn::new(64512), RemoteAs::Asn(Asn::new(remote_asn)), 0)
    }

    fn mk_addresses() -> AddressTable {
        let mut own = AddressTable::default();
        let state = AddressState { prefix: 64, ..AddressState::default() };
        own.apply(AddressFact::Address(InterfaceIndex(2), OWN.parse().unwrap(), state));
        own
    }

    /// A packet of the neighbour.
    fn mk_packet(state: PathState, ours: Option<Discriminator>) -> ControlPacket {
        let interval = Duration::from_millis(100);
        ControlPacket {
            diagnostic: Diagnostic::None,
            state,
            poll: false,
            is_final: false,
            control_plane_independent: false,
            authenticated: false,
            demand: false,
            detect_multiplier: 3.try_into().unwrap(),
            my_discriminator: Discriminator::new(9).unwrap(),
            your_discriminator: ours,
            desired_min_tx: interval,
            required_min_rx: interval,
            required_min_echo_rx: Duration::ZERO,
        }
    }

    // req: B11
    #[test]
    fn an_address_that_goes_with_its_link_does_not_switch_bfd_off_but_down() {
        let (start, config) = (now(), mk_config(64512));
        let path = path_to(&config, &mk_addresses(), None);
        assert_eq!(path.hops, Hops::One);
        let (mut sessions, user) = (Sessions::new(7), User::new("router"));
        sessions.watch(start, user.clone(), path.clone(), Profile::default());
        let arrival = Arrival {
            remote: path.remote,
            local: OWN.parse().unwrap(),
            interface: 2,
            device: None,
            hops: Hops::One,
            ttl: 255,
        };
        let hear = |sessions: &mut Sessions, state, ours| {
            let packet = mk_packet(state, ours).encode();
            sessions.handle_datagram(start, &arrival, &packet).unwrap()
        };
        let ours = hear(&mut sessions, PathState::Down, None);
        hear(&mut sessions, PathState::Init, Some(ours));
        while sessions.poll_event().is_some() {}
        // The link is down, and has taken the address along.
        let kept = path_to(&config, &AddressTable::default(), Some(&path));
        assert_eq!(kept, path);
        sessions.watch(start, user, kept, Profile::default());
        assert_eq!(sessions.poll_event(), None);
        let end = start + Duration::from_secs(1);
        while let Some(at) = sessions.next_timeout().filter(|at| *at <= end) {
            sessions.handle_timeout(at);
            while sessions.poll_transmit(at).is_some() {}
        }
        let change = sessions.poll_event().unwrap().change;
        assert!(change.is_failure() && change.cause == Cause::Silence, "{change:?}");
        // Then they count again.
        assert_eq!(path_to(&config, &AddressTable::default(), None).hops, Hops::Several);
    }

    // req: !B11
    #[test]
    fn what_is_configured_counts_whatever_is_up() {
        let path = path_to(&mk_config(64512), &mk_addresses(), None);
        let other = |change: &dyn Fn(&mut PeerConfig)| {
            let mut config = mk_config(64512);
            change(&mut config);
            path_to(&config, &AddressTable::default(), Some(&path))
        };
        assert_eq!(other(&|config| config.ttl = TtlPolicy::Multihop(255)).hops, Hops::Several);
        assert_eq!(other(&|config| config.ttl = TtlPolicy::Gtsm { hops: 2 }).hops, Hops::Several);
        assert_eq!(other(&|config| config.bind_device = Some("red".to_owned())).hops, Hops::Several);
        assert_eq!(other(&|config| config.remote_asn = RemoteAs::External), path);
        assert_eq!(path_to(&mk_config(64513), &AddressTable::default(), None), path, "external: next to us");
    }
}
