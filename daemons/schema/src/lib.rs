//! Structural schemas and CEL rules, evaluated as a Kubernetes API server evaluates them: the same field paths, the
//! same messages, the same order of checks.
//!
//! The embedded API server holds every written object against them; `metallb check` holds files against the
//! definitions of MetalLB's resources, without a cluster.
//!
//! ```
//! use metallb_schema::{Node, prune, validate};
//! use serde_json::json;
//!
//! let schema = json!({"type": "object", "properties": {"port": {"type": "integer", "minimum": 1}}});
//! let mut object = json!({"port": 0, "prot": 1});
//! assert_eq!(prune(Node::new(&schema), &mut object), ["prot"]);
//! let causes = validate(Node::new(&schema), &object, "");
//! assert_eq!(causes[0].field, "port");
//! ```

#![deny(missing_docs, rustdoc::broken_intra_doc_links)]

mod builtin;
mod cause;
mod cel;
mod defaults;
mod merge_keys;
mod node;
mod prune;
mod types;
mod validate;

pub use builtin::{definitions, reference};
pub use cause::Cause;
pub use cel::{Rules, blocks_rules, check_rules, validate_rules};
pub use defaults::{apply_defaults, drop_defaulted_nulls};
pub use node::{ListType, Node, PatchStrategy, Type, complete};
pub use prune::{drop_nulls, prune};
pub use types::type_error;
pub use validate::{validate, validate_definition};

use serde_json::Value;

/// The text at a pointer, empty when absent.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at a pointer, empty when absent.
fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
