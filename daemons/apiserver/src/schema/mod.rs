//! Structural schemas: one reader for the built-in kinds' and the custom resources' schemas.

mod builtin;
mod defaults;
mod merge_keys;
mod node;
mod prune;
mod types;
mod validate;

pub(crate) use builtin::{definitions, reference};
pub(crate) use defaults::{apply_defaults, drop_defaulted_nulls};
pub(crate) use node::{ListType, Node, Type};
pub(crate) use prune::{drop_nulls, prune};
pub(crate) use types::type_error;
pub(crate) use validate::{validate, validate_definition};
