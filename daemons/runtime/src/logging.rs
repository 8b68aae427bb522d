//! `tracing` to stderr, as text for people or JSON for machines.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How much is logged; MetalLB's level names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// Everything, also what libraries trace.
    All,
    /// Decisions and their reasons.
    Debug,
    /// State changes.
    Info,
    /// What needs attention soon.
    Warn,
    /// What failed.
    Error,
    /// Nothing.
    None,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One line of text with `key=value` fields.
    Text,
    /// One JSON object per line.
    Json,
}

/// Installs the process-wide subscriber; a second call in the same process changes nothing.
pub fn init(level: Level, format: Format) {
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter(level))
        .with_target(level == Level::All)
        .with_span_events(FmtSpan::NONE);
    let installed = match format {
        Format::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    if installed.is_err() {
        tracing::debug!("a log subscriber is already installed; keeping it");
    }
}

/// Our own crates at `level`; libraries only at warnings unless everything is wanted.
fn filter(level: Level) -> EnvFilter {
    let (own, others) = match level {
        Level::All => (LevelFilter::TRACE, LevelFilter::TRACE),
        Level::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        Level::Info => (LevelFilter::INFO, LevelFilter::WARN),
        Level::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        Level::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        Level::None => (LevelFilter::OFF, LevelFilter::OFF),
    };
    let mut filter = EnvFilter::new(others.to_string());
    let quiet = QUIET_TARGETS.iter().filter(|_| level != Level::All).map(|target| (target, LevelFilter::OFF));
    for (target, level) in OWN_TARGETS.iter().map(|target| (target, own)).chain(quiet) {
        if let Ok(directive) = format!("{target}={level}").parse() {
            filter = filter.add_directive(directive);
        }
    }
    filter
}

/// Libraries each of whose failures is told by us: once, and with its key `error`.
const QUIET_TARGETS: [&str; 2] = ["kube_client", "kube_runtime"];

/// The crates whose lines are ours.
const OWN_TARGETS: [&str; 8] = [
    "metallb_core",
    "metallb_arp",
    "metallb_bgp",
    "metallb_k8s",
    "metallb_runtime",
    "metallb_controller",
    "metallb_speaker",
    "metallb_apiserver",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_own_target_is_a_valid_directive() {
        let text = filter(Level::Info).to_string();
        for target in OWN_TARGETS {
            assert!(text.contains(&format!("{target}=info")), "{target} is missing in {text}");
        }
    }

    #[test]
    fn what_we_tell_ourselves_is_heard_from_libraries_only_when_everything_is_wanted() {
        for target in QUIET_TARGETS {
            let quiet = format!("{target}=off");
            assert!(filter(Level::Debug).to_string().contains(&quiet), "{quiet}");
            assert!(!filter(Level::All).to_string().contains(&quiet), "{quiet}");
        }
    }

    #[test]
    fn none_silences_our_crates_too() {
        assert!(filter(Level::None).to_string().contains("metallb_speaker=off"));
    }
}
