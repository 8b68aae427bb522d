//! YAML text to objects.

use std::path::Path;

use serde_json::Value;

use super::{Document, FileFault};

/// The objects in a text, in order; documents with nothing in them are left out.
///
/// # Errors
/// Every document that is not YAML, or not an object.
pub(super) fn documents(file: &Path, text: &str) -> Result<Vec<Document>, Vec<FileFault>> {
    let mut found = Vec::new();
    let mut faults = Vec::new();
    for (number, (line, part)) in split(text).into_iter().enumerate() {
        let number = number + 1;
        let document =
            Document { file: file.to_owned(), number, line, value: Value::Null, stored: Value::Null };
        match serde_saphyr::from_str::<Option<Value>>(part) {
            Ok(None | Some(Value::Null)) => {}
            Ok(Some(value @ Value::Object(_))) => flatten(&Document { value, ..document }, &mut found),
            Ok(Some(_)) => {
                faults.push(document.fault("is not an object; it needs apiVersion, kind and metadata"));
            }
            Err(error) => faults.push(broken(document, &error)),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// The items of a `List`, else the object itself.
fn flatten(document: &Document, found: &mut Vec<Document>) {
    match document.value.get("items").and_then(Value::as_array) {
        Some(items) if document.kind() == "List" => {
            found.extend(items.iter().map(|item| Document { value: item.clone(), ..document.clone() }));
        }
        _ => found.push(document.clone()),
    }
}

fn broken(mut document: Document, error: &serde_saphyr::Error) -> FileFault {
    if let Some(location) = error.location() {
        document.line += usize::try_from(location.line()).unwrap_or(1).saturating_sub(1);
    }
    let text = error.without_snippet().to_string();
    let text = text.lines().next().unwrap_or_default();
    document.fault(format!("is not valid YAML: {text}; check indentation and quoting at this line"))
}

/// The documents of a text with the lines they begin on, from 1. A line that begins with `---` ends
/// one document and begins the next, wherever it stands.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let (mut begin, mut first_line, mut at) = (0, 1, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let rest = line.strip_prefix("---");
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)) {
            parts.push((first_line, &text[begin..at]));
            // What follows the mark on its line belongs to the new document; the mark is replaced
            // by nothing, so columns on that one line are off by three at most.
            (begin, first_line) = (at + 3, number + 1);
        }
        at += line.len();
    }
    parts.push((first_line, text.get(begin..).unwrap_or_default()));
    // Nothing before the first mark is no document.
    parts.retain(|(_, part)| part.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#')));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Document>, Vec<FileFault>> {
        documents(Path::new("a.yaml"), text)
    }

    #[test]
    fn documents_are_numbered_and_know_their_line() {
        let found = parse("---\nkind: A\n---\n# only a comment\n---\nkind: B\n").unwrap();
        let seen: Vec<_> = found.iter().map(|d| (d.number, d.line, d.kind())).collect();
        assert_eq!(seen, [(1, 1, "A"), (2, 5, "B")]);
    }

    #[test]
    fn a_list_is_its_items() {
        let found = parse("kind: List\nitems:\n- kind: A\n- kind: B\n").unwrap();
        assert_eq!(found.iter().map(Document::kind).collect::<Vec<_>>(), ["A", "B"]);
    }

    #[test]
    fn broken_yaml_names_file_document_and_line() {
        let faults = parse("kind: A\n---\nkind: [B\nname: x\n").unwrap_err();
        let text = faults[0].to_string();
        assert!(text.starts_with("a.yaml:"), "{text}");
        assert!(text.contains("document 2"), "{text}");
        assert!(text.contains("not valid YAML"), "{text}");
    }

    #[test]
    fn every_broken_document_is_reported() {
        assert_eq!(parse("a: [\n---\nb: [\n---\njust text\n").unwrap_err().len(), 3);
    }
}
