//! What a connection is doing, and how long it may.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Limits;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Between requests; an answer may still be on its way to a slow reader.
    Idle,
    /// In the handshake, or before the end of the head of a request.
    Waiting,
    /// A request is being answered.
    Answering,
}

/// Since when it is doing that.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// How many requests are being answered; several at a time in HTTP/2 only.
    answering: usize,
    /// Whether the client has begun something that it must go on with.
    waiting: bool,
    /// Since when; while idle, since the last progress.
    pub(super) since: Instant,
}

impl State {
    pub(super) fn phase(&self) -> Phase {
        match (self.answering, self.waiting) {
            (0, false) => Phase::Idle,
            (0, true) => Phase::Waiting,
            _ => Phase::Answering,
        }
    }

    fn limit(&self, limits: &Limits) -> Duration {
        match self.phase() {
            Phase::Idle => limits.idle,
            Phase::Waiting => limits.head,
            Phase::Answering => limits.request,
        }
    }
}

/// The state of one connection; shared by its task, its input and output, and whoever chooses what gives way.
#[derive(Debug)]
pub(super) struct Activity(watch::Sender<State>);

impl Activity {
    /// A connection that was just accepted.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(State { answering: 0, waiting: true, since: Instant::now() }))
    }

    pub(super) fn state(&self) -> State {
        *self.0.borrow()
    }

    /// The handshake is done; now the head of a request has its time.
    pub(super) fn connected(&self) {
        self.0.send_modify(|state| state.since = Instant::now());
    }

    /// A request is being answered until what is returned is dropped.
    pub(super) fn answer(self: &Arc<Self>) -> Answering {
        self.0.send_modify(|state| {
            *state =
                State { answering: state.answering.saturating_add(1), waiting: false, since: Instant::now() };
        });
        Answering(Arc::clone(self))
    }

    /// Octets came. On a connection with one request at a time they are the start of the next.
    fn received(&self, multiplexed: bool) {
        self.0.send_if_modified(|state| {
            let idle = state.phase() == Phase::Idle;
            if idle {
                *state = State { answering: 0, waiting: !multiplexed, since: Instant::now() };
            }
            idle
        });
    }

    /// Octets of an answer went out.
    fn sent(&self) {
        self.0.send_if_modified(|state| {
            let idle = state.phase() == Phase::Idle;
            if idle {
                state.since = Instant::now();
            }
            idle
        });
    }

    /// Returns when the connection has done the same thing for too long.
    pub(super) async fn overdue(&self, limits: &Limits) -> Phase {
        let mut changes = self.0.subscribe();
        loop {
            let state = *changes.borrow_and_update();
            // The sender lives as long as `self`, so an error cannot come.
            tokio::select! {
                () = tokio::time::sleep_until(state.since + state.limit(limits)) => return state.phase(),
                _ = changes.changed() => {}
            }
        }
    }

    /// Returns when no request is being answered.
    pub(super) async fn relaxed(&self) {
        let mut changes = self.0.subscribe();
        while changes.borrow_and_update().answering > 0 {
            // The sender lives as long as `self`, so an error cannot come.
            if changes.changed().await.is_err() {
                break;
            }
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| {
            let answering = state.answering.saturating_sub(1);
            *state = State { answering, since: Instant::now(), ..*state };
        });
    }
}

/// Input and output that note what comes and goes.
#[derive(Debug)]
pub(super) struct Observed<S> {
    pub(super) io: S,
    pub(super) activity: Arc<Activity>,
    /// Whether several requests share the connection.
    pub(super) multiplexed: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.received(self.multiplexed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, octets);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.activity.sent();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_limits() -> Limits {
        Limits {
            connections: 1,
            head: Duration::from_secs(5),
            head_size: 0,
            idle: Duration::from_secs(60),
            request: Duration::from_secs(30),
            reserved_from: None,
        }
    }

    /// What the connection does when it is overdue, and after how many seconds.
    async fn overdue(activity: &Activity) -> (Phase, u64) {
        let begun = Instant::now();
        let phase = activity.overdue(&mk_limits()).await;
        (phase, begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_time() {
        let activity = Arc::new(Activity::new());
        assert_eq!(overdue(&activity).await, (Phase::Waiting, 5));
        let answering = activity.answer();
        assert_eq!(overdue(&activity).await, (Phase::Answering, 30));
        drop(answering);
        assert_eq!(overdue(&activity).await, (Phase::Idle, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_request_has_its_time_for_the_head_from_its_first_octet() {
        let activity = Arc::new(Activity::new());
        drop(activity.answer());
        let watched = tokio::spawn({
            let activity = Arc::clone(&activity);
            async move { overdue(&activity).await }
        });
        tokio::time::sleep(Duration::from_secs(40)).await;
        activity.received(false);
        tokio::time::sleep(Duration::from_secs(3)).await;
        activity.received(false);
        assert_eq!(watched.await.unwrap(), (Phase::Waiting, 45));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_goes_on_and_a_shared_connection_that_lives_are_not_overdue() {
        let activity = Arc::new(Activity::new());
        drop(activity.answer());
        tokio::time::sleep(Duration::from_secs(50)).await;
        activity.sent();
        assert_eq!(overdue(&activity).await, (Phase::Idle, 60));
        activity.received(true);
        assert_eq!(overdue(&activity).await, (Phase::Idle, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn several_requests_at_a_time_are_answered_until_the_last_is() {
        let activity = Arc::new(Activity::new());
        let (first, second) = (activity.answer(), activity.answer());
        drop(first);
        assert_eq!(activity.state().phase(), Phase::Answering);
        drop(second);
        activity.relaxed().await;
        assert_eq!(activity.state().phase(), Phase::Idle);
    }
}
