//! From HTTP requests to the store and back.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};

use crate::api::Api;

pub(crate) use query::{Query, decode};

mod accept;
mod body;
mod documents;
mod handle;
mod host;
mod path;
mod protobuf;
mod protobuf_access;
mod protobuf_fields;
mod proxy;
mod query;
mod response;
mod watch;
mod write;

/// The server as a [`tower::Service`], for clients in the same process. Made by
/// [`Server::service`](crate::Server::service). It never fails: errors are `Status` responses.
#[derive(Clone, Debug)]
pub struct ApiService {
    api: Arc<Api>,
    /// What is sent as `Authorization` with every request.
    authorization: Option<HeaderValue>,
    /// Whether requests that were meant for a name of another host are refused.
    only_loopback: bool,
}

/// Body of a response: a document, or a watch that streams until it ends.
#[derive(Debug)]
pub struct ApiBody(UnsyncBoxBody<Bytes, Infallible>);

impl ApiService {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api, authorization: None, only_loopback: false }
    }

    /// The same service for those who can reach a listener on loopback: a page in a browser can, too, when the name of its
    /// site leads there (DNS rebinding), and says so by `Host`.
    pub(crate) const fn for_loopback(mut self) -> Self {
        self.only_loopback = true;
        self
    }

    /// The same service for a client that sends this token with every request.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        // A token that cannot stand in a header is sent as one that nobody has: never as none, which is the
        // administrator's.
        self.authorization = Some(value.unwrap_or(HeaderValue::from_static("Bearer -")));
        self
    }
}

impl<B> tower::Service<Request<B>> for ApiService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    type Response = Response<ApiBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(failure) = self.only_loopback.then(|| host::refusal(&request)).flatten() {
            return Box::pin(async move { Ok(response::failure(&failure)) });
        }
        let api = Arc::clone(&self.api);
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        Box::pin(async move { Ok(handle::respond(&api, request).await) })
    }
}

impl Body for ApiBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
