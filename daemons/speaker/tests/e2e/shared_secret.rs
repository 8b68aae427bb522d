//! The secret that speakers share, on a first installation.

use crate::harness::{Daemon, NAMESPACE};
use crate::site::{cluster, in_namespace, speaker};

const MEMBERSHIP: [&str; 3] =
    ["--ml-bindaddr=10.0.0.1", "--ml-labels=app=metallb,component=speaker", "--ml-secret-name=memberlist"];

/// Waits for the speaker to say that it waits, and sees that it is not ready meanwhile.
async fn waits(speaker: &Daemon) {
    speaker.says(&["waiting for the speakers' shared secret"]).await;
    assert_eq!(speaker.probe("/readyz").await, Some(503));
    assert_eq!(speaker.probe("/healthz").await, Some(200));
}

#[test]
fn a_speaker_waits_for_the_secret_that_the_controller_makes() {
    in_namespace("shared_secret::a_speaker_waits_for_the_secret_that_the_controller_makes", async || {
        let cluster = cluster().await;
        let directory = tempfile::tempdir().unwrap();
        let path = format!("--ml-secret-key-path={}", directory.path().display());
        let mut args = MEMBERSHIP.to_vec();
        args.push(&path);
        let speaker = speaker(&cluster, &args);
        waits(&speaker).await;
        // One without content is none.
        let secret = |data: &str| {
            let kind = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: memberlist";
            cluster
                .apply(&format!("{kind}\n  namespace: {NAMESPACE}\nstringData:\n  secretkey: \"{data}\"\n"));
        };
        secret("");
        assert_eq!(speaker.probe("/readyz").await, Some(503));
        secret("at least sixteen octets");
        speaker.ready().await;
    });
}

#[test]
fn a_file_that_appears_is_taken_without_the_api() {
    in_namespace("shared_secret::a_file_that_appears_is_taken_without_the_api", async || {
        let cluster = cluster().await;
        let directory = tempfile::tempdir().unwrap();
        let path = format!("--ml-secret-key-path={}", directory.path().display());
        let speaker = speaker(&cluster, &[MEMBERSHIP[0], MEMBERSHIP[1], &path]);
        waits(&speaker).await;
        std::fs::write(directory.path().join("secretkey"), "at least sixteen octets").unwrap();
        speaker.ready().await;
    });
}
