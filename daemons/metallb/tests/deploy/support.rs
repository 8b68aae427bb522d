//! Files of `deploy/` as values, and a stock kubectl.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A path from the root of the repository.
pub(crate) fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(relative)
}

/// The text of a file.
pub(crate) fn read(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// The objects of a YAML text.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// Kind and name of an object, as in `Deployment/controller`.
pub(crate) fn title(object: &Value) -> String {
    format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
}

/// The object of a kind and name.
pub(crate) fn find<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    objects.iter().find(|object| title(object) == wanted).unwrap_or_else(|| panic!("no {wanted}"))
}

/// A program, named in `METALLB_TEST_KUBECTL` or `kubectl`. `None` where there is none, which CI does not accept.
pub(crate) fn kubectl() -> Option<String> {
    let program = std::env::var("METALLB_TEST_KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
    let version = Command::new(&program).args(["version", "--client"]).output();
    if version.is_ok_and(|output| output.status.success()) {
        return Some(program);
    }
    assert!(std::env::var_os("METALLB_REQUIRE_INTEROP").is_none(), "no {program} here");
    eprintln!("no {program} here: nothing is tested");
    None
}

/// What a directory of `deploy/` builds, by `METALLB_TEST_KUSTOMIZE` or else by kubectl, which contains a kustomize.
/// `None` where there is neither, which CI does not accept.
pub(crate) fn kustomize(directory: &str) -> Option<String> {
    let given = std::env::var_os("METALLB_TEST_KUSTOMIZE");
    let verb = if given.is_some() { "build" } else { "kustomize" };
    let program = given.or_else(|| kubectl().map(Into::into))?;
    Some(stdout(&Command::new(program).arg(verb).arg(path(directory)).output().unwrap()))
}

/// Standard output of a command that must succeed.
pub(crate) fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Name and text of every sample.
pub(crate) fn samples() -> Vec<(String, String)> {
    let directory = path("deploy/samples");
    let files = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    assert!(!files.is_empty(), "no samples in {}", directory.display());
    let name = |file: &Path| file.file_name().unwrap().to_str().unwrap().to_owned();
    files.into_iter().map(|file| (name(&file), std::fs::read_to_string(&file).unwrap())).collect()
}

/// Asks again and again until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How long anything may take before a test fails; ample on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
