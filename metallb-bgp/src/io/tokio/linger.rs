//! Connections that have been closed and still have something to say.

use std::net::Shutdown;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A connection with its last octets. A plain close with unread data would send RST, and the peer might never
/// see the NOTIFICATION; so: write, read until the peer has closed, but not for long.
///
/// Our own half is shut down only when the peer does not close by itself: FRR's bgpd forgets messages that it has
/// read and not yet processed as soon as it reads the end of the stream, so a busy one would take a NOTIFICATION
/// followed by FIN for a lost connection and, with graceful restart, keep the routes.
pub(super) struct Lingering {
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    shut: bool,
    /// When our half is shut down at the latest.
    shut_at: Instant,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream, out: Vec<u8>) -> Self {
        // Without last words there is nothing that a FIN could overtake.
        let patience = if out.is_empty() { Duration::ZERO } else { FOR_THE_PEER_TO_CLOSE };
        Self { stream, out, written: 0, shut: false, shut_at: Instant::now() + patience }
    }

    /// Says what the socket takes at once, and does not wait for the peer.
    pub(super) fn say(&mut self) {
        // A waker that nobody needs: it is not looked at again. Nor does an error matter any more.
        let _ = self.write(&mut Context::from_waker(Waker::noop()));
    }

    /// Waits less, because the program wants to end.
    pub(super) fn hurry(&mut self) {
        self.shut_at = self.shut_at.min(Instant::now() + AT_THE_END);
    }

    /// When [`Self::poll`] has something to do even if nothing arrives.
    pub(super) fn next_timeout(&self) -> Instant {
        if self.shut { self.shut_at + AFTER_OUR_FIN } else { self.shut_at }
    }

    /// Ready when the connection can be dropped.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        if self.write(cx).is_err() || now >= self.shut_at + AFTER_OUR_FIN {
            return Poll::Ready(());
        }
        if now >= self.shut_at && !self.shut {
            // A connection that is gone already needs no shutting down.
            let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
            self.shut = true;
        }
        self.discard(cx)
    }

    fn write(&mut self, cx: &mut Context<'_>) -> std::io::Result<()> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty() && !self.shut) {
            match self.stream.poll_write_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(ready) => ready?,
            }
            match self.stream.try_write(rest) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads and forgets; ready when the peer has closed.
    fn discard(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4096];
        loop {
            match self.stream.poll_read_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    }
}

/// How long the peer has to read what was said and to close, before we close.
const FOR_THE_PEER_TO_CLOSE: Duration = Duration::from_secs(3);

/// The same when the program ends.
const AT_THE_END: Duration = Duration::from_secs(1);

/// How long it has after that.
const AFTER_OUR_FIN: Duration = Duration::from_millis(500);
