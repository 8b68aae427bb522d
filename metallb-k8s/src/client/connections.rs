//! The connections behind a client.

use std::time::Duration;

use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt},
};
use tower::{BoxError, ServiceBuilder};

use super::MeasureLayer;

/// A client as kube builds it, whose connections notice when the other side has vanished without a word. A watch has
/// nothing to send, so nothing else would tell a dead one from a quiet one.
pub(super) fn client(config: Config, measure: &MeasureLayer) -> Result<Client, kube::Error> {
    if config.proxy_url.is_some() {
        // kube speaks to proxies, where it is built so, or says that it is not.
        return Ok(ClientBuilder::try_from(config)?.with_layer(measure).build());
    }
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp())?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let connections: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(connections);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).with_layer(measure).build())
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    // What is above it adds TLS.
    tcp.enforce_http(false);
    tcp.set_keepalive(Some(QUIET));
    tcp.set_keepalive_interval(Some(PROBE_INTERVAL));
    tcp.set_keepalive_retries(Some(PROBES));
    tcp
}

/// Silence after which the other side is asked whether it is there.
const QUIET: Duration = Duration::from_secs(30);

/// Between two such questions.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Questions without an answer after which the connection is given up.
const PROBES: u32 = 3;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper_util::rt::TokioIo;
    use socket2::SockRef;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };
    use tower::ServiceExt;

    use super::*;
    use crate::{
        client::{Timeouts, connect_to},
        retry::{Retries, Seed},
        write::Stats,
    };

    #[tokio::test]
    async fn a_peer_that_vanished_is_noticed_within_45_s() {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let target = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let stream: TokioIo<TcpStream> = tcp().oneshot(target).await.unwrap();
        let socket = SockRef::from(stream.inner());
        assert!(socket.keepalive().unwrap());
        let (time, interval) =
            (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
        let noticed = time + interval * socket.tcp_keepalive_retries().unwrap();
        assert!(noticed <= Duration::from_secs(45), "{noticed:?}");
    }

    /// What the kernel waits for on connections to this port, as `/proc/net/tcp` says it.
    fn timers(port: u16) -> Vec<String> {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let ours = rows.filter(|row| row.get(2).is_some_and(|peer| peer.ends_with(&format!(":{port:04X}"))));
        ours.map(|row| row[5].to_owned()).collect()
    }

    #[tokio::test]
    async fn a_client_has_the_kernel_watch_over_its_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config::new(format!("http://{address}").parse().unwrap());
        let (stats, retries) = (Arc::new(Stats::new()), Retries::new(Seed::new(1)));
        let client = connect_to(config, Timeouts::default(), stats, retries).unwrap();
        let asked = client.apiserver_version();
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            let body = r#"{"major":"1","minor":"35","gitVersion":"v1.35.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
            stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
            (stream, String::from_utf8_lossy(&request[..read]).into_owned())
        };
        let (version, (_open, request)) = tokio::join!(asked, served);
        assert_eq!(version.unwrap().minor, "35");
        assert!(request.starts_with("GET /version HTTP/1.1"), "{request}");
        let timers = timers(address.port());
        let (kind, _) = timers.first().and_then(|timer| timer.split_once(':')).unwrap();
        assert_eq!(kind, "02", "the timer of keepalive: {timers:?}");
    }
}
