//! Connections that have been closed and still have something to say.

use std::net::Shutdown;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A connection with its last octets. A plain close with unread data would send RST, and the peer might never
/// see the NOTIFICATION; so: write, shut down our half, read until the peer has closed, but not for long.
pub(super) struct Lingering {
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    shut: bool,
    pub(super) deadline: Instant,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream, out: Vec<u8>) -> Self {
        Self { stream, out, written: 0, shut: false, deadline: Instant::now() + LONGEST }
    }

    /// Ready when the connection can be dropped.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        if now >= self.deadline {
            return Poll::Ready(());
        }
        while !self.shut {
            let rest = self.out.get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                // A connection that is gone already needs no shutting down.
                let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
                self.shut = true;
                break;
            }
            match self.stream.poll_write_ready(cx) {
                Poll::Pending => return self.discard(cx),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            match self.stream.try_write(rest) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
        self.discard(cx)
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

/// How long a closed connection is kept for the peer to read what was said.
const LONGEST: Duration = Duration::from_secs(1);
