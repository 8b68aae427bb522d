//! What rights a speaker has once it runs, and what it says when one is missing.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use crate::harness::{Cluster, Daemon};
use crate::site::{NODE, cluster, in_namespace, speaker, speaker_by};

/// Bits of `/proc/PID/status`.
const NET_BIND_SERVICE: u64 = 1 << 10;
const NET_RAW: u64 = 1 << 13;
/// Who has no rights, in the image and elsewhere.
const NOBODY: u32 = 65534;

/// A program that starts the speaker after this command; it has the speaker's name, by which it gets its kubeconfig.
fn started_by(cluster: &Cluster, command: &str) -> PathBuf {
    let directory = cluster.directory().join("by");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("speaker");
    let text = format!("#!/bin/sh\nexec {command} {} \"$@\"\n", env!("CARGO_BIN_EXE_speaker"));
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// The permitted capabilities of every thread, which are the effective ones, too; there are none to inherit, nor may more
/// be had.
fn rights(daemon: &Daemon) -> u64 {
    let mut found = None;
    for thread in std::fs::read_dir(format!("/proc/{}/task", daemon.id())).unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim().to_owned()
        };
        let bits = |name| u64::from_str_radix(&field(name), 16).unwrap();
        assert_eq!(field("NoNewPrivs"), "1");
        assert_eq!((bits("CapInh"), bits("CapAmb")), (0, 0));
        assert_eq!(bits("CapEff"), bits("CapPrm"));
        assert_eq!(*found.get_or_insert_with(|| bits("CapPrm")), bits("CapPrm"), "all threads have the same");
    }
    found.unwrap()
}

#[test]
fn a_speaker_has_what_it_needs_and_nothing_else() {
    in_namespace("privileges::a_speaker_has_what_it_needs_and_nothing_else", async || {
        let cluster = cluster().await;
        let daemon = speaker(&cluster, &[]);
        daemon.ready().await;
        assert_eq!(rights(&daemon), NET_RAW);
        drop(daemon);
        let listening = speaker(&cluster, &["--bgp-listen=10.0.0.1:179"]);
        listening.ready().await;
        assert_eq!(rights(&listening), NET_RAW | NET_BIND_SERVICE);
        drop(listening);
        // As in a container: nothing else is there to be given up.
        let start = started_by(&cluster, "setpriv --inh-caps -all --bounding-set -all,+net_raw");
        let contained = speaker_by(start.to_str().unwrap(), &cluster, &[]);
        contained.ready().await;
        assert_eq!(rights(&contained), NET_RAW);
    });
}

#[test]
fn a_speaker_that_is_not_root_lives_on_ambient_capabilities() {
    in_namespace("privileges::a_speaker_that_is_not_root_lives_on_ambient_capabilities", async || {
        // A user namespace of somebody who is not root has one user only.
        if !std::fs::read_to_string("/proc/self/uid_map").unwrap().contains("4294967295") {
            println!("skipped: not root");
            return;
        }
        let cluster = cluster().await;
        let start = started_by(
            &cluster,
            "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps -all,+net_raw --ambient-caps -all,+net_raw",
        );
        open_to_all(&cluster);
        let daemon = speaker_by(start.to_str().unwrap(), &cluster, &[]);
        daemon.ready().await;
        assert_eq!(rights(&daemon), NET_RAW);
        let process = format!("/proc/{}", daemon.id());
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        assert!(status.contains(&format!("Uid:\t{NOBODY}\t")), "{status}");
        let owner = std::fs::metadata(format!("{process}/environ")).unwrap().uid();
        assert_eq!(owner, 0, "its memory is not for others of its user");
        let metrics = daemon.scrape().await;
        assert!(metrics.contains("process_open_fds "), "what it says of itself it still knows");
    });
}

/// Files of the cluster can be read by everybody.
fn open_to_all(cluster: &Cluster) {
    let directory = cluster.directory();
    // Made now, so that its mode can be set.
    let _ = cluster.kubeconfig("speaker");
    std::fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
}

#[test]
fn a_missing_capability_is_named_with_its_remedy() {
    in_namespace("privileges::a_missing_capability_is_named_with_its_remedy", async || {
        let cluster = cluster().await;
        let kubeconfig = cluster.kubeconfig("speaker");
        let env = [("KUBECONFIG", kubeconfig.to_str().unwrap()), ("METALLB_NODE_NAME", NODE)];
        let ends = async |capability: &str, args: &[&str], words: &[&str]| {
            let start =
                started_by(&cluster, &format!("setpriv --inh-caps -all --bounding-set -{capability}"));
            let (status, text) = Daemon::run_in(start.to_str().unwrap(), &env, args).await;
            assert_eq!(status.code(), Some(1), "{text}");
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        };
        ends("net_raw", &[], &["CAP_NET_RAW is missing", "securityContext.capabilities"]).await;
        let words = ["10.0.0.1:179", "NET_BIND_SERVICE", "securityContext.capabilities"];
        ends("net_bind_service", &["--bgp-listen=10.0.0.1:179"], &words).await;
    });
}
