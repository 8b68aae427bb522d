//! What the kernel says about this process, under the names that all of Prometheus' client libraries give it.

use procfs::process::{LimitValue, Process, Stat};
use procfs::{ProcResult, boot_time_secs, page_size, ticks_per_second};

use crate::metrics::{Family, Kind, number};

/// The families `process_*`. None where `/proc` cannot be read; those that it does not give are left out.
#[must_use]
pub fn families() -> Vec<Family> {
    match read() {
        Ok(families) => families,
        Err(error) => {
            tracing::debug!(%error, "no numbers of the process");
            Vec::new()
        }
    }
}

fn read() -> ProcResult<Vec<Family>> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let mut families = vec![
        Family::single(
            "process_cpu_seconds_total",
            Kind::Counter,
            "Processor time used, by the program and by the kernel for it",
            seconds(stat.utime.saturating_add(stat.stime)),
        ),
        Family::single(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Memory that is resident",
            number(stat.rss.saturating_mul(page_size())),
        ),
        Family::single(
            "process_virtual_memory_bytes",
            Kind::Gauge,
            "Address space in use",
            number(stat.vsize),
        ),
        Family::single("process_threads", Kind::Gauge, "Threads", started_threads(&stat)),
    ];
    if let Ok(open) = process.fd_count() {
        let open = number(u64::try_from(open).unwrap_or(u64::MAX));
        families.push(Family::single(
            "process_open_fds",
            Kind::Gauge,
            "File descriptors that are open",
            open,
        ));
    }
    if let Ok(limits) = process.limits() {
        let most = match limits.max_open_files.soft_limit {
            LimitValue::Value(most) => number(most),
            LimitValue::Unlimited => f64::INFINITY,
        };
        families.push(Family::single("process_max_fds", Kind::Gauge, "How many may be open", most));
    }
    if let Ok(boot) = boot_time_secs() {
        families.push(Family::single(
            "process_start_time_seconds",
            Kind::Gauge,
            "When the program started, in seconds since 1970",
            number(boot) + seconds(stat.starttime),
        ));
    }
    Ok(families)
}

fn seconds(ticks: u64) -> f64 {
    number(ticks) / number(ticks_per_second())
}

fn started_threads(stat: &Stat) -> f64 {
    number(u64::try_from(stat.num_threads).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::metrics::Value;

    fn value(name: &str) -> f64 {
        let families = families();
        let family = families.iter().find(|family| family.name == name).unwrap();
        let Value::Number(number) = family.samples[0].value else { panic!("{name} is a histogram") };
        number
    }

    #[test]
    fn numbers_are_in_the_units_that_their_names_say() {
        let memory = value("process_resident_memory_bytes");
        assert!((1e6..1e11).contains(&memory), "{memory}");
        assert!(value("process_virtual_memory_bytes") >= memory);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - value("process_start_time_seconds");
        assert!((-2.0..3600.0).contains(&age), "started {age} s ago");
        assert!((0.0..36_000.0).contains(&value("process_cpu_seconds_total")));
        assert!(value("process_threads") >= 1.0);
    }

    #[test]
    fn descriptors_are_counted() {
        // More than everything else in this process has; other tests open and close some at the same time.
        let files: Vec<_> = (0..400).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        assert!(value("process_open_fds") >= 400.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        drop(files);
    }
}
