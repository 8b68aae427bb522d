//! The driver's thread: sockets and netlink in, frames out, the responder in between.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::handle::{Event, EventReceiver, Handle, Shared, Snapshot};
use super::links::{Fact, Links};
use super::netlink::{Netlink, News};
use super::outbox::Outbox;
use super::ports::{Ports, Source};
use super::socket::open_unbound;
use super::sys::ReceiveBuffer;
use super::{Error, Operation};
use crate::responder::{self, Effect, Interface, InterfaceIndex, Responder};

/// Starts drivers; see [`Driver::start`].
#[derive(Debug)]
pub struct Driver;

/// How a driver works.
pub struct Options {
    /// Names of interfaces on which nothing is ever announced.
    pub exclude: Box<dyn Fn(&str) -> bool + Send>,
    /// How it announces.
    pub responder: responder::Options,
}

impl Options {
    /// No interface is excluded; the responder has the defaults, with a seed of this machine.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { exclude: Box::new(|_| false), responder: responder::Options::new(seed) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("responder", &self.responder).finish_non_exhaustive()
    }
}

impl Driver {
    /// Starts a driver in the network namespace of the calling thread. It runs on a thread of its own,
    /// so that it needs no runtime and delays nobody, until [`Handle::shutdown`] or until the last
    /// handle is dropped.
    ///
    /// # Errors
    /// [`Error::MissingCapability`] without `CAP_NET_RAW`; [`Error::Io`] when the thread, its runtime or
    /// its netlink socket cannot be made.
    pub fn start(options: Options) -> Result<(Handle, EventReceiver), Error> {
        Self::start_with_busy_poll(options, DEFAULT_BUSY_POLL)
    }

    /// [`Driver::start`] with another time of busy polling: after a frame that came less than `busy_poll`
    /// after the one before it, the driver asks the socket again and again for the next one for so long,
    /// instead of sleeping and being woken. That saves tens of microseconds per answer under load, and
    /// costs nothing while requests are further apart. Zero turns it off; it is off, too, where the calling
    /// thread may use one processor only.
    ///
    /// However many frames come, one socket keeps other sockets and timers waiting for a millisecond at
    /// most.
    ///
    /// # Errors
    /// Those of [`Driver::start`].
    pub fn start_with_busy_poll(
        options: Options,
        busy_poll: Duration,
    ) -> Result<(Handle, EventReceiver), Error> {
        drop(open_unbound()?);
        let start = |error: io::Error| Error::io(Operation::Start, &error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(start)?;
        let netlink = Netlink::open(&runtime)?;
        let shared = Arc::new(Shared::default());
        let handle = Handle::new(&shared);
        let receiver = EventReceiver::new(&shared);
        let alone = thread::available_parallelism().map_or(true, |processors| processors.get() == 1);
        let mut engine = Engine::new(options, netlink, shared);
        engine.busy_poll = if alone { Duration::ZERO } else { busy_poll };
        let body = move || runtime.block_on(engine.run());
        thread::Builder::new().name(THREAD_NAME.into()).spawn(body).map_err(start)?;
        Ok((handle, receiver))
    }
}

struct Engine {
    exclude: Box<dyn Fn(&str) -> bool + Send>,
    responder: Responder,
    netlink: Netlink,
    links: Links,
    /// The interfaces in use.
    used: BTreeMap<InterfaceIndex, Interface>,
    ports: Ports,
    buffer: ReceiveBuffer,
    outbox: Outbox,
    /// When to list all interfaces again: after lost messages, sockets that could not be opened, and groups that could
    /// not be joined.
    list_at: Option<Instant>,
    /// Messages were lost: links may have gone down and come up unseen.
    lost: bool,
    /// What is wrong with interfaces, as reported.
    broken: BTreeMap<InterfaceIndex, Error>,
    received_at: Option<Instant>,
    /// How close frames have to follow each other to be waited for without sleeping.
    busy_poll: Duration,
    /// The handles ask for more than one turn does.
    more_wanted: bool,
    shared: Ended,
}

impl Engine {
    fn new(options: Options, netlink: Netlink, shared: Arc<Shared>) -> Self {
        Self {
            exclude: options.exclude,
            responder: Responder::new(options.responder),
            netlink,
            links: Links::default(),
            used: BTreeMap::new(),
            ports: Ports::default(),
            buffer: ReceiveBuffer::new(),
            outbox: Outbox::new(),
            list_at: None,
            lost: false,
            broken: BTreeMap::new(),
            received_at: None,
            busy_poll: Duration::ZERO,
            more_wanted: false,
            shared: Ended(shared),
        }
    }

