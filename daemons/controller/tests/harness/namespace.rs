//! Tests in a network namespace of their own.

use std::future::Future;
use std::process::{Command, Output};

/// Runs a test in a process of its own with a fresh network namespace, as root or as anybody else who may make user
/// namespaces. `test` is the name of the test as the test binary lists it.
pub(crate) fn isolated<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    if std::env::var_os(INSIDE).is_some() {
        sh("ip link set lo up");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(async { body().await });
        return;
    }
    let flags = if nix::unistd::Uid::effective().is_root() { "-n" } else { "-Urn" };
    let probe = Command::new("unshare").args([flags, "ip", "link", "set", "lo", "up"]).output();
    if let Some(reason) = missing(probe, flags) {
        assert!(std::env::var_os(REQUIRED).is_none(), "{test}: {reason}, and {REQUIRED} is set");
        println!("{test}: skipped: {reason}");
        return;
    }
    let output = Command::new("unshare")
        .arg(flags)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{test} failed in its namespace:\n{text}");
    assert!(text.contains("1 passed"), "there is no test {test}:\n{text}");
    // Figures, of a test that is there for them.
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        println!("{row}");
    }
}

fn missing(probe: std::io::Result<Output>, flags: &str) -> Option<String> {
    match probe {
        Err(error) => Some(format!("cannot run unshare: {error}")),
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Some(format!("no network namespace with `unshare {flags} ip …`: {why}"))
        }
    }
}

/// Runs a command, which must succeed.
pub(crate) fn sh(command: &str) {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "`{command}`: {}", String::from_utf8_lossy(&output.stderr));
}

/// Set inside of the namespace.
const INSIDE: &str = "METALLB_TEST_NAMESPACE";
/// Set where namespaces must be there.
const REQUIRED: &str = "METALLB_REQUIRE_INTEROP";
