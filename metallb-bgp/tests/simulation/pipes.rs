//! What is between the two: connections, each of two lanes, and all that can happen to them.

use std::collections::VecDeque;

use metallb_bgp::session::{ConnectionId, Endpoints};

use crate::world::{World, address};

/// One direction of a pipe.
#[derive(Default)]
pub(crate) struct Lane {
    pub(crate) octets: VecDeque<u8>,
    /// The writer has closed; the reader learns it after the octets.
    pub(crate) closed: bool,
    pub(crate) told: bool,
    /// What the writer has written so far ended with a NOTIFICATION.
    pub(crate) said_goodbye: bool,
}

pub(crate) struct Pipe {
    /// The ends: who, and under which id; `None` once closed there.
    pub(crate) ends: [Option<ConnectionId>; 2],
    /// Lane `n` is written by node `n`.
    pub(crate) lanes: [Lane; 2],
}

impl World {
    pub(crate) fn pipe_of(&self, node: usize, id: ConnectionId) -> Option<usize> {
        self.pipes.iter().position(|pipe| pipe.ends[node] == Some(id))
    }

    /// Lets the oldest dial of a node arrive at the other one, or fail.
    pub(crate) fn connect(&mut self, node: usize, succeed: bool) {
        if self.nodes[node].dials.is_empty() {
            return;
        }
        let id = self.nodes[node].dials.remove(0);
        if !succeed {
            let refused = Some(std::io::ErrorKind::ConnectionRefused);
            self.nodes[node].session.handle_closed(self.now, id, refused);
            return self.work();
        }
        let (here, there) = (address(node, 40000), address(1 - node, 179));
        let index = self.pipes.len();
        let mut pipe = Pipe { ends: [None; 2], lanes: [Lane::default(), Lane::default()] };
        pipe.ends[node] = Some(id);
        self.pipes.push(pipe);
        if self.dialler_first {
            self.nodes[node].session.handle_connected(self.now, id, Endpoints::new(here, there));
            self.work();
        }
        let accepted = self.nodes[1 - node].session.handle_accepted(self.now, Endpoints::new(there, here));
        self.pipes[index].ends[1 - node] = accepted;
        self.pipes[index].lanes[1 - node].closed = accepted.is_none();
        if !self.dialler_first {
            self.nodes[node].session.handle_connected(self.now, id, Endpoints::new(here, there));
        }
        self.work();
    }

    /// Delivers up to `count` octets that `node` wrote into a pipe.
    pub(crate) fn deliver(&mut self, node: usize, index: usize, count: usize) -> bool {
        let Some(pipe) = self.pipes.get_mut(index) else { return false };
        let lane = &mut pipe.lanes[node];
        let reader = pipe.ends[1 - node];
        let count = count.min(lane.octets.len());
        let octets: Vec<u8> = lane.octets.drain(..count).collect();
        let over = lane.octets.is_empty() && lane.closed && !lane.told;
        lane.told |= over;
        let Some(id) = reader else { return count > 0 || over };
        if count > 0 {
            self.nodes[1 - node].session.handle_data(self.now, id, &octets);
            self.work();
        }
        if over {
            self.nodes[1 - node].session.handle_closed(self.now, id, None);
            self.work();
        }
        count > 0 || over
    }

    /// Breaks a pipe: both ends learn it at once, what was under way is lost.
    pub(crate) fn reset(&mut self, index: usize) {
        let Some(pipe) = self.pipes.get_mut(index) else { return };
        let ends = pipe.ends;
        for lane in &mut pipe.lanes {
            lane.octets.clear();
            lane.told = true;
            lane.closed = true;
        }
        pipe.ends = [None; 2];
        for node in [0, 1] {
            if let Some(id) = ends[node] {
                let error = Some(std::io::ErrorKind::ConnectionReset);
                self.nodes[node].session.handle_closed(self.now, id, error);
            }
        }
        self.work();
    }

    /// One end of a pipe breaks; the other one is told nothing.
    pub(crate) fn vanish(&mut self, node: usize, index: usize) {
        let pipe = &mut self.pipes[index];
        pipe.lanes[node].closed = true;
        for lane in &mut pipe.lanes {
            lane.octets.clear();
            lane.told = true;
        }
        if let Some(id) = pipe.ends[node].take() {
            let error = Some(std::io::ErrorKind::ConnectionReset);
            self.nodes[node].session.handle_closed(self.now, id, error);
        }
        self.work();
    }

    /// Delivers everything that is under way and what follows from it.
    pub(crate) fn drain(&mut self) {
        while (0..self.pipes.len()).any(|index| {
            [0, 1].into_iter().fold(false, |moved, node| moved | self.deliver(node, index, usize::MAX))
        }) {}
    }
}
