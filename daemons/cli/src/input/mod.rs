//! What files say, with the place of every field.

mod parse;
mod scalar;
mod source;
mod tree;

pub(crate) use parse::parse;
pub(crate) use source::{Source, read};
pub(crate) use tree::{Entry, Node, Span, Value};
