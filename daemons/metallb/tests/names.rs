//! The program under its other names, as container images have it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

/// What the program prints for `--version` when it is started by a link of that name.
fn version_as(name: &str) -> String {
    run_as(name, &["--version"])
}

#[test]
fn a_link_named_controller_is_the_controller() {
    assert_eq!(version_as("controller"), concat!("controller ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_link_named_speaker_is_the_speaker() {
    assert_eq!(version_as("speaker"), concat!("speaker ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn any_other_name_is_the_whole_program() {
    assert_eq!(version_as("metallb-next"), concat!("metallb ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// What the program prints when it is started by a link of that name.
fn run_as(name: &str, args: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join(name);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_metallb"), &link).unwrap();
    let output = Command::new(link).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[cfg(feature = "cli")]
#[test]
fn a_plugin_is_called_as_kubectl_calls_it() {
    let help = run_as("kubectl-metallb", &["explain", "--help"]);
    assert!(help.contains("Usage: kubectl metallb explain "), "{help}");
}

#[cfg(feature = "cli")]
#[test]
fn kubectl_is_told_what_the_unfinished_word_may_become() {
    let told = run_as("kubectl_complete-metallb", &["stat"]);
    assert!(told.starts_with("status\t") && told.ends_with("\n:4\n"), "{told}");
}

#[test]
fn the_plugin_for_krew_is_packed_with_its_sum() {
    let directory = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/krew");
    // In place of the program, which is large with all that is for debugging.
    let program = directory.path().join("program");
    std::fs::write(&program, concat!("#!/bin/sh\necho metallb ", env!("CARGO_PKG_VERSION"), "\n")).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let arguments =
        [program.to_str().unwrap(), "https://example.com/v1", directory.path().to_str().unwrap(), "arm64"];
    let output = Command::new(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let manifest = std::fs::read_to_string(directory.path().join("metallb.yaml")).unwrap();
    let manifest: serde_json::Value = serde_saphyr::from_str(&manifest).unwrap();
    assert_eq!(manifest["spec"]["version"], concat!("v", env!("CARGO_PKG_VERSION")));
    let platform = &manifest["spec"]["platforms"][0];
    assert_eq!(platform["uri"], "https://example.com/v1/metallb-linux-arm64.tar.gz");
    let run = |line: &str| {
        let output = Command::new("sh").current_dir(&directory).args(["-c", line]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("sha256sum *.tar.gz").starts_with(platform["sha256"].as_str().unwrap()));
    assert_eq!(run("tar tf *.tar.gz"), "LICENSE\nkubectl-metallb\n");
    let packed = run("tar xf *.tar.gz && ./kubectl-metallb --version");
    assert_eq!(packed, concat!("metallb ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[cfg(not(feature = "lab"))]
#[test]
fn a_build_without_the_lab_says_where_the_lab_is() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_metallb")).args(["lab", "up", "--tour-only"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cargo run --release -- lab up --tour-only"), "{said}");
}