    async fn run(mut self) {
        self.list().await;
        self.report_interfaces();
        while !self.obey() {
            let now = clock();
            if self.list_at.is_some_and(|at| at <= now) {
                self.list().await;
            }
            self.responder.handle_timeout(now);
            let idle = self.perform(now) && !self.more_wanted;
            let rest = if idle { self.next_wake().map_or(Rest::UntilWoken, Rest::Until) } else { Rest::Not };
            tokio::select! {
                () = self.shared.0.work.notified() => {}
                news = self.netlink.next() => self.learn(news),
                (source, result) = receive(&mut self.ports, &mut self.buffer) => self.receive(source, result),
                () = rest.over() => {}
            }
        }
    }

    /// Does what the handles ask for, a bounded part of it; `true` to stop.
    fn obey(&mut self) -> bool {
        let now = clock();
        let (wanted, defended, again, reannounce, snapshots, events_dropped) = {
            let mut state = self.shared.0.lock();
            if state.shutdown {
                return true;
            }
            if let Some(partners) = state.partners.take() {
                self.responder.set_partners(partners);
            }
            let rest = state.wanted.keys().nth(CHANGES_PER_TURN).copied();
            let rest = rest.map(|first| state.wanted.split_off(&first)).unwrap_or_default();
            let wanted = std::mem::replace(&mut state.wanted, rest);
            self.more_wanted = !state.wanted.is_empty();
            // What is asked after a change has to show it.
            let (defended, again, reannounce, snapshots) = if self.more_wanted {
                (BTreeSet::new(), BTreeSet::new(), false, Vec::new())
            } else {
                let (defended, again) =
                    (std::mem::take(&mut state.defended), std::mem::take(&mut state.again));
                (defended, again, std::mem::take(&mut state.reannounce), std::mem::take(&mut state.snapshots))
            };
            (wanted, defended, again, reannounce, snapshots, state.events_dropped)
        };
        for (address, scope) in wanted {
            match scope {
                Some(scope) => self.responder.set(now, address, scope),
                None => self.responder.withdraw(now, address.into()),
            }
        }
        for address in defended {
            self.responder.defend(now, address.into());
        }
        for address in again {
            self.responder.announce_again(now, address.into());
        }
        if reannounce {
            self.used.keys().for_each(|&index| self.responder.reannounce(now, index));
        }
        for snapshot in snapshots {
            let answer = Snapshot {
                addresses: self.responder.addresses(),
                interfaces: self.used.values().cloned().collect(),
                frames: self.responder.stats(),
                unsent: self.outbox.unsent,
                events_dropped,
            };
            // Who asked may have gone away meanwhile.
            drop(snapshot.send(answer));
        }
        false
    }

    /// Performs what the responder wants, a bounded part of it; `false` when there is more.
    fn perform(&mut self, now: Instant) -> bool {
        while let Some(event) = self.responder.poll_event() {
            self.report(&event);
        }
        let all_effects = self.perform_effects(now);
        self.transmit(now) && all_effects
    }

    fn perform_effects(&mut self, now: Instant) -> bool {
        for _ in 0..EFFECTS_PER_TURN {
            match self.responder.poll_effect() {
                Some(Effect::Join { interface, group }) => self.join(now, interface, group, true),
                Some(Effect::Leave { interface, group }) => {
                    let left = self.ports.leave(interface, group);
                    if let Some(error) = relevant(Operation::LeaveGroup, left) {
                        self.report_error(Some(interface), error);
                    }
                }
                None => match self.ports.next_join_again() {
                    Some((interface, group)) => self.join(now, interface, group, false),
                    None => return true,
                },
            }
        }
        false
    }

    /// Joins a group. Where that fails, solicitations for its addresses are not heard, so it is tried again later;
    /// only the first failure is reported.
    fn join(&mut self, now: Instant, interface: InterfaceIndex, group: Ipv6Addr, first: bool) {
        let Some(error) = relevant(Operation::JoinGroup, self.ports.join(interface, group)) else { return };
        let retry = now.checked_add(LIST_RETRY);
        self.list_at = self.list_at.or(retry);
        if first {
            self.report_error(Some(interface), error);
        }
    }

    /// Sends frames until there are none (`true`), or the turn is over (`false`).
    fn transmit(&mut self, now: Instant) -> bool {
        let early = self.outbox.retry_at().map(|retry| now < retry);
        if early.is_some_and(|early| early || !self.outbox.flush(now, &self.ports)) {
            return true;
        }
        for _ in 0..FRAMES_PER_TURN {
            let Some(room) = self.outbox.room() else {
                if !self.outbox.flush(now, &self.ports) {
                    return true;
                }
                continue;
            };
            let Some(interface) = self.responder.poll_transmit(room) else {
                self.outbox.flush(now, &self.ports);
                return true;
            };
            self.outbox.keep(interface);
        }
        !self.outbox.flush(now, &self.ports)
    }

