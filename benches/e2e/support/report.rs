//! One table for people, one file for programs.

use std::path::PathBuf;
use std::time::Duration;

use super::Result;

/// Times of one thing that was done several times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        let at = self.0.partition_point(|other| *other <= time);
        self.0.insert(at, time);
    }

    /// The shortest and the middle one, in milliseconds.
    pub(crate) fn summary(&self) -> Option<[f64; 2]> {
        let [first, middle] = [self.0.first()?, self.0.get(self.0.len() / 2)?];
        Some([first, middle].map(|time| time.as_secs_f64() * 1000.0))
    }

    /// `shortest / middle ms` for the table.
    pub(crate) fn cell(&self) -> String {
        match self.summary() {
            Some([first, middle]) => format!("{first:.3} / {middle:.3} ms"),
            None => "–".to_owned(),
        }
    }

    /// Everything, for the file.
    pub(crate) fn json(&self) -> serde_json::Value {
        let [min, median] = self.summary().unwrap_or_default();
        let all: Vec<u128> = self.0.iter().map(Duration::as_micros).collect();
        serde_json::json!({ "min_ms": min, "median_ms": median, "all_us": all })
    }
}

/// Writes the results to `e2e/` in the target directory, which this program is in; returns where.
pub(crate) fn write(name: &str, results: &serde_json::Value) -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).ok_or("this program is in no target directory")?;
    let directory = target.join("e2e");
    std::fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{name}.json"));
    std::fs::write(&path, serde_json::to_vec_pretty(results)?)?;
    Ok(path)
}
