//! What wrong flags get.

use crate::harness::Daemon;
use crate::harness::published::{Published, all_come_up};

async fn refused(args: &[&str], words: &[&str]) {
    refused_in(&[], args, words).await;
}

async fn refused_in(env: &[(&str, &str)], args: &[&str], words: &[&str]) {
    let (status, text) = Daemon::run_in(env!("CARGO_BIN_EXE_controller"), env, args).await;
    assert_eq!(status.code(), Some(2), "{env:?} {args:?}: {text}");
    assert!(words.iter().all(|word| text.contains(word)), "{env:?} {args:?}: {text}");
}

#[tokio::test]
async fn wrong_flags_are_named_and_end_with_2() {
    refused(&["--no-such-flag"], &["--no-such-flag"]).await;
    refused(&["--port=many"], &["--port", "many", "1 to 65535"]).await;
    refused(&["--secure-port=65536"], &["--secure-port", "65536", "1 to 65535"]).await;
    refused(&["--webhook-mode=on"], &["--webhook-mode", "on", "enabled", "disabled", "onlywebhook"]).await;
    refused(&["--webhook-http2=yes"], &["--webhook-http2", "yes", "true or false"]).await;
    refused(&["--tls-min-version=VersionTLS10"], &["--tls-min-version", "VersionTLS10", "VersionTLS12"])
        .await;
    refused(&["--tls-cipher-suites=AES"], &["--tls-cipher-suites", "AES", "TLS_ECDHE_"]).await;
    refused(&["-tls-curve-preferences", "1"], &["--tls-curve-preferences", "X25519"]).await;
    refused_in(&[("METALLB_BGP_TYPE", "bird")], &[], &["METALLB_BGP_TYPE", "bird", "frr-k8s"]).await;
    refused_in(&[("METALLB_HOST", "node-1")], &[], &["METALLB_HOST", "node-1", "an IP address"]).await;
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

#[test]
fn what_metallb_published_starts_this_controller() {
    let test = "flags::what_metallb_published_starts_this_controller";
    all_come_up(test, env!("CARGO_BIN_EXE_controller"), &PUBLISHED, |_| {});
}

const PUBLISHED: [Published; 8] = [
    Published {
        source: "metallb-native.yaml of v0.13.12",
        args: &["--port=7472", "--log-level=info"],
        env: &[("METALLB_ML_SECRET_NAME", "memberlist"), ("METALLB_DEPLOYMENT", "controller")],
        notices: &[],
    },
    Published {
        source: "metallb-frr.yaml of v0.13.12",
        args: &["--port=7472", "--log-level=info"],
        env: &[
            ("METALLB_BGP_TYPE", "frr"),
            ("METALLB_ML_SECRET_NAME", "memberlist"),
            ("METALLB_DEPLOYMENT", "controller"),
        ],
        notices: &["METALLB_BGP_TYPE"],
    },
    Published {
        source: "metallb-native.yaml of v0.14.9 and v0.15.2",
        args: &["--port=7472", "--log-level=info", "--tls-min-version=VersionTLS12"],
        env: &[("METALLB_ML_SECRET_NAME", "memberlist"), ("METALLB_DEPLOYMENT", "controller")],
        notices: &[],
    },
    Published {
        source: "metallb-frr-k8s.yaml of v0.14.9 and v0.15.2",
        args: &["--port=7472", "--log-level=info", "--tls-min-version=VersionTLS12"],
        env: &[
            ("METALLB_BGP_TYPE", "frr-k8s"),
            ("METALLB_ML_SECRET_NAME", "memberlist"),
            ("METALLB_DEPLOYMENT", "controller"),
        ],
        notices: &["METALLB_BGP_TYPE"],
    },
    Published {
        source: "metallb-native.yaml of v0.16.1",
        args: &["--port=9120", "--log-level=info"],
        env: &[
            ("METALLB_POD_NAME", "controller-5d4f6c8b7-abcde"),
            ("METALLB_ML_SECRET_NAME", "memberlist"),
            ("METALLB_DEPLOYMENT", "controller"),
        ],
        notices: &[],
    },
    Published {
        source: "metallb-frr-k8s.yaml of v0.16.1",
        args: &["--port=9120", "--log-level=info"],
        env: &[
            ("METALLB_POD_NAME", "controller-5d4f6c8b7-abcde"),
            ("METALLB_BGP_TYPE", "frr-k8s"),
            ("METALLB_ML_SECRET_NAME", "memberlist"),
            ("METALLB_DEPLOYMENT", "controller"),
        ],
        notices: &["METALLB_BGP_TYPE"],
    },
    Published {
        source: "chart 0.14.9 with its defaults and a class",
        args: &[
            "--port=7472",
            "--log-level=info",
            "--lb-class=metallb",
            "--webhook-mode=enabled",
            "--tls-min-version=VersionTLS12",
        ],
        env: &[
            ("METALLB_ML_SECRET_NAME", "metallb-memberlist"),
            ("METALLB_DEPLOYMENT", "metallb-controller"),
            ("METALLB_BGP_TYPE", "frr"),
        ],
        notices: &["METALLB_BGP_TYPE"],
    },
    Published {
        source: "chart 0.16.1 with every TLS value",
        args: &[
            "--port=9120",
            "--log-level=info",
            "--webhook-mode=enabled",
            "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "--tls-curve-preferences=29,23",
            "--tls-min-version=VersionTLS12",
        ],
        env: &[
            ("METALLB_POD_NAME", "metallb-controller-5d4f6c8b7-abcde"),
            ("METALLB_ML_SECRET_NAME", "metallb-memberlist"),
            ("METALLB_DEPLOYMENT", "metallb-controller"),
            ("METALLB_BGP_TYPE", "frr-k8s"),
        ],
        notices: &["METALLB_BGP_TYPE"],
    },
];
