//! What wrong flags get.

use crate::harness::Daemon;

async fn refused(args: &[&str], words: &[&str]) {
    let (status, text) = Daemon::run(env!("CARGO_BIN_EXE_controller"), args).await;
    assert_eq!(status.code(), Some(2), "{args:?}: {text}");
    assert!(words.iter().all(|word| text.contains(word)), "{args:?}: {text}");
}

#[tokio::test]
async fn wrong_flags_are_named_and_end_with_2() {
    refused(&["--no-such-flag"], &["--no-such-flag"]).await;
    refused(&["--port=many"], &["--port", "many"]).await;
    refused(&["-log-level=loud"], &["--log-level", "loud", "debug"]).await;
    refused(&["--host=node-1"], &["--host (METALLB_HOST)", "node-1"]).await;
    refused(&["--pprof-bind-address=0.0.0.0:1"], &["--pprof-bind-address", "loopback"]).await;
    refused(&["--lease-duration=5s"], &["--lease-duration", "--lease-renew-deadline", "10s"]).await;
    refused(&["--lease-retry-period=6s"], &["--lease-retry-period"]).await;
    refused(&["--kubeconfig=/nowhere"], &["/nowhere", "--kubeconfig"]).await;
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_flag() {
    let taken = std::net::TcpListener::bind("[::]:0").unwrap();
    let port = format!("--port={}", taken.local_addr().unwrap().port());
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("config");
    let server = metallb_apiserver::Server::builder().build().unwrap();
    std::fs::write(&path, server.kubeconfig("http://127.0.0.1:1")).unwrap();
    let kubeconfig = format!("--kubeconfig={}", path.display());
    let (status, text) =
        Daemon::run(env!("CARGO_BIN_EXE_controller"), &[&kubeconfig, &port, "--health-probe-port=0"]).await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("cannot listen on") && text.contains("--port"), "{text}");
}

#[tokio::test]
async fn help_goes_to_stdout_and_ends_with_0() {
    let (status, text) = Daemon::run(env!("CARGO_BIN_EXE_controller"), &["--help"]).await;
    assert_eq!((status.code(), text.as_str()), (Some(0), ""));
}
