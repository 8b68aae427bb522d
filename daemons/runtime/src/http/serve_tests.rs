//! Clients that take what they can get.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::{Limits, serve};
use crate::tls::testing::{mk_certificates, mk_client};
use crate::tls::{TlsOptions, server_config};

/// Long enough on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longer than any test: a limit that does not matter in it.
const NEVER: Duration = Duration::from_secs(3600);

/// Short, for limits that are waited for.
const SOON: Duration = Duration::from_millis(100);

fn mk_limits(connections: usize) -> Limits {
    let reserved_from = None;
    Limits { connections, head: NEVER, head_size: 16 * 1024, idle: NEVER, request: NEVER, reserved_from }
}

/// A port that answers `/` at once, `/held` when the semaphore has a permit, and `/large` with 64 MiB.
struct Site {
    address: SocketAddr,
    held: Arc<Semaphore>,
}

impl Site {
    async fn start(limits: Limits) -> Self {
        Self::with(limits, false, false).await
    }

    async fn with(limits: Limits, tls: bool, http2: bool) -> Self {
        let held = Arc::new(Semaphore::new(0));
        let permits = Arc::clone(&held);
        let wait = async move || {
            permits.acquire().await.unwrap().forget();
            "released"
        };
        let router = Router::new()
            .route("/", get(async || "answer"))
            .route("/held", get(wait))
            .route("/large", get(async || vec![b'x'; 64 << 20]));
        let tls = tls.then(|| server_config(&TlsOptions::default(), mk_certificates(), http2).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router, limits, tls));
        Self { address, held }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection on which this much of a request was sent.
    async fn send(&self, octets: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(octets.as_bytes()).await.unwrap();
        stream
    }

    /// A whole request on a connection of its own.
    async fn is_served(&self) {
        let mut stream = self.connect().await;
        assert!(ask(&mut stream, "/").await.ends_with("answer"));
    }

    async fn connect_tls(&self, protocol: &[u8]) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut config = mk_client(&[&TLS13]);
        config.alpn_protocols = vec![protocol.to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let connected = connector.connect("localhost".try_into().unwrap(), self.connect().await);
        timeout(PATIENCE, connected).await.expect("the handshake is not held up").unwrap()
    }
}

/// A request on a connection that stays open, and what it is answered.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(stream).await
}

/// The answer to a request; short, so that it comes in one piece.
async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut octets = vec![0; 64 * 1024];
    let read = timeout(PATIENCE, stream.read(&mut octets)).await.expect("an answer in time").unwrap();
    String::from_utf8_lossy(&octets[..read]).into_owned()
}

/// Waits until the other side has closed.
async fn is_closed<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut rest = Vec::new();
    // An error is an end as well: a reset.
    let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "still open after {}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let site = Site::start(mk_limits(2)).await;
    let mut stream = site.connect().await;
    for _ in 0..3 {
        let answer = ask(&mut stream, "/").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("answer"), "{answer}");
    }
}

#[tokio::test]
async fn half_requests_do_not_keep_others_out() {
    let site = Site::start(mk_limits(8)).await;
    let mut halves = Vec::new();
    for _ in 0..1200 {
        halves.push(site.send("GET / HTTP/1.1\r\nHost: ").await);
    }
    site.is_served().await;
    for half in &mut halves[..1100] {
        is_closed(half).await;
    }
}

#[tokio::test]
async fn unfinished_heads_are_few_and_small() {
    let site = Site::start(mk_limits(32)).await;
    let line = format!("X-Fill: {}\r\n", "x".repeat(8000));
    let mut heads = Vec::new();
    for _ in 0..500 {
        heads.push(site.send(&format!("GET / HTTP/1.1\r\n{line}")).await);
    }
    for head in &mut heads[..468] {
        is_closed(head).await;
    }
    let mut last = heads.pop().unwrap();
    last.write_all(format!("{line}{line}").as_bytes()).await.unwrap();
    assert!(answer(&mut last).await.starts_with("HTTP/1.1 431 "));
    site.is_served().await;
}

