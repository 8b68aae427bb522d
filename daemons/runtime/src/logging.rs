//! `tracing` to stderr, as text for people or JSON for machines.

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(level == Level::All)
        .with_span_events(FmtSpan::NONE);
    let lines = match format {
        Format::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    if tracing_subscriber::registry().with(filter(level)).with(lines).try_init().is_err() {
        tracing::debug!("a log subscriber is already installed; keeping it");
    }
}

/// Our own crates at `level`; libraries only at warnings unless everything is wanted.
fn filter(level: Level) -> Targets {
    let (own, others) = match level {
        Level::All => (LevelFilter::TRACE, LevelFilter::TRACE),
        Level::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        Level::Info => (LevelFilter::INFO, LevelFilter::WARN),
        Level::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        Level::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        Level::None => (LevelFilter::OFF, LevelFilter::OFF),
    };
    let quiet =
        QUIET_TARGETS.iter().filter(|_| level != Level::All).map(|target| (*target, LevelFilter::OFF));
    let own = OWN_TARGETS.iter().map(|target| (*target, own));
    Targets::new().with_default(others).with_targets(own.chain(quiet))
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
    fn own_lines_are_at_the_level_and_those_of_libraries_are_warnings() {
        let filter = filter(Level::Info);
        for target in OWN_TARGETS {
            assert!(filter.would_enable(&format!("{target}::part"), &tracing::Level::INFO), "{target}");
            assert!(!filter.would_enable(target, &tracing::Level::DEBUG), "{target}");
        }
        assert!(filter.would_enable("hyper::client", &tracing::Level::WARN));
        assert!(!filter.would_enable("hyper::client", &tracing::Level::INFO));
    }

    #[test]
    fn what_we_tell_ourselves_is_heard_from_libraries_only_when_everything_is_wanted() {
        for target in QUIET_TARGETS {
            assert!(!filter(Level::Debug).would_enable(target, &tracing::Level::ERROR), "{target}");
            assert!(filter(Level::All).would_enable(target, &tracing::Level::TRACE), "{target}");
        }
    }

    #[test]
    fn none_silences_our_crates_too() {
        assert!(!filter(Level::None).would_enable("metallb_speaker", &tracing::Level::ERROR));
    }
}
