//! What of a rule is refused together with its definition.

use kube_cel::cel::Program;
use serde_json::Value;

use super::children;
use super::functions::is_known;
use crate::Cause;
use crate::{list, text};

/// Checks every rule below a schema: that it can be parsed, and uses nothing that this server does not know. A rule
/// that could not be evaluated must never count as fulfilled.
pub fn check_rules(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (index, rule) in list(schema, "/x-kubernetes-validations").iter().enumerate() {
        let at = format!("{path}.x-kubernetes-validations[{index}]");
        let source = text(rule, "/rule");
        if source.trim().is_empty() {
            causes.push(Cause::required(format!("{at}.rule"), "rule is not specified"));
            continue;
        }
        expression(source, &format!("{at}.rule"), causes);
        if let Some(source) = rule.get("messageExpression").and_then(Value::as_str) {
            expression(source, &format!("{at}.messageExpression"), causes);
        }
        let reason = text(rule, "/reason");
        let reasons =
            ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
        if !reason.is_empty() && !reasons.contains(&reason) {
            let supported = reasons.map(str::to_owned);
            causes.push(Cause::not_supported(format!("{at}.reason"), &Value::from(reason), &supported));
        }
    }
    for (place, inner) in children(schema) {
        check_rules(inner, &format!("{path}.{place}"), causes);
    }
}

fn expression(source: &str, path: &str, causes: &mut Vec<Cause>) {
    let value = Value::from(source);
    match Program::compile(source) {
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("syntax error");
            causes.push(Cause::invalid(path, &value, &format!("compilation failed: {first}")));
        }
        Ok(program) => {
            let references = program.references();
            let mut unknown: Vec<_> =
                references.functions().into_iter().filter(|function| !is_known(function)).collect();
            unknown.sort_unstable();
            for function in unknown {
                let why = format!(
                    "compilation failed: undeclared reference to '{function}': the embedded API server does not \
                     evaluate this function"
                );
                causes.push(Cause::invalid(path, &value, &why));
            }
        }
    }
}
