//! Evaluating the rules of an object, with the real server's messages and its tolerance for what did not change.

use kube_cel::KubeCelExt;
use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{Context, Value as Cel};
use serde_json::Value;

use super::Rules;
use super::values::to_cel;
use crate::Cause;
use crate::text;
use crate::{ListType, Node};

/// What the rules say against an object. A rule that does not compare with the old value is not held against a value
/// that did not change.
pub fn validate_rules(rules: &Rules, node: Node<'_>, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if !rules.is_empty() {
        walk(rules, &Place { node, value: object, old, path: String::new() }, &mut causes);
    }
    causes
}

/// A value, with what stood in its place before.
struct Place<'a> {
    node: Node<'a>,
    value: &'a Value,
    old: Option<&'a Value>,
    path: String,
}

fn walk(rules: &Rules, place: &Place<'_>, causes: &mut Vec<Cause>) {
    if place.value.is_null() {
        return;
    }
    let own = place.node.attribute("x-kubernetes-validations").and_then(Value::as_array);
    for rule in own.into_iter().flatten() {
        causes.extend(apply(rules, rule, place));
    }
    match place.value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let Some(node) = place.node.field(name) else { continue };
                let is_property = place.node.property(name).is_some();
                let path = match (place.path.as_str(), is_property) {
                    ("", _) => name.clone(),
                    (path, true) => format!("{path}.{name}"),
                    (path, false) => format!("{path}[{name}]"),
                };
                let old = place.old.filter(|_| !place.node.is_atomic_map()).and_then(|old| old.get(name));
                walk(rules, &Place { node, value, old, path }, causes);
            }
        }
        Value::Array(items) => {
            let Some(node) = place.node.items() else { return };
            for (index, value) in items.iter().enumerate() {
                let old = place.old.and_then(|old| counterpart(place.node, old, value));
                walk(rules, &Place { node, value, old, path: format!("{}[{index}]", place.path) }, causes);
            }
        }
        _ => {}
    }
}

/// The element of the old list that has the same keys; elements of other lists have no identity.
fn counterpart<'a>(node: Node<'_>, old: &'a Value, item: &Value) -> Option<&'a Value> {
    let ListType::Map(keys) = node.list_type() else { return None };
    let same = |other: &&Value| keys.iter().all(|key| other.get(key) == item.get(key));
    old.as_array()?.iter().find(same)
}

fn apply(rules: &Rules, rule: &Value, place: &Place<'_>) -> Option<Cause> {
    let source = text(rule, "/rule");
    let program = rules.get(source)?;
    let transition = program.references().has_variable("oldSelf");
    let optional = rule.get("optionalOldSelf") == Some(&Value::Bool(true));
    if transition && place.old.is_none() && !optional {
        return None;
    }
    let evaluate = |source: &str| {
        let program = rules.get(source)?;
        Some(with_functions(|base| {
            let mut context = base.new_inner_scope();
            context.add_variable_from_value("self", to_cel(Some(place.node), place.value));
            let old = place.old.map(|old| to_cel(Some(place.node), old));
            let old = match (optional, old) {
                (true, Some(old)) => Some(Cel::Opaque(std::sync::Arc::new(OptionalValue::of(old)))),
                (true, None) => Some(Cel::Opaque(std::sync::Arc::new(OptionalValue::none()))),
                (false, old) => old,
            };
            if let Some(old) = old {
                context.add_variable_from_value("oldSelf", old);
            }
            program.execute(&context)
        }))
    };
    let shown = Value::from(place.node.text("type").unwrap_or_default());
    match evaluate(source)? {
        Ok(Cel::Bool(true)) => None,
        Ok(_) if !transition && place.old == Some(place.value) => None,
        Ok(_) => {
            let said = rule.get("messageExpression").and_then(Value::as_str).and_then(&evaluate);
            let message = match said {
                Some(Ok(Cel::String(text))) if !text.trim().is_empty() && !text.trim().contains('\n') => {
                    text.trim().to_owned()
                }
                _ => match text(rule, "/message") {
                    "" => format!("failed rule: {}", source.trim()),
                    message => message.trim().to_owned(),
                },
            };
            Some(cause(rule, &field(rule, &place.path), &shown, &message))
        }
        Err(error) => {
            let error = error.to_string();
            let error = error.replacen("No such key", "no such key", 1);
            Some(Cause::invalid(
                root(&place.path),
                &shown,
                &format!("{error} evaluating rule: {}", source.trim()),
            ))
        }
    }
}

