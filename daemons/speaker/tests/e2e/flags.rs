//! What wrong flags get.

use crate::harness::Daemon;
use crate::harness::published::{Published, all_come_up};
use crate::site::NODE;

async fn refused(args: &[&str], words: &[&str]) {
    refused_in(&[], args, words).await;
}

async fn refused_in(env: &[(&str, &str)], args: &[&str], words: &[&str]) {
    let (status, text) = Daemon::run_in(env!("CARGO_BIN_EXE_speaker"), env, args).await;
    assert_eq!(status.code(), Some(2), "{env:?} {args:?}: {text}");
    assert!(words.iter().all(|word| text.contains(word)), "{env:?} {args:?}: {text}");
}

#[tokio::test]
async fn wrong_flags_are_named_and_end_with_2() {
    refused(&["--no-such-flag"], &["--no-such-flag"]).await;
    refused(&[], &["--node-name (METALLB_NODE_NAME)"]).await;
    refused(&["--node-name=a", "--l2-max-pps=0"], &["--l2-max-pps"]).await;
    refused(&["--node-name=a", "--l2-ownership=mine"], &["--l2-ownership", "hash or sticky"]).await;
    refused(&["--node-name=a", "--ml-bindaddr=here"], &["--ml-bindaddr (METALLB_ML_BIND_ADDR)", "here"])
        .await;
    refused(&["--node-name=a", "--host=here"], &["--host (METALLB_HOST)", "here"]).await;
    let node = [("METALLB_NODE_NAME", "a")];
    let with = |name, value| [node[0], (name, value)];
    for (name, value, words) in [
        ("METALLB_ML_BIND_PORT", "http", ["--ml-bindport", "http", "1 to 65535"]),
        ("METALLB_BGP_DEBOUNCE_TIMEOUT", "3s", ["--bgp-debounce-timeout", "3s", "milliseconds"]),
        ("METALLB_BGP_TYPE", "bird", ["bird", "native", "frr-k8s"]),
    ] {
        refused_in(&with(name, value), &[], &[&[name][..], &words].concat()).await;
    }
    refused(&["--node-name=a", "--ignore-exclude-lb=yes"], &["--ignore-exclude-lb", "yes", "true or false"])
        .await;
    refused(&["--node-name=a", "--kubeconfig=/nowhere"], &["--kubeconfig", "/nowhere"]).await;
}

#[tokio::test]
async fn a_secret_in_the_environment_is_refused_and_not_shown() {
    let env = [
        ("METALLB_NODE_NAME", "a"),
        ("METALLB_ML_BIND_ADDR", "127.0.0.1"),
        ("METALLB_ML_LABELS", "app=metallb"),
        ("METALLB_ML_SECRET_KEY", "c2VjcmV0"),
    ];
    let (status, text) = Daemon::run_in(env!("CARGO_BIN_EXE_speaker"), &env, &[]).await;
    assert_eq!(status.code(), Some(2), "{text}");
    assert!(text.contains("METALLB_ML_SECRET_KEY_PATH") && !text.contains("c2VjcmV0"), "{text}");
}

#[test]
fn what_metallb_published_starts_this_speaker() {
    let test = "flags::what_metallb_published_starts_this_speaker";
    all_come_up(test, env!("CARGO_BIN_EXE_speaker"), &PUBLISHED, |cluster| {
        cluster.apply(&format!("apiVersion: v1\nkind: Node\nmetadata:\n  name: {NODE}\n"));
        std::fs::create_dir_all(KEY_DIRECTORY).unwrap();
        std::fs::write(format!("{KEY_DIRECTORY}/secretkey"), "at least sixteen octets").unwrap();
    });
}

/// Where the Secret of the membership would be mounted.
const KEY_DIRECTORY: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/ml_secret_key");

const NODE_NAME: (&str, &str) = ("METALLB_NODE_NAME", NODE);
const HOST: (&str, &str) = ("METALLB_HOST", "10.0.0.1");
const POD: (&str, &str) = ("METALLB_POD_NAME", "speaker-abcde");
const ADDRESS: (&str, &str) = ("METALLB_ML_BIND_ADDR", "10.0.0.1");
const LABELS: (&str, &str) = ("METALLB_ML_LABELS", "app=metallb,component=speaker");
const KEY: (&str, &str) = ("METALLB_ML_SECRET_KEY_PATH", KEY_DIRECTORY);
const CHART_LABELS: (&str, &str) =
    ("METALLB_ML_LABELS", "app.kubernetes.io/name=metallb,app.kubernetes.io/component=speaker");
const PORT: (&str, &str) = ("METALLB_ML_BIND_PORT", "7946");
const CONFIG: (&str, &str) = ("FRR_CONFIG_FILE", "/etc/frr_reloader/frr.conf");
const RELOADER: (&str, &str) = ("FRR_RELOADER_PID_FILE", "/etc/frr_reloader/reloader.pid");
const FRR: (&str, &str) = ("METALLB_BGP_TYPE", "frr");
const FRR_K8S: (&str, &str) = ("METALLB_BGP_TYPE", "frr-k8s");

const PUBLISHED: [Published; 7] = [
    Published {
        source: "metallb-native.yaml of v0.13.12",
        args: &["--port=7472", "--log-level=info"],
        env: &[NODE_NAME, HOST, ADDRESS, LABELS, KEY],
        notices: &[],
    },
    Published {
        source: "metallb-frr.yaml of v0.13.12 to v0.15.2",
        args: &["--port=7472", "--log-level=info"],
        env: &[CONFIG, RELOADER, FRR, NODE_NAME, HOST, ADDRESS, LABELS, KEY],
        notices: &["METALLB_BGP_TYPE"],
    },
    Published {
        source: "metallb-frr-k8s.yaml of v0.14.9 and v0.15.2",
        args: &["--port=7472", "--log-level=info"],
        env: &[FRR_K8S, NODE_NAME, POD, HOST, ADDRESS, LABELS, KEY],
        notices: &["METALLB_BGP_TYPE"],
    },
    Published {
        source: "metallb-native.yaml of v0.16.1",
        args: &["--log-level=info", "--port=9120"],
        env: &[NODE_NAME, POD, HOST, ADDRESS, LABELS, KEY],
        notices: &[],
    },
    Published {
        source: "chart 0.14.9 with its defaults and a class",
        args: &["--port=7472", "--log-level=info", "--lb-class=metallb"],
        env: &[NODE_NAME, HOST, ADDRESS, CHART_LABELS, PORT, KEY, CONFIG, RELOADER, FRR, POD],
        notices: &["METALLB_BGP_TYPE"],
    },
    Published {
        source: "chart 0.14.9 with frr-k8s elsewhere, secured metrics and every switch",
        args: &[
            "--port=7472",
            "--log-level=debug",
            "--ml-wan-config",
            "--ignore-exclude-lb",
            "--host=localhost",
            "--frrk8s-namespace=frr-k8s-system",
        ],
        env: &[NODE_NAME, HOST, ADDRESS, CHART_LABELS, PORT, KEY, FRR_K8S, POD],
        notices: &["METALLB_BGP_TYPE"],
    },
    Published {
        source: "chart 0.13.12 without membership",
        args: &["--port=7472", "--log-level=info"],
        env: &[NODE_NAME, HOST],
        notices: &[],
    },
];
