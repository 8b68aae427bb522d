//! Files of the repository, as text and as objects.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where the chart is.
pub(crate) const CHART: &str = "deploy/helm/metallb";

/// A path from the root of the repository.
pub(crate) fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(relative)
}

/// The text of a file.
pub(crate) fn read(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// The value of a YAML file with one document.
pub(crate) fn yaml(relative: &str) -> Value {
    serde_saphyr::from_str(&read(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// The objects of a YAML text.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}"));
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

/// Names of the files of a directory, sorted.
pub(crate) fn names(relative: &str) -> Vec<String> {
    let entries = std::fs::read_dir(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"));
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A file that is made from others. `UPDATE_GOLDEN=1` makes it anew.
pub(crate) fn assert_made(relative: &str, expected: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path(relative), expected).unwrap();
    }
    let found = std::fs::read_to_string(path(relative)).unwrap_or_default();
    assert!(found == expected, "{relative} is outdated: run `just chart-files`");
}
