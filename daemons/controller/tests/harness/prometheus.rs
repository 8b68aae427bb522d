//! A real Prometheus, and what is in a text of metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command as StdCommand, Stdio};

use serde_json::Value;
use tokio::process::{Child, Command};

use super::daemon::{free_port, get};
use super::eventually;

/// Set where programs from outside must be there.
const REQUIRED: &str = "METALLB_REQUIRE_INTEROP";

/// A Prometheus that scrapes one target; killed when dropped.
pub(crate) struct Prometheus {
    port: u16,
    _child: Child,
    _files: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one and waits until it has scraped the target; `None` where there is no Prometheus.
    pub(crate) async fn start(target: u16) -> Option<Self> {
        if !there("prometheus") {
            return None;
        }
        let files = tempfile::tempdir().unwrap();
        let path = |name: &str| files.path().join(name).display().to_string();
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n- job_name: daemon\n  \
             honor_labels: true\n  static_configs: [{{targets: ['127.0.0.1:{target}']}}]\n"
        );
        std::fs::write(path("prometheus.yml"), config).unwrap();
        let port = free_port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", path("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", path("data")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let prometheus = Self { port, _child: child, _files: files };
        prometheus.answers("up", 1.0).await;
        Some(prometheus)
    }

    /// Waits until a query has this one value.
    pub(crate) async fn answers(&self, query: &str, value: f64) {
        let wanted = format!("{value}");
        eventually(&format!("{query} is {value}"), async || {
            let answer = self.ask(&format!("/api/v1/query?query={}", escaped(query))).await?;
            let results = answer["data"]["result"].as_array()?.clone();
            let found = results.first()?["value"][1].as_str()?.parse::<f64>().ok()?;
            (results.len() == 1 && format!("{found}") == wanted).then_some(())
        })
        .await;
    }

    /// What it has taken, in the form of [`families`].
    pub(crate) async fn families(&self) -> String {
        let kinds = self.ask("/api/v1/metadata").await.unwrap();
        let kinds: BTreeMap<String, String> = kinds["data"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| name.starts_with("metallb_") || name.starts_with("process_"))
            .map(|(name, entries)| (name.clone(), entries[0]["type"].as_str().unwrap().to_owned()))
            .collect();
        let matching = escaped("{__name__=~\"(metallb|process)_.*\"}");
        let series = self.ask(&format!("/api/v1/series?match[]={matching}")).await.unwrap();
        let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for entry in series["data"].as_array().unwrap() {
            let name = family(entry["__name__"].as_str().unwrap(), &kinds);
            let added = ["__name__", "instance", "job", "le"];
            let own = entry.as_object().unwrap().keys().filter(|key| !added.contains(&key.as_str()));
            labels.entry(name).or_default().extend(own.cloned());
        }
        listed(&kinds, &labels)
    }

    async fn ask(&self, path: &str) -> Option<Value> {
        let (status, text) = get(self.port, path).await?;
        (status == 200).then(|| serde_json::from_str(&text).unwrap())
    }
}

/// Name, type and labels of every family of ours in a text of metrics, a line each.
pub(crate) fn families(text: &str) -> String {
    let mut kinds = BTreeMap::new();
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, inside) = series.split_once('{').unwrap_or((series, ""));
            let found = labels.entry(family(name, &kinds)).or_default();
            let names = inside.split("=\"").filter_map(|part| part.rsplit(['"', ',']).next());
            found.extend(
                names.filter(|name| !name.is_empty() && *name != "}" && *name != "le").map(str::to_owned),
            );
        }
    }
    listed(&kinds, &labels)
}

/// The family of a series: that of a histogram has a shorter name.
fn family(series: &str, kinds: &BTreeMap<String, String>) -> String {
    let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| series.strip_suffix(end));
    let name = of_histogram.filter(|name| kinds.contains_key(*name)).unwrap_or(series);
    name.to_owned()
}

fn listed(kinds: &BTreeMap<String, String>, labels: &BTreeMap<String, BTreeSet<String>>) -> String {
    let line = |(name, kind): (&String, &String)| {
        let labels = labels.get(name).into_iter().flatten().cloned().collect::<Vec<_>>().join(",");
        format!("{name} {kind} {{{labels}}}\n")
    };
    kinds.iter().map(line).collect()
}

/// What promtool says about a text of metrics; `None` where there is no promtool.
pub(crate) fn style_remarks(text: &str) -> Option<String> {
    if !there("promtool") {
        return None;
    }
    let mut child = StdCommand::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let mut lines: Vec<String> = String::from_utf8(said).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    Some(lines.join("\n"))
}

fn there(program: &str) -> bool {
    let found = StdCommand::new(program).arg("--version").output().is_ok();
    if !found {
        assert!(std::env::var_os(REQUIRED).is_none(), "{program} is not installed, and {REQUIRED} is set");
        println!("skipped: {program} is not installed");
    }
    found
}

/// A query for a URL.
fn escaped(query: &str) -> String {
    query.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"))
}