    fn next_wake(&self) -> Option<Instant> {
        match self.outbox.retry_at() {
            // Nothing else is sent before the outbox is empty.
            Some(retry) => Some(self.list_at.map_or(retry, |list| list.min(retry))),
            None => self.responder.next_timeout().into_iter().chain(self.list_at).min(),
        }
    }

    fn receive(&mut self, source: Source, result: io::Result<usize>) {
        let now = clock();
        match result {
            Ok(count) => {
                self.look_at(now, source, count);
                let hurried =
                    self.received_at.is_some_and(|last| now.saturating_duration_since(last) < self.busy_poll);
                self.received_at = Some(now);
                if hurried {
                    self.keep_receiving(now, source);
                }
            }
            Err(error) => {
                let error = Error::io(Operation::Receive, &error);
                // Netlink tells what has become of the interface.
                if error.is_gone() {
                    return;
                }
                self.report_error(Some(source.interface), error);
                self.stop_using(now, source.interface);
                self.list_at = now.checked_add(LIST_RETRY);
            }
        }
    }

    fn look_at(&mut self, now: Instant, source: Source, count: usize) {
        for number in 0..count {
            let outcome = self.responder.handle_frame(now, source.interface, self.buffer.frame(number));
            tracing::trace!(interface = %source.interface, ?outcome, "frame");
        }
    }

