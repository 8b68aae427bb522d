//! The server's heart: options and the locked state behind every request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::BuildError;
use crate::state::State;

/// What bounds memory and time.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) history: usize,
    pub(crate) watch_buffer: usize,
    pub(crate) max_body: usize,
    pub(crate) bookmark_interval: Duration,
}

/// Options and state. Requests of one server run one after the other under the lock, each for a short time and
/// without waiting: that is what makes a transaction of "read, check, allocate, write, collect" simple.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) limits: Limits,
    pub(crate) stop: CancellationToken,
    state: Mutex<State>,
}

impl Api {
    pub(crate) fn new(limits: Limits, stop: CancellationToken) -> Self {
        let state = Mutex::new(State::new(&limits));
        Self { limits, stop, state }
    }

    /// The state. A panic in another request does not take the server down: each write is committed in one
    /// step, after everything that can fail.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let wrong = |option, problem: &str| Err(BuildError::Option { option, problem: problem.to_owned() });
        if self.history == 0 {
            return wrong("history", "0 leaves no change to resume from; give at least 1");
        }
        if self.watch_buffer == 0 {
            return wrong("watch_buffer", "0 would end every watch at its first event; give at least 1");
        }
        if self.max_body == 0 {
            return wrong("max_body", "0 refuses every request with a body; give a number of bytes");
        }
        if self.bookmark_interval.is_zero() {
            return wrong("bookmark_interval", "0 would send bookmarks without end; give a pause");
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            history: 8192,
            watch_buffer: 4096,
            max_body: 3 * 1024 * 1024,
            bookmark_interval: Duration::from_secs(60),
        }
    }
}
