//! A network namespace with a thread inside it.
//!
//! A socket belongs to the namespace of the thread that makes it, and so does a child process. So
//! each namespace has one thread that entered it, with its own single-threaded runtime: whatever is
//! run there happens in that namespace. The namespace has no name in the file system; it ends with
//! the last thread and process in it.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, unshare};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::error::Error;

/// Prefix of the names of the threads, by which another process finds the namespaces.
pub(crate) const THREAD_PREFIX: &str = "room:";

/// A network namespace, alive as long as this value is.
#[derive(Debug)]
pub(crate) struct Room {
    name: Arc<str>,
    namespace: OwnedFd,
    runtime: Handle,
    netlink: rtnetlink::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread hands out once it is inside.
type Ready = io::Result<(OwnedFd, Handle, rtnetlink::Handle)>;

impl Room {
    /// A new, empty namespace.
    pub(crate) async fn create(name: &str) -> Result<Self, Error> {
        Self::start(name, true).await
    }

    /// The namespace the process is in already.
    pub(crate) async fn own(name: &str) -> Result<Self, Error> {
        Self::start(name, false).await
    }

    async fn start(name: &str, new: bool) -> Result<Self, Error> {
        let (ready, inside) = oneshot::channel::<Ready>();
        let (stop, stopped) = oneshot::channel();
        let doing = format!("making the network namespace of {name}");
        let thread = std::thread::Builder::new()
            .name(format!("{THREAD_PREFIX}{name}"))
            .spawn(move || live(new, ready, stopped))
            .map_err(Error::io(doing.clone()))?;
        let gone = || Err(io::Error::from(io::ErrorKind::BrokenPipe));
        let (namespace, runtime, netlink) =
            inside.await.unwrap_or_else(|_| gone()).map_err(Error::io(doing))?;
        Ok(Self { name: name.into(), namespace, runtime, netlink, stop: Some(stop), thread: Some(thread) })
    }

    /// The name of the place.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The namespace, for moving links into it.
    pub(crate) fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// The netlink connection in this namespace.
    pub(crate) const fn netlink(&self) -> &rtnetlink::Handle {
        &self.netlink
    }

    /// The runtime whose tasks all run inside.
    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs something inside, to its end.
    ///
    /// Sockets and child processes made by it belong to this namespace.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        what: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Error> {
        self.runtime.spawn(what).await.map_err(|error| {
            Error::io(format!("running a task inside {}", self.name))(io::Error::other(error))
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may be gone already, which is what we want.
            let _ = stop.send(());
        }
        // A task inside may hold the last reference: then the thread ends after it.
        let inside = |thread: &JoinHandle<()>| thread.thread().id() == std::thread::current().id();
        if let Some(thread) = self.thread.take().filter(|thread| !inside(thread)) {
            // A panic in there was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// What the thread does: enter, say so, and serve until told to stop.
fn live(new: bool, ready: oneshot::Sender<Ready>, stopped: oneshot::Receiver<()>) {
    let runtime = match enter(new) {
        Ok((namespace, runtime)) => match runtime.block_on(async { rtnetlink::new_connection() }) {
            Ok((connection, netlink, _)) => {
                runtime.spawn(connection);
                if ready.send(Ok((namespace, runtime.handle().clone(), netlink))).is_err() {
                    return;
                }
                runtime
            }
            Err(error) => {
                // A receiver that is gone has nobody to tell.
                let _ = ready.send(Err(error));
                return;
            }
        },
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    // An error means that the sender was dropped: the room is no longer wanted.
    let _ = runtime.block_on(stopped);
    runtime.shutdown_background();
}

fn enter(new: bool) -> io::Result<(OwnedFd, tokio::runtime::Runtime)> {
    if new {
        unshare(CloneFlags::CLONE_NEWNET)?;
    }
    let namespace = File::open("/proc/thread-self/ns/net")?.into();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok((namespace, runtime))
}