    /// While frames come in quick succession, going to sleep and being woken would cost more time than
    /// the frames themselves: asks the socket again for a moment instead, within a bounded turn.
    fn keep_receiving(&mut self, start: Instant, source: Source) {
        let mut last = start;
        let mut now = start;
        self.transmit(now);
        while now.saturating_duration_since(last) < self.busy_poll
            && now.saturating_duration_since(start) < LONGEST_TURN
        {
            let received = self.ports.try_receive(source, &mut self.buffer);
            now = clock();
            match received {
                Ok(count) => {
                    self.look_at(now, source, count);
                    self.transmit(now);
                    last = now;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::hint::spin_loop(),
                // The next ordinary call reports it.
                Err(_) => break,
            }
        }
        self.received_at = Some(last);
    }

    fn learn(&mut self, news: News) {
        let now = clock();
        match news {
            News::Facts(facts) => {
                let mut changed = false;
                for fact in facts {
                    changed |= self.learn_fact(now, fact);
                }
                if changed {
                    self.report_interfaces();
                }
            }
            News::Overrun => {
                tracing::debug!("netlink messages were lost, listing all interfaces");
                self.lost = true;
                self.list_at = Some(now);
            }
            News::Closed => {
                self.report_error(
                    None,
                    Error::io(Operation::FollowInterfaces, &io::ErrorKind::BrokenPipe.into()),
                );
                self.shared.0.lock().shutdown = true;
            }
        }
    }

    /// One change at a time: an interface that went down and came up again has to be announced anew.
    fn learn_fact(&mut self, now: Instant, fact: Fact) -> bool {
        let index = fact.interface();
        let stale = self.links.apply(fact);
        let existed = self.used.contains_key(&index);
        let changed = self.use_interface(now, index);
        if stale && existed {
            self.responder.reannounce(now, index);
        }
        changed
    }

    /// Brings one interface in line with what is known of it; `true` when that changed anything.
    fn use_interface(&mut self, now: Instant, index: InterfaceIndex) -> bool {
        let Some(interface) = self.links.usable(index, &self.exclude) else {
            return self.stop_using(now, index);
        };
        if self.used.get(&index) == Some(&interface) {
            return false;
        }
        if let Err(error) = self.ports.open(index) {
            // One that has just been deleted or went down: netlink will say so.
            if !error.is_gone() {
                self.list_at = now.checked_add(LIST_RETRY);
                if self.broken.insert(index, error.clone()).as_ref() != Some(&error) {
                    self.shared.0.emit(Event::Error { interface: Some(interface.name), error });
                }
            }
            return false;
        }
        self.broken.remove(&index);
        self.responder.upsert_interface(now, interface.clone());
        self.used.insert(index, interface);
        true
    }

    fn stop_using(&mut self, now: Instant, index: InterfaceIndex) -> bool {
        self.ports.close(index);
        self.broken.remove(&index);
        self.responder.remove_interface(now, index);
        self.used.remove(&index).is_some()
    }

    /// Lists all interfaces and brings every one in line.
    async fn list(&mut self) {
        // Where messages were lost, the end of the answer may be among them.
        let listed = tokio::time::timeout(LIST_PATIENCE, self.netlink.list())
            .await
            .unwrap_or_else(|_| Err(Error::io(Operation::FollowInterfaces, &io::ErrorKind::TimedOut.into())));
        let now = clock();
        match listed {
            Ok(links) => {
                self.list_at = None;
                self.links = links;
                self.ports.join_again();
                let known: BTreeSet<InterfaceIndex> =
                    self.links.indices().chain(self.used.keys().copied()).collect();
                let mut changed = false;
                let lost = std::mem::take(&mut self.lost);
                for index in known {
                    if self.use_interface(now, index) {
                        changed = true;
                    } else if lost {
                        self.responder.reannounce(now, index);
                    }
                }
                if changed {
                    self.report_interfaces();
                }
            }
            Err(error) => {
                self.list_at = now.checked_add(LIST_RETRY);
                self.report_error(None, error);
            }
        }
    }

    fn report_interfaces(&self) {
        self.shared.0.emit(Event::Interfaces(self.used.values().cloned().collect()));
    }

    fn report(&self, event: &responder::Event) {
        let name = |index| self.used.get(index).map(|used| used.name.clone()).unwrap_or_default();
        let event = match *event {
            responder::Event::Conflict { address, ref interface, mac, reaction } => {
                Event::Conflict { address, interface: name(interface), mac, reaction }
            }
            responder::Event::Claimed { address, ref interface, mac } => {
                Event::Claimed { address, interface: name(interface), mac }
            }
        };
        self.shared.0.emit(event);
    }

    fn report_error(&self, interface: Option<InterfaceIndex>, error: Error) {
        let name = interface.and_then(|index| self.used.get(&index)).map(|used| used.name.clone());
        self.shared.0.emit(Event::Error { interface: name, error });
    }
}

/// The error, unless the interface has gone: netlink tells what has become of it.
fn relevant(operation: Operation, result: io::Result<()>) -> Option<Error> {
    result.err().map(|error| Error::io(operation, &error)).filter(|error| !error.is_gone())
}

/// Tells everybody when the driver ends, however it ends.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn receive(ports: &mut Ports, buffer: &mut ReceiveBuffer) -> (Source, io::Result<usize>) {
    poll_fn(|cx| ports.poll_receive(cx, buffer)).await
}

/// What the driver does after a turn.
#[derive(Clone, Copy, Debug)]
enum Rest {
    /// There is more to do.
    Not,
    Until(Instant),
    UntilWoken,
}

impl Rest {
    /// Waits until it is over. The runtime has a turn in any case: without one, sockets report nothing new after a
    /// number of turns, and the netlink connection, a task of its own, stands still.
    async fn over(self) {
        match self {
            Self::Until(at) if at > clock() => tokio::time::sleep_until(at.into()).await,
            Self::Until(_) | Self::Not => tokio::task::yield_now().await,
            Self::UntilWoken => std::future::pending().await,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver is what reads the clock for the responder")]
fn clock() -> Instant {
    Instant::now()
}

const THREAD_NAME: &str = "metallb-arp";
/// How long to wait before listing again after something failed.
const LIST_RETRY: Duration = Duration::from_secs(1);
/// How long a list may take: the kernel answers in milliseconds, also with thousands of interfaces.
const LIST_PATIENCE: Duration = Duration::from_secs(5);
/// Group changes between two looks at the sockets: each takes the kernel's configuration lock.
const EFFECTS_PER_TURN: usize = 64;
/// Frames sent between two looks at the sockets.
const FRAMES_PER_TURN: usize = 256;
/// Addresses announced or withdrawn between two looks at the sockets.
const CHANGES_PER_TURN: usize = 1024;
/// The busy polling of [`Driver::start`]: about what going to sleep and being woken takes.
pub const DEFAULT_BUSY_POLL: Duration = Duration::from_micros(50);
/// The longest time one socket may keep the others waiting.
const LONGEST_TURN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn the_runtime_has_a_turn_between_two_turns_of_the_driver() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _context = runtime.enter();
        for rest in [Rest::Not, Rest::Until(clock())] {
            let mut over = pin!(rest.over());
            let mut context = Context::from_waker(Waker::noop());
            assert_eq!(over.as_mut().poll(&mut context), Poll::Pending, "{rest:?}");
            assert_eq!(over.as_mut().poll(&mut context), Poll::Ready(()), "{rest:?}");
        }
    }
}
