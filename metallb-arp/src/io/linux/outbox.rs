//! Frames on their way out, in the order the responder made them.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use super::ports::Ports;
use super::sys::BATCH;
use crate::responder::InterfaceIndex;

/// A batch of frames, kept until the kernel has taken it.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: Vec<Vec<u8>>,
    interfaces: Vec<InterfaceIndex>,
    sent: usize,
    /// When to try again, and how often that may still be done.
    retry: Option<(Instant, u32)>,
    /// Interfaces that have taken nothing since they used up the patience: nothing waits for them again.
    stuck: BTreeSet<InterfaceIndex>,
    /// Frames that the kernel would not take.
    pub(super) unsent: u64,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            frames: (0..BATCH).map(|_| Vec::with_capacity(LONGEST_FRAME)).collect(),
            interfaces: Vec::with_capacity(BATCH),
            sent: 0,
            retry: None,
            stuck: BTreeSet::new(),
            unsent: 0,
        }
    }

    /// Room for the next frame; `None` when the batch is full.
    pub(super) fn room(&mut self) -> Option<&mut Vec<u8>> {
        self.frames.get_mut(self.interfaces.len())
    }

    /// Keeps the frame written to [`Outbox::room`].
    pub(super) fn keep(&mut self, interface: InterfaceIndex) {
        self.interfaces.push(interface);
    }

    /// When to flush again after `flush` has returned `false`.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry.map(|(at, _)| at)
    }

    /// Sends what is there; `false` when an interface takes no more now. An interface that takes nothing
    /// for [`MAX_RETRIES`] times [`RETRY_INTERVAL`] loses what is for it, and from then on at once until it
    /// takes something, so that it does not hold up the others again: the schedule repeats announcements,
    /// and clients their questions.
    pub(super) fn flush(&mut self, now: Instant, ports: &Ports) -> bool {
        while let Some(interface) = self.interfaces.get(self.sent).copied() {
            let count = self.run(interface);
            let Some(frames) = self.frames.get(self.sent..self.sent + count) else { break };
            let result = match frames.first().and_then(|frame| ports.sender(interface, frame)) {
                Some(socket) => socket.send_batch(frames),
                None => Err(io::ErrorKind::NotConnected.into()),
            };
            match result {
                Ok(sent) => {
                    self.sent += sent;
                    self.retry = None;
                    self.stuck.remove(&interface);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_full(&error) && self.wait(now, interface) => return false,
                Err(_) => {
                    self.sent += count;
                    self.unsent += u64::try_from(count).unwrap_or(u64::MAX);
                    self.retry = None;
                }
            }
        }
        self.interfaces.clear();
        self.sent = 0;
        true
    }

    /// How many of the next frames are for the same interface and of the same protocol.
    fn run(&self, interface: InterfaceIndex) -> usize {
        let protocol = |number: usize| self.frames.get(number).and_then(|frame| frame.get(ETHERTYPE));
        let first = protocol(self.sent);
        let rest = self.interfaces.iter().enumerate().skip(self.sent);
        rest.take_while(|(number, other)| **other == interface && protocol(*number) == first).count()
    }

    /// Whether there is patience left for an interface that takes no more now.
    fn wait(&mut self, now: Instant, interface: InterfaceIndex) -> bool {
        if self.stuck.contains(&interface) {
            return false;
        }
        let left = self.retry.map_or(MAX_RETRIES, |(_, left)| left);
        self.retry = left.checked_sub(1).and_then(|left| Some((now.checked_add(RETRY_INTERVAL)?, left)));
        if self.retry.is_none() {
            self.stuck.insert(interface);
        }
        self.retry.is_some()
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

const LONGEST_FRAME: usize = 128;
/// Where the type field of an untagged frame is.
const ETHERTYPE: std::ops::Range<usize> = 12..14;
const RETRY_INTERVAL: Duration = Duration::from_millis(1);
const MAX_RETRIES: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time needs a beginning; only differences matter")]
    fn begin() -> Instant {
        Instant::now()
    }

    #[test]
    fn an_interface_that_takes_nothing_holds_up_the_others_once_only() {
        let mut outbox = Outbox::new();
        let (stuck, other) = (InterfaceIndex(2), InterfaceIndex(3));
        let now = begin();
        for _ in 0..MAX_RETRIES {
            assert!(outbox.wait(now, stuck));
        }
        assert!(!outbox.wait(now, stuck), "its patience is used up");
        assert!(!outbox.wait(now, stuck), "and stays so until it takes a frame");
        assert!(outbox.wait(now, other));
    }
}
