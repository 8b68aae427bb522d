//! `metallb convert`: the old ConfigMap as resources.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use metallb_k8s::legacy::{Remark, convert, is_old_format};
use serde_json::{Value, json};

use crate::check::{Checked, Finding, Scope, Severity, check, render_text};
use crate::document::documents;
use crate::exit::{self, Trouble};
use crate::input::{Node, Source, parse, read};

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;

/// Turns a configuration of MetalLB before 0.13 into resources, on standard output.
///
/// What it says besides goes to standard error. Exit status 0: converted; 1: the configuration has errors; 2: wrong
/// usage; 3: it could not be read.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ConvertArgs {
    /// The ConfigMap, or what stands in it under the key config; - for standard input.
    #[arg(value_name = "CONFIGMAP")]
    file: PathBuf,

    /// Namespace of the resources; without it the ConfigMap's, or metallb-system.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,

    /// How to print the resources.
    #[arg(short, long, value_enum, default_value_t = Output::Yaml)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Yaml,
    Json,
}

const EXAMPLES: &str = "\
Examples:
  kubectl -n metallb-system get configmap config -o yaml | metallb convert - > resources.yaml
  metallb convert old.yaml | metallb check -
  metallb convert old.yaml | kubectl apply -f -";

/// Runs the command.
pub(crate) fn run(args: &ConvertArgs) -> ExitCode {
    exit::report(answer(args))
}

fn answer(args: &ConvertArgs) -> Result<ExitCode, Trouble> {
    let mut sources = read(std::slice::from_ref(&args.file)).map_err(Trouble::read)?;
    let source = sources.pop().ok_or_else(|| Trouble::usage("name one file"))?;
    let (objects, findings) = turn(&source, args.namespace.as_deref());
    let wrong = findings.iter().any(|finding| finding.severity == Severity::Error);
    if !findings.is_empty() {
        let sources = vec![source];
        let checked =
            Checked { sources, findings, objects: objects.len(), skipped: std::collections::BTreeMap::new() };
        eprint!("{}", render_text(&checked));
    }
    if wrong {
        return Ok(exit::NO);
    }
    exit::print(&render(&objects, args.output)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The resources, and what is to be said: of the old configuration, and of what came out of it.
pub(crate) fn turn(source: &Source, namespace: Option<&str>) -> (Vec<Value>, Vec<Finding>) {
    let (found, error) = parse(&source.text);
    if let Some(error) = error {
        let help = error.help.map(str::to_owned);
        let finding = Finding::error("syntax", "", error.message);
        return (Vec::new(), vec![Finding { source: Some(0), span: Some(error.span), help, ..finding }]);
    }
    let Some((root, inner, stated)) = old_document(&found) else {
        let finding = Finding::error("old_format", "", "this is no configuration of MetalLB before 0.13");
        let help =
            "give a ConfigMap with the key config, or its text, which begins with address-pools or peers";
        return (Vec::new(), vec![Finding { source: Some(0), ..finding.help(help) }]);
    };
    let namespace = namespace.or(stated.as_deref()).unwrap_or("metallb-system");
    let document = match inner {
        Ok(document) => document,
        Err(finding) => return (Vec::new(), vec![finding]),
    };
    let place = |remark: Remark, severity: Severity| {
        // Places inside a text inside the ConfigMap are those of the text: the line is said with the field.
        let span = if root { document.find(&remark.field).span } else { None };
        let line = if root { None } else { document.find(&remark.field).span.map(|span| span.line) };
        let message = match line {
            Some(line) => format!("line {line} of data.config: {}", remark.message),
            None => remark.message,
        };
        Finding { severity, source: Some(0), span, ..Finding::error("old_format", remark.field, message) }
    };
    match convert(&document.to_json(), namespace) {
        Err(remarks) => {
            (Vec::new(), remarks.into_iter().map(|remark| place(remark, Severity::Error)).collect())
        }
        Ok(converted) => {
            let remarks = converted.remarks.into_iter().map(|remark| place(remark, Severity::Warning));
            let mut findings: Vec<_> = remarks.collect();
            findings.extend(judged(&converted.objects));
            (converted.objects, findings)
        }
    }
}

/// What the daemons will say about the resources.
fn judged(objects: &[Value]) -> Vec<Finding> {
    let text: String = objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n");
    let sources = vec![Source { name: String::new(), text }];
    let (found, findings) = documents(&sources);
    let scope = Scope { namespace: None, lb_class: String::new() };
    let checked = check(sources, &found, findings, &scope, true);
    checked.findings.into_iter().map(|finding| Finding { source: None, span: None, ..finding }).collect()
}

/// The old document: whether it is the file itself, its content, and the namespace that its ConfigMap states.
fn old_document(found: &[Node]) -> Option<(bool, Result<Node, Finding>, Option<String>)> {
    for node in found {
        if node.text("kind") == Some("ConfigMap") {
            let Some(text) = node.get("data").and_then(|data| data.text("config")) else { continue };
            let stated = node.get("metadata").and_then(|meta| meta.text("namespace")).map(str::to_owned);
            let (mut inner, error) = parse(text);
            if let Some(error) = error {
                let message = format!("line {} of data.config: {}", error.span.line, error.message);
                let span = node.find("data.config").key_span;
                let finding =
                    Finding { source: Some(0), span, ..Finding::error("syntax", "data.config", message) };
                return Some((false, Err(finding), stated));
            }
            let document = if inner.is_empty() { Node::unplaced(Value::Null) } else { inner.swap_remove(0) };
            return Some((false, Ok(document), stated));
        }
    }
    let [document] = found else { return None };
    let is_old = node_is_old(document);
    is_old.then(|| (true, Ok(document.clone()), None))
}

fn node_is_old(document: &Node) -> bool {
    let Value::Object(map) = document.to_json() else { return false };
    let lines: String = map.keys().flat_map(|key| [key.as_str(), ":\n"]).collect();
    is_old_format(&std::collections::BTreeMap::from([("config".to_owned(), lines)]))
}

fn render(objects: &[Value], output: Output) -> Result<String, Trouble> {
    if output == Output::Json {
        return Ok(format!("{:#}\n", json!({"apiVersion": "v1", "kind": "List", "items": objects})));
    }
    let mut text = String::new();
    for (index, object) in objects.iter().enumerate() {
        let yaml = serde_saphyr::to_string(object).map_err(|error| Trouble::unknown(error.to_string()))?;
        text.push_str(if index == 0 { "" } else { "---\n" });
        text.push_str(&yaml);
    }
    Ok(text)
}
