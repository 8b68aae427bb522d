//! From text to trees: YAML with any number of documents, and JSON, which is YAML too.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle};

use super::scalar::resolve;
use super::{Entry, Node, Span, Value};

/// Why a text is no YAML, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: Option<&'static str>,
}

/// All documents of a text up to the first error, which ends the reading. Empty documents are left out.
pub(crate) fn parse(text: &str) -> (Vec<Node>, Option<ParseError>) {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let result = match event {
            Ok((event, span)) => builder.take(event, place(span, text)),
            Err(error) => Err(ParseError {
                span: at(error.marker(), text),
                message: error.info(),
                help: text.contains('\t').then_some("YAML is indented with spaces, never with tabs"),
            }),
        };
        let result = result.map_err(|error| ParseError {
            help: if text.contains("{{") { Some(TEMPLATE) } else { error.help },
            ..error
        });
        if let Err(error) = result {
            return (builder.documents, Some(error));
        }
    }
    (builder.documents, None)
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, usize)>,
    /// Values so far, counting those that aliases repeat.
    values: usize,
}

/// A list or map that has not ended yet.
struct Open {
    anchor: usize,
    before: usize,
    span: Span,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Span)> },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), ParseError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                let value = if style == ScalarStyle::Plain && !is_text {
                    resolve(&text)
                } else {
                    Value::Text(text.into_owned())
                };
                self.value(Node { value, span: Some(span) }, anchor, 1)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(anchor, span, Content::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                self.begin(anchor, span, Content::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some((mut node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(error(span, "an alias stands inside the value that it repeats", None));
                };
                node.span = Some(span);
                self.value(node, 0, size)
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, anchor: usize, span: Span, content: Content) -> Result<(), ParseError> {
        if self.open.len() >= DEEPEST {
            return Err(error(span, "lists and maps are nested too deeply", None));
        }
        if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(error(
                span,
                "the name of a field must be a text",
                Some("write a name in front of the colon"),
            ));
        }
        self.open.push(Open { anchor, before: self.values, span, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), ParseError> {
        let Some(Open { anchor, before, span, content }) = self.open.pop() else { return Ok(()) };
        let (value, first) = match content {
            Content::List(items) => {
                let first = items.first().and_then(|item| item.span);
                (Value::List(items), first)
            }
            Content::Map { entries, .. } => {
                let first = entries.first().and_then(|entry| entry.key_span);
                (Value::Map(entries), first)
            }
        };
        let size = self.values.saturating_sub(before).saturating_add(1);
        // Where a block begins is where its first element stands; the parser's own place may be the line before.
        self.values = before;
        self.value(Node { value, span: Some(first.unwrap_or(span)) }, anchor, size)
    }

    fn value(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), ParseError> {
        let span = node.span.unwrap_or_default();
        self.values = self.values.saturating_add(size);
        if self.values > MOST_VALUES {
            return Err(error(
                span,
                "there are more than a million values, counting those that aliases repeat",
                None,
            ));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None if node.value == Value::Null => {}
            None => self.documents.push(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, key }) => match key.take() {
                None => *key = Some((key_text(node, span)?, span)),
                Some((name, key_span)) => add(entries, name, key_span, node)?,
            },
        }
        Ok(())
    }
}

fn key_text(node: Node, span: Span) -> Result<String, ParseError> {
    match node.value {
        Value::Text(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Null => Err(error(span, "a field has no name", Some("write a name in front of the colon"))),
        Value::List(_) | Value::Map(_) => {
            Err(error(span, "the name of a field must be a text", Some("write a name in front of the colon")))
        }
    }
}

fn add(entries: &mut Vec<Entry>, key: String, key_span: Span, node: Node) -> Result<(), ParseError> {
    if key == "<<" {
        merge(entries, node);
        return Ok(());
    }
    if entries.iter().any(|entry| entry.key == key && !entry.merged) {
        return Err(error(key_span, format!("the field {key:?} is there twice"), Some("remove one of them")));
    }
    entries.retain(|entry| entry.key != key);
    entries.push(Entry { key, key_span: Some(key_span), node, merged: false });
    Ok(())
}

/// `<<`: the fields of another map (or of each of a list of maps), except those that are there already.
fn merge(entries: &mut Vec<Entry>, node: Node) {
    match node.value {
        Value::Map(fields) => {
            for field in fields {
                if entries.iter().all(|entry| entry.key != field.key) {
                    entries.push(Entry { merged: true, ..field });
                }
            }
        }
        Value::List(maps) => maps.into_iter().for_each(|map| merge(entries, map)),
        _ => {}
    }
}

fn error(span: Span, message: impl Into<String>, help: Option<&'static str>) -> ParseError {
    ParseError { span, message: message.into(), help }
}

fn place(span: granit_parser::Span, text: &str) -> Span {
    let from = at(&span.start, text);
    let end = span.end.byte_offset().unwrap_or(from.start).min(text.len());
    let written =
        text.get(from.start..end).map_or(from.start, |part| from.start.saturating_add(part.trim_end().len()));
    Span { end: written.max(from.start), ..from }
}

fn at(marker: &granit_parser::Marker, text: &str) -> Span {
    let start = marker.byte_offset().unwrap_or(0).min(text.len());
    Span { line: marker.line(), column: marker.col().saturating_add(1), start, end: start }
}

const TEMPLATE: &str = "this looks like a template of Helm: pipe what `helm template` makes of it";
/// How deep lists and maps may be nested; no object of a cluster comes near.
const DEEPEST: usize = 100;
/// How many values one text may have.
const MOST_VALUES: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Vec<serde_json::Value> {
        let (nodes, error) = parse(text);
        assert_eq!(error, None, "{text}");
        nodes.iter().map(Node::to_json).collect()
    }

    fn refuse(text: &str) -> ParseError {
        parse(text).1.unwrap()
    }

    #[test]
    fn documents_are_read_one_after_the_other_and_empty_ones_left_out() {
        assert_eq!(
            read("a: 1\n---\n---\n# nothing\n---\nb: [x, 'y']\n"),
            [json!({"a": 1}), json!({"b": ["x", "y"]})]
        );
        assert_eq!(read(""), Vec::<serde_json::Value>::new());
        assert_eq!(read("{\"a\": {\"b\": null}}"), [json!({"a": {"b": null}})]);
    }

    #[test]
    fn quotes_and_tags_make_texts() {
        assert_eq!(
            read("a: '1'\nb: \"yes\"\nc: !!str 1\nd: |\n  1\n"),
            [json!({"a": "1", "b": "yes", "c": "1", "d": "1\n"})]
        );
    }

    #[test]
    fn anchors_are_repeated_and_merged() {
        let text = "a: &a {x: 1, y: 2}\nb: *a\nc:\n  <<: *a\n  y: 3\nd: {y: 4, <<: [*a, {z: 5}]}\n";
        let a = json!({"x": 1, "y": 2});
        assert_eq!(
            read(text),
            [json!({"a": a, "b": a, "c": {"x": 1, "y": 3}, "d": {"x": 1, "y": 4, "z": 5}})]
        );
    }

    #[test]
    fn every_value_knows_where_it_stands() {
        let (nodes, _) = parse("spec:\n  list:\n  - a\n  - k: \"\u{fc}\"\n    v: x\nempty:\n");
        let place = |path: &str| nodes[0].find(path).span.map(|span| (span.line, span.column));
        assert_eq!(place("spec.list[0]"), Some((3, 5)));
        assert_eq!(place("spec.list[1]"), Some((4, 5)));
        assert_eq!(place("spec.list[1].v"), Some((5, 8)));
        // What is missing is missing in what is there.
        assert_eq!(place("spec.list[7]"), Some((2, 3)));
        assert_eq!(place("spec.none.deeper"), Some((1, 1)));
        assert_eq!(nodes[0].find("spec.list[1].v").key_span.map(|span| span.column), Some(5));
    }

    #[test]
    fn keys_with_dots_are_found() {
        let (nodes, _) = parse("labels: {example.com/rack: a, example: b}\n");
        let at = |path: &str| nodes[0].find(path).node.map(Node::to_json);
        assert_eq!(at("labels[example.com/rack]"), Some(json!("a")));
        assert_eq!(at("labels.example.com/rack"), Some(json!("a")));
        assert_eq!(at("labels.example"), Some(json!("b")));
    }

    #[test]
    fn what_would_fill_the_memory_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let list = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.extend([format!("a{level}: &a{level} [{list}]\n")]);
        }
        assert!(refuse(&bomb).message.contains("a million values"));
        assert!(refuse(&format!("a: {}", "{a: ".repeat(5_000))).message.contains("nested too deeply"));
        assert!(!refuse(&"[".repeat(100_000)).message.is_empty());
        assert!(refuse("a: &a [*a]\n").message.contains("inside the value"));
    }

    #[test]
    fn what_comes_before_an_error_is_kept() {
        let (nodes, error) = parse("a: 1\n---\nb: [\n");
        assert_eq!((nodes.len(), error.map(|error| error.span.line)), (1, Some(3)));
    }

    #[test]
    fn templates_are_recognised() {
        assert_eq!(refuse("{{ if .Values.x }}\na: 1\n{{ end }}\n").help, Some(TEMPLATE));
    }
}
