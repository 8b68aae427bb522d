//! The two speakers, their clock and the way to where they agree.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use metallb_bgp::fsm::State;
use metallb_bgp::session::{ConnectionId, PeerConfig, Session, StopReason};
use metallb_bgp::table::{AdvTable, Announcement, RouteAttributes};
use metallb_bgp::types::{Asn, Community, HoldTime, RemoteAs, RouterId};

use crate::pipes::Pipe;

pub(crate) struct Node {
    pub(crate) session: Session,
    pub(crate) table: AdvTable,
    pub(crate) received: BTreeMap<IpNetwork, Vec<Community>>,
    pub(crate) announced: BTreeMap<IpNetwork, Vec<Community>>,
    pub(crate) dials: Vec<ConnectionId>,
    pub(crate) state: State,
    pub(crate) established: u64,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) nodes: [Node; 2],
    pub(crate) pipes: Vec<Pipe>,
    /// The end that dialled learns of a connection before the other one.
    pub(crate) dialler_first: bool,
}

impl World {
    pub(crate) fn new(change: impl Fn(usize, &mut PeerConfig)) -> Self {
        let now = Instant::now();
        let nodes = [0, 1].map(|n| {
            let own = u32::try_from(n).unwrap();
            let remote = RemoteAs::Asn(Asn::new(64512 + (1 - own)));
            let mut config = PeerConfig::new(address(1 - n, 179), Asn::new(64512 + own), remote, 0);
            config.import = true;
            config.seed = u64::try_from(n).unwrap() + 1;
            change(n, &mut config);
            let mut session = Session::new("peer".into(), config, router_id(n));
            session.start(now);
            let mut table = AdvTable::new();
            table.complete();
            Node {
                session,
                table,
                received: BTreeMap::new(),
                announced: BTreeMap::new(),
                dials: Vec::new(),
                state: State::Idle,
                established: 0,
            }
        });
        let mut world = Self { now, start: now, nodes, pipes: Vec::new(), dialler_first: false };
        world.work();
        world
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.now += by;
        for node in &mut self.nodes {
            node.session.handle_timeout(self.now);
            let next = node.session.next_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a timer is due and was not seen to");
        }
        self.work();
    }

    /// Stops both sessions: nothing may be left of them, no timer, no connection, no place in the table.
    pub(crate) fn finish(mut self) {
        for node in &mut self.nodes {
            node.session.stop(self.now, &StopReason::Shutdown(String::new()), &mut node.table);
        }
        self.work();
        for node in &self.nodes {
            assert_eq!(node.session.state(), State::Idle);
            assert_eq!(node.session.next_timeout(), None, "a timer is left");
            assert_eq!(node.session.connections().count(), 0);
            assert!(!node.session.has_events());
            assert!(node.dials.is_empty(), "an attempt to connect is left");
            let snapshot = node.session.snapshot(&node.table);
            assert_eq!((snapshot.advertised_v4, snapshot.queued_octets), (0, 0));
        }
        assert!(self.pipes.iter().all(|pipe| pipe.ends.iter().all(Option::is_none)));
    }

    pub(crate) fn set(&mut self, node: usize, prefix: u8, community: Option<u32>) {
        let prefix: IpNetwork = format!("198.51.100.{prefix}/32").parse().unwrap();
        let routes: Vec<Announcement> = community
            .map(|community| Announcement {
                peers: ["peer".into()].into(),
                attributes: RouteAttributes::new().with_communities([Community(community)]),
            })
            .into_iter()
            .collect();
        let node = &mut self.nodes[node];
        node.table.set(prefix, &routes);
        match community {
            Some(community) => node.announced.insert(prefix, vec![Community(community)]),
            None => node.announced.remove(&prefix),
        };
        self.work();
    }

    /// The network works: lets everything happen until both sides agree. Returns how long that took.
    pub(crate) fn settle(&mut self) -> Duration {
        let from = self.now;
        let deadline = from + Duration::from_secs(1200);
        while !self.is_settled() {
            assert!(self.now < deadline, "no agreement: {}", self.describe());
            let mut moved = false;
            for node in [0, 1] {
                while !self.nodes[node].dials.is_empty() {
                    self.connect(node, true);
                    moved = true;
                }
                for index in 0..self.pipes.len() {
                    moved |= self.deliver(node, index, usize::MAX);
                }
            }
            if !moved {
                let timeouts = self.nodes.iter().filter_map(|node| node.session.next_timeout());
                let next =
                    timeouts.min().unwrap_or_else(|| panic!("nothing to wait for: {}", self.describe()));
                self.advance(next.saturating_duration_since(self.now));
            }
        }
        self.now - from
    }

    pub(crate) fn is_settled(&self) -> bool {
        let quiet = self
            .pipes
            .iter()
            .all(|pipe| pipe.lanes.iter().all(|lane| lane.octets.is_empty() && (!lane.closed || lane.told)));
        let [a, b] = &self.nodes;
        let up = [a, b].iter().all(|node| node.state == State::Established);
        quiet && up && a.announced == b.received && b.announced == a.received
    }

    pub(crate) fn describe(&self) -> String {
        let node = |node: &Node| {
            let snapshot = node.session.snapshot(&node.table);
            format!(
                "{} {:?} {:?}",
                node.state,
                snapshot.last_error,
                node.session.connections().collect::<Vec<_>>()
            )
        };
        format!("{:?}: {} / {}", self.now - self.start, node(&self.nodes[0]), node(&self.nodes[1]))
    }
}

pub(crate) fn address(node: usize, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(node).unwrap() + 1], port))
}

/// The BGP identifier of a node: that of node 1 is the higher one.
pub(crate) fn router_id(node: usize) -> RouterId {
    RouterId::new(Ipv4Addr::new(10, 0, 0, u8::try_from(node).unwrap() + 1)).unwrap()
}

/// Settings with which a silent peer is given up soon.
pub(crate) fn quick(_: usize, config: &mut PeerConfig) {
    config.hold_time = HoldTime::from_secs(9).unwrap();
}
