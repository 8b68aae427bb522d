//! One connection, from its handshake to its end.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use super::Limits;
use super::phase::{Activity, Observed};

/// What all connections of a port have in common.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) router: Router,
    pub(super) limits: Limits,
    pub(super) tls: Option<Arc<ServerConfig>>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Port {
    /// Serves a connection until either side ends it or it has done nothing for too long.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, activity: Arc<Activity>) {
        let limits = self.limits;
        tokio::select! {
            served = self.handshake(stream, Arc::clone(&activity)) => if let Err(error) = served {
                tracing::debug!(error, "connection ended");
            },
            phase = activity.overdue(&limits) => tracing::debug!(?phase, "connection closed: it took too long"),
        }
    }

    async fn handshake(&self, stream: TcpStream, activity: Arc<Activity>) -> Result<(), Failure> {
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return self.http1(Observed { io: stream, activity, multiplexed: false }).await;
        };
        let stream = TlsAcceptor::from(Arc::clone(tls)).accept(stream).await?;
        activity.connected();
        let multiplexed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Observed { io: stream, activity, multiplexed };
        if multiplexed { self.http2(stream).await } else { self.http1(stream).await }
    }

    async fn http1<S>(&self, stream: Observed<S>) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::clone(&stream.activity);
        http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(self.limits.head_size)
            .serve_connection(TokioIo::new(stream), service_fn(|request| self.answer(request, &activity)))
            .await?;
        Ok(())
    }

    async fn http2<S>(&self, stream: Observed<S>) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::clone(&stream.activity);
        let head_size = u32::try_from(self.limits.head_size).unwrap_or(u32::MAX);
        http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(head_size)
            .serve_connection(TokioIo::new(stream), service_fn(|request| self.answer(request, &activity)))
            .await?;
        Ok(())
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        activity: &Arc<Activity>,
    ) -> impl Future<Output = Result<Response<axum::body::Body>, Infallible>> + use<> {
        let answering = activity.answer();
        let answered = self.router.clone().call(request);
        async move {
            let response = answered.await;
            drop(answering);
            response
        }
    }
}

/// Requests at a time on one connection of HTTP/2.
const MAX_STREAMS: u32 = 32;