fn cause(rule: &Value, path: &str, shown: &Value, message: &str) -> Cause {
    match text(rule, "/reason") {
        "FieldValueForbidden" => Cause::forbidden(path, message),
        "FieldValueRequired" => Cause::required(path, message),
        "FieldValueDuplicate" => Cause::duplicate(path, shown),
        _ => Cause::invalid(path, shown, message),
    }
}

/// The place that a rule blames: its own, or a field below it.
fn field(rule: &Value, path: &str) -> String {
    match (path, text(rule, "/fieldPath")) {
        ("", "") => root("").to_owned(),
        (path, "") => path.to_owned(),
        ("", below) => below.trim_start_matches('.').to_owned(),
        (path, below) if below.starts_with(['.', '[']) => format!("{path}{below}"),
        (path, below) => format!("{path}.{below}"),
    }
}

/// How the real server names the object itself.
fn root(path: &str) -> &str {
    if path.is_empty() { "<nil>" } else { path }
}

/// Runs something with all functions at hand. They are registered once for each thread.
pub(super) fn with_functions<T>(run: impl FnOnce(&Context<'static>) -> T) -> T {
    thread_local! {
        static FUNCTIONS: Context<'static> = Context::default().with_all();
    }
    FUNCTIONS.with(run)
}

/// Whether schema errors are such that rules are not evaluated any more, as in the real server.
pub fn blocks_rules(causes: &[Cause]) -> bool {
    let blocking = |cause: &Cause| {
        matches!(
            cause.reason,
            "FieldValueRequired"
                | "FieldValueNotSupported"
                | "FieldValueTooLong"
                | "FieldValueTooMany"
                | "FieldValueTypeInvalid"
        )
    };
    causes.iter().any(blocking)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::validate_rules;
    use crate::Node;
    use crate::cel::{Rules, check_rules};

    fn spec(rules: &Value) -> Value {
        json!({"type": "object", "properties": {"spec": {
            "type": "object", "x-kubernetes-validations": rules,
            "properties": {
                "a": {"type": "integer"}, "b": {"type": "string"}, "wait": {"type": "string"},
                "ratio": {"type": "number"}, "until": {"type": "string", "format": "date-time"},
                "my-name": {"type": "string"}, "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "ports": {
                    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"],
                    "items": {"type": "object", "properties": {"port": {"type": "integer"}, "name": {
                        "type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "names stay"}],
                    }}},
                },
            },
        }}})
    }

    fn verdict(rules: &Value, object: &Value, old: Option<&Value>) -> Vec<String> {
        let schema = spec(rules);
        let mut refused = Vec::new();
        check_rules(&schema, "s", &mut refused);
        assert!(refused.is_empty(), "{refused:?}");
        let node = Node::new(&schema);
        let causes = validate_rules(
            &Rules::compile(&schema),
            node,
            &json!({"spec": object}),
            old.map(|old| json!({"spec": old})).as_ref(),
        );
        causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    #[test]
    fn rules_are_true_or_name_their_message() {
        for (rule, object, holds) in [
            ("self.a > 1", json!({"a": 2}), true),
            ("self.a > 1", json!({"a": 1}), false),
            ("!has(self.b) || self.b.matches('^x+$')", json!({}), true),
            ("!has(self.b) || self.b.matches('^x+$')", json!({"b": "xy"}), false),
            ("duration(self.wait) >= duration('1s')", json!({"wait": "1500ms"}), true),
            ("duration(self.wait) >= duration('1s')", json!({"wait": "0s"}), false),
            ("duration(self.wait).getMilliseconds() % 1000 == 0", json!({"wait": "2s"}), true),
            ("duration(self.wait).getMilliseconds() % 1000 == 0", json!({"wait": "1500ms"}), false),
            ("self.ratio < 1.5", json!({"ratio": 1}), true),
            (
                "self.until > timestamp('2020-01-01T00:00:00Z')",
                json!({"until": "2021-01-01T00:00:00Z"}),
                true,
            ),
            ("self.my__dash__name.startsWith('a')", json!({"my-name": "abc"}), true),
            ("self.labels.all(key, key != 'x-y')", json!({"labels": {"x-y": "1"}}), false),
            (
                "size(self.ports) == 0 || self.ports.exists(p, p.port == 1)",
                json!({"ports": [{"port": 2}]}),
                false,
            ),
            ("self.ports.exists_one(p, p.port > 1)", json!({"ports": [{"port": 2}]}), true),
            ("(has(self.a) && self.a != 0) != has(self.b)", json!({"a": 0, "b": "x"}), true),
            ("isIP(self.b) && ip(self.b).family() == 4", json!({"b": "192.0.2.1"}), true),
            ("self.b in ['x', 'y']", json!({"b": "z"}), false),
            ("quantity(self.b).isGreaterThan(quantity('1Mi'))", json!({"b": "1Gi"}), true),
        ] {
            let found = verdict(&json!([{"rule": rule, "message": "wrong"}]), &object, None);
            let expected =
                if holds { vec![] } else { vec!["spec: Invalid value: \"object\": wrong".to_owned()] };
            assert_eq!(found, expected, "{rule} {object}");
        }
    }

    #[test]
    fn messages_paths_and_reasons_are_those_of_the_rule() {
        for (rule, expected) in [
            (json!({"rule": "self.a > 1"}), "spec: Invalid value: \"object\": failed rule: self.a > 1"),
            (
                json!({"rule": "self.a > 1", "messageExpression": "'a is ' + string(self.a)", "message": "no"}),
                "spec: Invalid value: \"object\": a is 1",
            ),
            (
                json!({"rule": "self.a > 1", "message": "m", "fieldPath": ".a", "reason": "FieldValueForbidden"}),
                "spec.a: Forbidden: m",
            ),
            (
                json!({"rule": "self.a > 1", "message": "m", "reason": "FieldValueRequired"}),
                "spec: Required value: m",
            ),
            (
                json!({"rule": "self.b == 'x'"}),
                "spec: Invalid value: \"object\": no such key: b evaluating rule: self.b == 'x'",
            ),
        ] {
            assert_eq!(verdict(&json!([rule]), &json!({"a": 1}), None), [expected]);
        }
    }

    #[test]
    fn transition_rules_need_an_old_value_and_the_others_a_change() {
        let stays = json!([{"rule": "self.a == oldSelf.a", "message": "a stays"}]);
        let wrong = vec!["spec: Invalid value: \"object\": a stays".to_owned()];
        assert!(verdict(&stays, &json!({"a": 1}), None).is_empty());
        assert!(verdict(&stays, &json!({"a": 1, "b": "x"}), Some(&json!({"a": 1}))).is_empty());
        assert_eq!(verdict(&stays, &json!({"a": 2}), Some(&json!({"a": 1}))), wrong);
        let small = json!([{"rule": "self.a < 5", "message": "too much"}]);
        assert!(verdict(&small, &json!({"a": 9}), Some(&json!({"a": 9}))).is_empty());
        assert_eq!(verdict(&small, &json!({"a": 9, "b": "x"}), Some(&json!({"a": 9}))).len(), 1);
        let optional =
            json!([{"rule": "!oldSelf.hasValue() || oldSelf.value().a == self.a", "optionalOldSelf": true}]);
        assert!(verdict(&optional, &json!({"a": 1}), None).is_empty());
        assert_eq!(verdict(&optional, &json!({"a": 2}), Some(&json!({"a": 1}))).len(), 1);
    }

    #[test]
    fn elements_are_compared_by_their_keys() {
        let ports = |name: &str| json!({"ports": [{"port": 2, "name": "b"}, {"port": 1, "name": name}]});
        let old = json!({"ports": [{"port": 1, "name": "a"}]});
        assert!(verdict(&json!([]), &ports("a"), Some(&old)).is_empty());
        assert_eq!(
            verdict(&json!([]), &ports("x"), Some(&old)),
            ["spec.ports[1].name: Invalid value: \"string\": names stay"]
        );
    }

    #[test]
    fn what_cannot_be_evaluated_is_refused_with_the_definition() {
        for (rule, why) in [
            ("self.a >", "compilation failed"),
            ("self.ports.sortBy(p, p.port).size() > 0", "undeclared reference to 'sortBy'"),
            ("odd(self.a)", "undeclared reference to 'odd'"),
            ("isURL(self.b)", "undeclared reference to 'isURL'"),
        ] {
            let schema = spec(&json!([{"rule": rule}]));
            let mut causes = Vec::new();
            check_rules(&schema, "s", &mut causes);
            assert_eq!(causes.len(), 1, "{rule}: {causes:?}");
            assert_eq!(causes[0].field, "s.properties[spec].x-kubernetes-validations[0].rule");
            assert!(causes[0].message.contains(why), "{}", causes[0].message);
        }
    }
}
