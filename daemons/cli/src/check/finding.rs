//! What a check has found.

use crate::input::Span;

/// One thing that is wrong, or that deserves attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// Stable word for the kind of problem.
    pub(crate) rule: &'static str,
    /// The object, as in `IPAddressPool "web"`; empty when it is none.
    pub(crate) object: String,
    /// Path of the field in the object; empty when it is the object as a whole.
    pub(crate) field: String,
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
    /// Index of the source it stands in; `None` for the cluster.
    pub(crate) source: Option<usize>,
    pub(crate) span: Option<Span>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Something is not in force.
    Error,
    /// All is in force, or will be when something else appears.
    Warning,
}

impl Severity {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Finding {
    /// An error about a field, without a place.
    pub(crate) fn error(rule: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            rule,
            object: String::new(),
            field: field.into(),
            message: message.into(),
            help: None,
            source: None,
            span: None,
        }
    }

    pub(crate) fn warning(rule: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(rule, field, message) }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Whether the field holds something that must not be shown.
    pub(crate) fn is_secret(&self) -> bool {
        let last = self.field.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        last.starts_with("password") && !last.starts_with("passwordsecret")
    }
}

/// A sentence of the libraries, `what is wrong; what would help`, in its two parts.
pub(crate) fn split_remedy(sentence: &str) -> (String, Option<String>) {
    match sentence.rsplit_once("; ") {
        Some((problem, remedy)) => (problem.to_owned(), Some(remedy.to_owned())),
        None => (sentence.to_owned(), None),
    }
}

/// The known word that is nearest to a misspelt one, when one is near.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |word: &str| strsim::damerau_levenshtein(&written.to_lowercase(), &word.to_lowercase());
    let best = known.into_iter().min_by_key(|word| distance(word))?;
    (distance(best) <= best.len().max(3) / 3).then_some(best)
}
