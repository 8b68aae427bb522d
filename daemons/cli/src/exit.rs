//! How commands end, and what they print on.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

/// The answer is no: something is wrong, or would change.
pub(crate) const NO: ExitCode = ExitCode::FAILURE;
const USAGE: u8 = 2;
const UNKNOWN: u8 = 3;

/// What was seen says nothing against it, but not everything could be seen.
pub(crate) fn cannot_say() -> ExitCode {
    ExitCode::from(UNKNOWN)
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Trouble {
    status: u8,
    message: String,
}

impl Trouble {
    /// The command was used wrongly.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { status: USAGE, message: message.into() }
    }

    /// It could not be found out.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self { status: UNKNOWN, message: message.into() }
    }

    /// What was given could not be read.
    pub(crate) fn read(error: impl fmt::Display) -> Self {
        Self::unknown(error.to_string())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The exit status, after saying what stood in the way.
pub(crate) fn report(answer: Result<ExitCode, Trouble>) -> ExitCode {
    answer.unwrap_or_else(|Trouble { status, message }| {
        eprintln!("error: {message}");
        ExitCode::from(status)
    })
}

/// Writes to standard output. A reader that has seen enough, as in `metallb check | head`, is no failure.
pub(crate) fn print(text: &str) -> Result<(), Trouble> {
    is_read(text).map(|_| ())
}

/// Writes to standard output, and says whether anybody is there who reads it.
pub(crate) fn is_read(text: &str) -> Result<bool, Trouble> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Trouble::unknown(format!("cannot write to standard output: {error}"))),
    }
}

/// Whether colours are wanted on standard output.
pub(crate) fn is_terminal() -> bool {
    !is_refused() && io::stdout().is_terminal()
}

/// Whether colours are wanted on standard error.
pub(crate) fn is_error_terminal() -> bool {
    !is_refused() && io::stderr().is_terminal()
}

fn is_refused() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Columns to write on: what `COLUMNS` says, or the terminal; 140 where there is neither.
#[must_use]
pub fn width() -> usize {
    let stated = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    // Shells do not hand COLUMNS on.
    let terminal = || io::stdout().is_terminal().then(crossterm::terminal::size)?.ok();
    let columns = stated.or_else(|| terminal().map(|(columns, _)| usize::from(columns)));
    columns.filter(|columns| *columns >= NARROWEST).unwrap_or(USUAL_WIDTH)
}

/// Less is taken for a terminal that does not know its size.
const NARROWEST: usize = 40;
/// For files and pipes.
const USUAL_WIDTH: usize = 140;
