//! What the end-to-end programs have in common.

pub(crate) mod namespace;
pub(crate) mod report;

/// What went wrong.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Whatever goes wrong ends the program, with what it was.
pub(crate) type Result<T> = std::result::Result<T, Error>;
