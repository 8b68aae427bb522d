//! CEL rules of definitions (`x-kubernetes-validations`).

mod check;
mod evaluate;
mod functions;
mod values;

pub use check::check_rules;
pub use evaluate::{blocks_rules, validate_rules};

use std::collections::BTreeMap;

use kube_cel::cel::Program;
use serde_json::Value;

/// The compiled rules of a version's schema, by their text.
#[derive(Default)]
pub struct Rules(BTreeMap<String, Program>);

impl Rules {
    /// Compiles every rule and message expression below a schema. What does not compile is left out here: a definition
    /// with such a rule was refused by [`check_rules`].
    pub fn compile(schema: &Value) -> Self {
        let mut rules = Self::default();
        rules.collect(schema);
        rules
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, rule: &str) -> Option<&Program> {
        self.0.get(rule)
    }

    fn collect(&mut self, schema: &Value) {
        for rule in crate::list(schema, "/x-kubernetes-validations") {
            for field in ["rule", "messageExpression"] {
                let Some(text) = rule.get(field).and_then(Value::as_str) else { continue };
                if let Ok(program) = Program::compile(text) {
                    self.0.insert(text.to_owned(), program);
                }
            }
        }
        for (_, inner) in children(schema) {
            self.collect(inner);
        }
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

/// The schemas directly below a schema, with their places as messages name them.
fn children(schema: &Value) -> Vec<(String, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let mut found: Vec<_> = properties.map(|(name, inner)| (format!("properties[{name}]"), inner)).collect();
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(name).filter(|inner| inner.is_object()) {
            found.push((name.to_owned(), inner));
        }
    }
    found
}
