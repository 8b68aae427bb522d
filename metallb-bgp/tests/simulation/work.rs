//! Does for the sessions what a driver does, and checks what must always hold.

use std::sync::Arc;

use ipnetwork::IpNetwork;
use metallb_bgp::fsm::State;
use metallb_bgp::session::{Effect, Event};
use metallb_bgp::types::Attributes;

use crate::world::{Node, World};

impl World {
    /// Does what the sessions ask for until they are quiet, and checks what must always hold.
    pub(crate) fn work(&mut self) {
        for node in [0, 1] {
            self.effects(node);
            for index in 0..self.pipes.len() {
                self.transmit(node, index);
            }
            self.events(node);
            self.check(node);
        }
    }

    fn effects(&mut self, node: usize) {
        loop {
            let Node { session, table, .. } = &mut self.nodes[node];
            match session.poll_effect(table) {
                None => return,
                Some(Effect::Connect(id)) => self.nodes[node].dials.push(id),
                Some(Effect::Close { id, last }) => {
                    self.nodes[node].dials.retain(|dial| *dial != id);
                    if let Some(index) = self.pipe_of(node, id) {
                        self.write(node, index, &last);
                        let pipe = &mut self.pipes[index];
                        pipe.ends[node] = None;
                        pipe.lanes[node].closed = true;
                    }
                }
                Some(other) => panic!("unknown effect {other:?}"),
            }
        }
    }

    fn transmit(&mut self, node: usize, index: usize) {
        let Some(id) = self.pipes[index].ends[node] else { return };
        let mut out = Vec::new();
        while self.pipes[index].lanes[node].octets.len() < 200_000 {
            out.clear();
            let Node { session, table, .. } = &mut self.nodes[node];
            if !session.poll_transmit(self.now, id, table, &mut out) {
                return;
            }
            self.write(node, index, &out);
            self.nodes[node].session.handle_written(self.now, id, out.len());
        }
    }

    fn write(&mut self, node: usize, index: usize, octets: &[u8]) {
        let lane = &mut self.pipes[index].lanes[node];
        let mut rest = octets;
        while !rest.is_empty() {
            assert!(!lane.said_goodbye, "octets after a NOTIFICATION");
            let length = usize::from(u16::from_be_bytes([rest[16], rest[17]]));
            lane.said_goodbye = rest[18] == 3;
            rest = &rest[length..];
        }
        assert!(!lane.closed || octets.is_empty(), "octets after close");
        lane.octets.extend(octets);
    }

    fn events(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        while let Some(event) = node.session.poll_event() {
            match event {
                Event::Received { update, .. } => {
                    assert_eq!(node.state, State::Established, "routes outside a session");
                    for prefix in update.withdrawn {
                        node.received.remove(&prefix);
                    }
                    let with_communities = |(prefix, attributes): (IpNetwork, Arc<Attributes>)| {
                        (prefix, attributes.communities.clone())
                    };
                    node.received.extend(update.announced.into_iter().map(with_communities));
                }
                Event::StateChanged { state, .. } => {
                    if state == State::Established {
                        node.established += 1;
                    } else {
                        node.received.clear();
                    }
                    node.state = state;
                }
                Event::Negotiated { .. } | Event::Advertised { .. } => {
                    assert_eq!(node.state, State::Established, "agreed on or advertised outside a session");
                }
                Event::EndOfRib { .. } | Event::AttemptFailed { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn check(&self, node: usize) {
        let node = &self.nodes[node];
        let connections: Vec<_> = node.session.connections().collect();
        let up = connections.iter().filter(|(_, state)| *state == State::Established).count();
        assert!(up <= 1, "two established connections: {connections:?}");
        assert!(connections.len() <= 2);
        assert_eq!(node.state, node.session.state());
        if node.session.state() == State::Idle {
            assert!(connections.is_empty(), "an idle session holds {connections:?}");
        }
    }
}
