//! The user's own YAML: read, checked as the daemons check it, all errors found before anything starts.

mod check;
mod parse;

use std::fmt;
use std::path::{Path, PathBuf};

use metallb_core::config::Config;
use serde_json::Value;

use crate::error::Error;
use crate::options::Options;
use crate::scenario::{self, DEFAULT_CONFIGURATION};

/// One error in a file given with `-f`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileFault {
    /// The file.
    pub file: PathBuf,
    /// Number of the document in the file, from 1; `None` when the whole file cannot be read.
    pub document: Option<usize>,
    /// Line of the file on which the document, or where it is known the error, stands.
    pub line: Option<usize>,
    /// Kind and name of the object, as far as they are known.
    pub object: Option<String>,
    /// What is wrong, with the field's path and the remedy.
    pub problem: String,
}

impl FileFault {
    fn is_about(&self, document: &Document) -> bool {
        self.file == document.file && self.document == Some(document.number)
    }

    fn is_about_a_reference(&self) -> bool {
        self.object.as_ref().is_some_and(|object| object.contains("Advertisement"))
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(document) = self.document {
            write!(f, ": document {document}")?;
        }
        if let Some(object) = &self.object {
            write!(f, ": {object}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// One object of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    pub(crate) file: PathBuf,
    pub(crate) number: usize,
    pub(crate) line: usize,
    /// As written.
    pub(crate) value: Value,
    /// As the API server made it, with its defaults; null before it was asked.
    pub(crate) stored: Value,
}

impl Document {
    /// A text field by its path, empty when it is missing.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> &str {
        self.text("/kind")
    }

    pub(crate) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// An error about this object.
    pub(crate) fn fault(&self, problem: impl Into<String>) -> FileFault {
        let object = match (self.kind(), self.name()) {
            ("", _) => None,
            (kind, "") => Some(kind.to_owned()),
            (kind, name) => Some(format!("{kind} {name:?}")),
        };
        FileFault {
            file: self.file.clone(),
            document: Some(self.number),
            line: Some(self.line),
            object,
            problem: problem.into(),
        }
    }
}

/// Objects that are good, and the configuration that they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) documents: Vec<Document>,
    pub(crate) config: Config,
}

/// Reads and checks the files of a lab; without any, the built-in configuration.
///
/// # Errors
/// [`Error::Files`] with every error found.
pub(crate) fn load(options: &Options) -> Result<Loaded, Error> {
    let files = &options.files;
    let mut faults = Vec::new();
    let mut documents = Vec::new();
    let texts = if files.is_empty() {
        vec![(Path::new("built-in"), Ok(built_in(options)))]
    } else {
        files.iter().map(|file| (file.as_path(), std::fs::read_to_string(file))).collect()
    };
    for (file, text) in texts {
        match text {
            Ok(text) => match parse::documents(file, &text) {
                Ok(mut found) => documents.append(&mut found),
                Err(mut found) => faults.append(&mut found),
            },
            Err(error) => faults.push(unreadable(file, &error)),
        }
    }
    // What is wrong in itself would only confuse the next check.
    let found = check::shapes(&mut documents);
    documents.retain(|document| !found.iter().any(|fault| fault.is_about(document)));
    faults.extend(found);
    let found = check::schemas(&mut documents)?;
    documents.retain(|document| !found.iter().any(|fault| fault.is_about(document)));
    faults.extend(found);
    match check::meaning(&documents) {
        Ok(config) if faults.is_empty() => return Ok(Loaded { documents, config }),
        Ok(_) => {}
        // What refers to others is judged when all of them are good.
        Err(found) if faults.is_empty() => faults = found,
        Err(found) => faults.extend(found.into_iter().filter(|fault| !fault.is_about_a_reference())),
    }
    Err(Error::Files(faults))
}

fn built_in(options: &Options) -> String {
    if options.bfd { scenario::watched_configuration() } else { DEFAULT_CONFIGURATION.to_owned() }
}

fn unreadable(file: &Path, error: &std::io::Error) -> FileFault {
    FileFault {
        file: file.to_owned(),
        document: None,
        line: None,
        object: None,
        problem: format!("cannot be read: {error}"),
    }
}
