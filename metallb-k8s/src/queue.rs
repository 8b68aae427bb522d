//! A queue of keys to look at again.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// Keys that changed since they were last taken, each at most once, oldest first.
///
/// Level-triggered: a key says "look again", never what happened. Cloning gives another handle to the
/// same queue. Meant for any number of senders and one receiver.
///
/// ```
/// use metallb_k8s::queue::Queue;
///
/// let queue = Queue::new();
/// queue.push("a");
/// queue.push("b");
/// queue.push("a");
/// assert_eq!(queue.try_pop(), Some("a"));
/// assert_eq!(queue.try_pop(), Some("b"));
/// assert_eq!(queue.try_pop(), None);
/// ```
pub struct Queue<K>(Arc<Shared<K>>);

struct Shared<K> {
    state: Mutex<State<K>>,
    wake: Notify,
}

struct State<K> {
    waiting: HashSet<K>,
    order: VecDeque<(K, Instant)>,
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        let state = State { waiting: HashSet::new(), order: VecDeque::new() };
        Self(Arc::new(Shared { state: Mutex::new(state), wake: Notify::new() }))
    }

    /// Asks for a key to be looked at. A key that is already waiting keeps its place.
    pub fn push(&self, key: K) {
        let mut state = self.lock();
        if state.waiting.insert(key.clone()) {
            state.order.push_back((key, Instant::now()));
            drop(state);
            self.0.wake.notify_one();
        }
    }

    /// The oldest waiting key; waits for one. Dropping the future loses nothing.
    pub async fn pop(&self) -> K {
        loop {
            let woken = self.0.wake.notified();
            if let Some(key) = self.try_pop() {
                return key;
            }
            woken.await;
        }
    }

    /// The oldest waiting key, if there is one.
    pub fn try_pop(&self) -> Option<K> {
        let mut state = self.lock();
        let (key, _) = state.order.pop_front()?;
        state.waiting.remove(&key);
        Some(key)
    }

    /// How many keys wait.
    pub fn depth(&self) -> usize {
        self.lock().order.len()
    }

    /// How long the oldest key has been waiting; zero when none waits.
    pub fn oldest(&self) -> Duration {
        self.lock().order.front().map_or(Duration::ZERO, |(_, since)| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Clone + Eq + Hash> Default for Queue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for Queue<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_pushed_twice_is_taken_once_and_its_age_counts_from_the_first_push() {
        let queue = Queue::new();
        queue.push(1);
        tokio::time::advance(Duration::from_secs(3)).await;
        queue.push(1);
        assert_eq!((queue.depth(), queue.oldest()), (1, Duration::from_secs(3)));
        assert_eq!(queue.pop().await, 1);
        assert_eq!((queue.depth(), queue.oldest()), (0, Duration::ZERO));
    }

    #[tokio::test]
    async fn a_waiting_receiver_is_woken() {
        let queue = Queue::new();
        let sender = queue.clone();
        let (key, ()) = tokio::join!(queue.pop(), async move {
            tokio::task::yield_now().await;
            sender.push("late");
        });
        assert_eq!(key, "late");
    }

    #[tokio::test]
    async fn a_key_pushed_while_it_is_worked_on_comes_again() {
        let queue = Queue::new();
        queue.push(1);
        assert_eq!(queue.pop().await, 1);
        queue.push(1);
        assert_eq!(queue.pop().await, 1);
    }

    #[tokio::test]
    async fn a_dropped_wait_loses_no_key() {
        let queue = Queue::new();
        {
            let pending = queue.pop();
            tokio::pin!(pending);
            assert!(futures::poll!(pending.as_mut()).is_pending());
            queue.push(7);
        }
        assert_eq!(queue.pop().await, 7);
    }
}
