//! The texts that a command was given: files, directories, standard input.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A text and what it is called in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Why a text could not be had.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The system says so.
    Io { name: String, error: std::io::Error },
    /// A directory without anything to read.
    Empty { name: String },
    /// The text is not UTF-8.
    NotText { name: String },
    /// The text is longer than what is read.
    TooLong { name: String },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { name, error } => write!(f, "cannot read {name}: {error}"),
            Self::Empty { name } => {
                write!(
                    f,
                    "{name} is a directory without a file that ends in .yaml, .yml or .json; name a file"
                )
            }
            Self::NotText { name } => write!(f, "{name} is no UTF-8 text; convert it, or name another file"),
            Self::TooLong { name } => write!(f, "{name} is longer than 64 MiB; give it in parts"),
        }
    }
}

impl std::error::Error for ReadError {}

/// Reads files, the YAML and JSON files of directories (not those below), and standard input for `-`.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Source>, ReadError> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            sources.push(take("standard input".to_owned(), std::io::stdin().lock())?);
        } else if path.is_dir() {
            let files = directory(path)?;
            for file in files {
                sources.push(open(&file)?);
            }
        } else {
            sources.push(open(path)?);
        }
    }
    Ok(sources)
}

fn directory(path: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let name = path.display().to_string();
    let io = |error| ReadError::Io { name: name.clone(), error };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(io)? {
        let file = entry.map_err(io)?.path();
        let extension = file.extension().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
        if matches!(extension, "yaml" | "yml" | "json") && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err(ReadError::Empty { name }) } else { Ok(files) }
}

fn open(path: &Path) -> Result<Source, ReadError> {
    let name = path.display().to_string();
    match std::fs::File::open(path) {
        Ok(file) => take(name, file),
        Err(error) => Err(ReadError::Io { name, error }),
    }
}

fn take(name: String, reader: impl std::io::Read) -> Result<Source, ReadError> {
    let mut octets = Vec::new();
    if let Err(error) = reader.take(LONGEST.saturating_add(1)).read_to_end(&mut octets) {
        return Err(ReadError::Io { name, error });
    }
    if octets.len() as u64 > LONGEST {
        return Err(ReadError::TooLong { name });
    }
    match String::from_utf8(octets) {
        Ok(text) => Ok(Source { name, text }),
        Err(_) => Err(ReadError::NotText { name }),
    }
}

/// How long a text may be.
const LONGEST: u64 = 64 << 20;
