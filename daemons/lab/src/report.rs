//! What a lab prints: lines with the time since its start, a table at the end.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};

const TITLE: Style = Style::new().bold();
const TIME: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const PLAIN: Style = AnsiColor::Yellow.on_default();

/// Writes to standard output.
#[derive(Debug)]
pub(crate) struct Reporter {
    color: bool,
    begun: Instant,
}

/// How a step of the tour ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything was observed as it should be.
    Held,
    /// Something was not; why.
    Failed(String),
    /// There was nothing to show; why.
    NotShown(String),
}

/// One line of the summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) step: &'static str,
    pub(crate) outcome: Outcome,
    /// What was measured.
    pub(crate) figure: String,
    pub(crate) took: Duration,
}

impl Reporter {
    pub(crate) fn new(color: bool) -> Self {
        Self { color, begun: Instant::now() }
    }

    /// A heading.
    pub(crate) fn title(&self, text: &str) {
        Self::line(&format!("\n{}", self.paint(TITLE, text)));
    }

    /// Something that was just observed.
    pub(crate) fn saw(&self, text: impl Display) {
        let at = format!("{:>8.3} s", self.begun.elapsed().as_secs_f64());
        Self::line(&format!("{}  {text}", self.paint(TIME, &at)));
    }

    /// Something that is not an observation: what is done next, or a hint.
    pub(crate) fn note(&self, text: impl Display) {
        Self::line(&format!("            {}", self.paint(PLAIN, &text.to_string())));
    }

    /// A line as it is.
    #[expect(clippy::unused_self, reason = "a line among those with the time")]
    pub(crate) fn plain(&self, text: impl Display) {
        Self::line(&text.to_string());
    }

    /// An error, to standard error.
    pub(crate) fn error(&self, text: &str) {
        // When even this cannot be written there is nobody to tell.
        let _ = writeln!(std::io::stderr().lock(), "{} {text}", self.paint(BAD, "error:"));
    }

    /// How a step ended.
    pub(crate) fn outcome(&self, row: &Row) {
        match &row.outcome {
            Outcome::Held => self.saw(self.paint(GOOD, &format!("✓ {}", row.step))),
            Outcome::Failed(why) => self.saw(self.paint(BAD, &format!("✗ {}: {why}", row.step))),
            Outcome::NotShown(why) => self.saw(self.paint(PLAIN, &format!("- {}: {why}", row.step))),
        }
    }

    /// All steps in one table.
    pub(crate) fn summary(&self, rows: &[Row]) {
        self.title("Summary");
        let widest = rows.iter().map(|row| row.step.chars().count()).max().unwrap_or_default();
        for row in rows {
            let (mark, style, text) = match &row.outcome {
                Outcome::Held => ("yes", GOOD, row.figure.clone()),
                Outcome::Failed(why) => ("NO", BAD, why.clone()),
                Outcome::NotShown(why) => ("-", PLAIN, why.clone()),
            };
            let mark = self.paint(style, &format!("{mark:<3}"));
            let took = format!("{:>6.2} s", row.took.as_secs_f64());
            Self::line(&format!("  {:<widest$}  {mark}  {}  {text}", row.step, self.paint(TIME, &took)));
        }
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn line(text: &str) {
        let mut out = std::io::stdout().lock();
        // A reader that went away (`| head`) does not stop the lab.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

/// A duration as people say it.
pub(crate) fn ms(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.2} s", duration.as_secs_f64())
    }
}
