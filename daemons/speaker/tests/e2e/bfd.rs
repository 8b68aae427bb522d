//! BFD beside a session, as its profile comes, changes and goes.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use metallb_bgp::bfd::{Arrival, Hops, Path, PathSnapshot, Profile, Sessions, User};
use metallb_k8s::crd::BFDProfile;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, sockopt};
use serde_json::json;
use tokio::net::UdpSocket;

use crate::collector::Collector;
use crate::harness::eventually;
use crate::site::{LOCAL, REMOTE, cluster, in_namespace, peer, speaker};

/// The router's BFD.
#[derive(Clone, Default)]
struct Partner(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    /// Takes and sends nothing.
    silent: bool,
    snapshot: Option<PathSnapshot>,
}

impl Partner {
    /// Begins once the speaker has the port: that of all addresses can be shared only by those who come later.
    async fn start() -> Self {
        eventually("the speaker listens", async || {
            let sockets = std::fs::read_to_string("/proc/self/net/udp").unwrap();
            sockets.contains(":0EC8 ").then_some(())
        })
        .await;
        let address: SocketAddr = format!("{REMOTE}:3784").parse().unwrap();
        let SocketAddr::V4(v4) = address else { unreachable!() };
        let kind = SockFlag::SOCK_NONBLOCK;
        let udp = SockProtocol::Udp;
        let owned = socket::socket(AddressFamily::Inet, SockType::Datagram, kind, udp).unwrap();
        socket::setsockopt(&owned, sockopt::ReuseAddr, &true).unwrap();
        socket::setsockopt(&owned, sockopt::Ipv4Ttl, &255).unwrap();
        socket::bind(owned.as_raw_fd(), &SockaddrIn::from(v4)).unwrap();
        let socket = UdpSocket::from_std(owned.into()).unwrap();
        let partner = Self::default();
        tokio::spawn(partner.clone().run(socket));
        partner
    }

    async fn run(self, socket: UdpSocket) {
        let mut sessions = Sessions::new(9);
        let to: SocketAddr = format!("{LOCAL}:3784").parse().unwrap();
        let path = Path::new(to.ip(), Hops::One);
        sessions.watch(Instant::now(), User::new("node"), path, Profile::default());
        let mut buffer = [0; 64];
        loop {
            let wait = sessions.next_timeout().map(|at| at.saturating_duration_since(Instant::now()));
            let received =
                tokio::time::timeout(wait.unwrap_or(Duration::from_secs(1)), socket.recv_from(&mut buffer));
            let received = received.await.ok().and_then(Result::ok);
            let now = Instant::now();
            let silent = self.0.lock().unwrap().silent;
            if let Some((length, from)) = received.filter(|_| !silent) {
                let local = REMOTE.parse().unwrap();
                let remote = from.ip();
                let arrival =
                    Arrival { remote, local, interface: 1, device: None, hops: Hops::One, ttl: 255 };
                sessions.handle_datagram(now, &arrival, &buffer[..length]).unwrap();
            }
            sessions.handle_timeout(now);
            while let Some(packet) = sessions.poll_transmit(now) {
                if !silent {
                    socket.send_to(&packet.octets, to).await.unwrap();
                }
            }
            while sessions.poll_event().is_some() {}
            self.0.lock().unwrap().snapshot = sessions.snapshot().pop();
        }
    }

    fn silence(&self, silent: bool) {
        self.0.lock().unwrap().silent = silent;
    }

    /// Waits until the speaker sends at this interval, and until then.
    async fn hears(&self, interval: u64) {
        eventually(&format!("packets every {interval} ms"), async || {
            let shared = self.0.lock().unwrap();
            let session = &shared.snapshot.as_ref()?.session;
            (session.remote_transmit_interval == Duration::from_millis(interval)).then_some(())
        })
        .await;
    }
}

const UP: &str = "metallb_bfd_session_up{peer=\"10.0.0.2\",node=\"node1\"}";

#[test]
fn a_profile_that_comes_changes_and_goes_leaves_the_session_alone_and_a_failure_ends_it() {
    let name = "bfd::a_profile_that_comes_changes_and_goes_leaves_the_session_alone_and_a_failure_ends_it";
    in_namespace(name, async || {
        let cluster = cluster().await;
        let collector = Collector::start(None, false);
        peer(&cluster, "router", &json!({ "bfdProfile": "fast" }));
        let speaker = speaker(&cluster, &[]);
        collector.session(true).await;
        assert!(!speaker.scrape().await.contains(UP), "there is no such profile yet");
        cluster.configure("BFDProfile", "fast", &json!({ "transmitInterval": 200, "receiveInterval": 200 }));
        speaker.shows(UP, "0.0").await;
        let partner = Partner::start().await;
        speaker.shows(UP, "1.0").await;
        partner.hears(200).await;
        cluster.configure("BFDProfile", "fast", &json!({ "transmitInterval": 100, "receiveInterval": 100 }));
        partner.hears(100).await;
        let state = speaker.state().await;
        assert_eq!(state["bfd"]["sessions"][0]["downEvents"], json!(0), "{state}");
        assert_eq!(collector.endings(), [] as [String; 0], "nothing happened to the session");

        partner.silence(true);
        let ending = eventually("an end", async || collector.endings().pop()).await;
        assert!(ending.contains("6/10"), "{ending}");
        speaker.says(&["BFD is down", "protocol=\"bgp\""]).await;
        speaker.shows("metallb_bfd_session_down_events{peer=\"10.0.0.2\",node=\"node1\"}", "1.0").await;
        partner.silence(false);
        speaker.shows(UP, "1.0").await;
        collector.session(true).await;

        cluster.delete(cluster.system::<BFDProfile>(), "fast").await;
        eventually("no BFD", async || (!speaker.scrape().await.contains(UP)).then_some(())).await;
        assert!(collector.is_up());
        assert_eq!(collector.endings().len(), 1);
    });
}