#[tokio::test]
async fn a_head_has_its_time_however_slowly_it_comes() {
    let site = Site::start(Limits { head: SOON, ..mk_limits(4) }).await;
    let begun = Instant::now();
    let (mut reader, mut writer) = site.send("GET / HTTP/1.1\r\nX: ").await.into_split();
    let dripping = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SOON / 10).await;
        }
    });
    is_closed(&mut reader).await;
    assert!(begun.elapsed() >= SOON);
    dripping.abort();
    is_closed(&mut site.connect().await).await;
}

#[tokio::test]
async fn between_requests_there_is_more_time_than_for_a_head() {
    let site = Site::start(Limits { head: SOON, idle: SOON * 5, ..mk_limits(4) }).await;
    let mut stream = site.connect().await;
    ask(&mut stream, "/").await;
    let begun = Instant::now();
    is_closed(&mut stream).await;
    assert!(begun.elapsed() >= SOON * 4, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_request_that_is_never_answered_ends() {
    let site = Site::start(Limits { request: SOON, ..mk_limits(4) }).await;
    is_closed(&mut site.send("GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n").await).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_left() {
    let site = Site::start(Limits { idle: SOON, ..mk_limits(4) }).await;
    let mut stream = site.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    stream.readable().await.unwrap();
    tokio::time::sleep(SOON * 10).await;
    let mut read = Vec::new();
    // An error is an end as well: a reset.
    let end = timeout(PATIENCE, stream.read_to_end(&mut read)).await;
    assert!(end.is_ok() && read.len() < 64 << 20, "{}", read.len());
}

#[tokio::test]
async fn the_one_that_idles_longest_gives_way_and_none_that_is_being_answered() {
    let site = Site::start(mk_limits(4)).await;
    let mut held = site.send("GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let (mut first, mut second, mut third) =
        (site.connect().await, site.connect().await, site.connect().await);
    ask(&mut first, "/").await;
    ask(&mut second, "/").await;
    ask(&mut third, "/").await;
    ask(&mut first, "/").await;
    let mut fourth = site.connect().await;
    ask(&mut fourth, "/").await;
    is_closed(&mut second).await;
    for open in [&mut first, &mut third, &mut fourth] {
        assert!(ask(open, "/").await.ends_with("answer"));
    }
    site.held.add_permits(1);
    assert!(answer(&mut held).await.ends_with("released"));
}

#[tokio::test]
async fn when_all_are_being_answered_the_next_waits() {
    let site = Site::start(mk_limits(2)).await;
    let held = "GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut first = site.send(held).await;
    let mut second = site.send(held).await;
    let mut third = site.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(timeout(SOON, third.read_u8()).await.is_err(), "no room for it");
    site.held.add_permits(2);
    assert!(answer(&mut third).await.ends_with("answer"));
    let answered = [answer(&mut first).await, answer(&mut second).await];
    assert!(answered.iter().any(|answer| answer.ends_with("released")), "{answered:?}");
}

#[tokio::test]
async fn a_slow_handshake_holds_up_nobody_and_ends() {
    let site = Site::with(Limits { head: SOON * 10, ..mk_limits(4) }, true, false).await;
    let mut silent = site.connect().await;
    let mut slow = site.send("\x16\x03\x01").await;
    let mut stream = site.connect_tls(b"http/1.1").await;
    assert!(ask(&mut stream, "/").await.ends_with("answer"));
    is_closed(&mut silent).await;
    is_closed(&mut slow).await;
}

#[tokio::test]
async fn plain_text_on_a_port_with_tls_is_closed() {
    let site = Site::with(mk_limits(4), true, false).await;
    is_closed(&mut site.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await).await;
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_offered() {
    let site = Site::with(mk_limits(4), true, true).await;
    let stream = TokioIo::new(site.connect_tls(b"h2").await);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = Request::get("https://localhost/").body(Empty::<Bytes>::new()).unwrap();
        let answered = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
        let body = answered.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], b"answer");
    }
}

#[tokio::test]
async fn descriptors_that_are_kept_back_are_not_given_to_clients() {
    let site = Site::start(Limits { reserved_from: Some(0), ..mk_limits(4) }).await;
    is_closed(&mut site.connect().await).await;
    is_closed(&mut site.connect().await).await;
}
