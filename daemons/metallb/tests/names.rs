//! The program under its other names, as container images have it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

/// What the program prints for `--version` when it is started by a link of that name.
fn version_as(name: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join(name);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_metallb"), &link).unwrap();
    let output = Command::new(link).arg("--version").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
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

#[cfg(not(feature = "lab"))]
#[test]
fn a_build_without_the_lab_says_where_the_lab_is() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_metallb")).args(["lab", "up", "--tour-only"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cargo run --release -- lab up --tour-only"), "{said}");
}
