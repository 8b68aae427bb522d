//! A stock `helm`, by itself or against a listening API server.

use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::files::{CHART, objects, path};

/// Values for one command: files of `ci/`, then single settings.
pub(crate) type Values<'a> = &'a [&'a str];

/// `helm` with a home of its own.
pub(crate) struct Helm {
    program: String,
    home: TempDir,
}

impl Helm {
    /// The program named in `METALLB_TEST_HELM`, or `helm`. `None` where there is none, which CI does not accept.
    pub(crate) fn find() -> Option<Self> {
        let program = std::env::var("METALLB_TEST_HELM").unwrap_or_else(|_| "helm".to_owned());
        present(&program, "version --short").then(|| Self { program, home: tempfile::tempdir().unwrap() })
    }

    /// Writes a kubeconfig, which every later command uses.
    pub(crate) fn connect(&self, kubeconfig: &str) {
        std::fs::write(self.home.path().join("config"), kubeconfig).unwrap();
    }

    /// A file in the home.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let file = self.home.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, content).unwrap();
        file.display().to_string()
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.beside(&self.program, arguments)
    }

    /// Runs another program with the same home and kubeconfig.
    pub(crate) fn beside(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(path("."));
        command.env("HOME", self.home.path()).env("KUBECONFIG", self.home.path().join("config"));
        for directory in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{directory}_HOME"), self.home.path().join(directory));
        }
        command.output().unwrap()
    }

    /// Standard output of a command that must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "helm {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a command that must fail.
    pub(crate) fn fail(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "helm {arguments:?} succeeded: {shown}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The objects of a release `metallb` in `metallb-system`.
    pub(crate) fn template(&self, values: Values<'_>) -> Vec<Value> {
        self.template_as("metallb", values)
    }

    /// The objects of a release.
    pub(crate) fn template_as(&self, release: &str, values: Values<'_>) -> Vec<Value> {
        let options = options(values);
        let mut arguments = vec!["template", release, CHART, "--namespace=metallb-system"];
        arguments.extend(options.iter().map(String::as_str));
        objects(&self.run(&arguments))
    }

    /// What the chart answers to values that it refuses.
    pub(crate) fn refusal(&self, values: Values<'_>) -> String {
        let options = options(values);
        let mut arguments = vec!["template", "metallb", CHART];
        arguments.extend(options.iter().map(String::as_str));
        self.fail(&arguments)
    }
}

/// `key=value` is a setting, `/…` any file, and everything else a file of `ci/`.
pub(crate) fn options(values: Values<'_>) -> Vec<String> {
    let option = |value: &&str| match value {
        file if file.starts_with('/') => format!("--values={file}"),
        setting if setting.contains('=') => format!("--set-json={setting}"),
        file => format!("--values={CHART}/ci/{file}"),
    };
    values.iter().map(option).collect()
}

/// Whether a program is there, which CI takes for granted.
pub(crate) fn present(program: &str, version: &str) -> bool {
    let version = Command::new(program).args(version.split(' ')).output();
    if version.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(std::env::var_os("METALLB_REQUIRE_INTEROP").is_none(), "no {program} here");
    eprintln!("no {program} here: nothing is tested");
    false
}
