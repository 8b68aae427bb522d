//! What wrong flags get.

use crate::harness::Daemon;

async fn refused(args: &[&str], words: &[&str]) {
    let (status, text) = Daemon::run(env!("CARGO_BIN_EXE_speaker"), args).await;
    assert_eq!(status.code(), Some(2), "{args:?}: {text}");
    assert!(words.iter().all(|word| text.contains(word)), "{args:?}: {text}");
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
    refused(&["--node-name=a", "--kubeconfig=/nowhere"], &["--kubeconfig", "/nowhere"]).await;
}
