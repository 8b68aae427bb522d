//! Label selectors.

use metallb_core::select::{ExpressionInput, SelectorInput};

use crate::crd::LabelSelector;

/// The selector as a plain value.
pub(crate) fn selector(selector: &LabelSelector) -> SelectorInput {
    let expressions = selector.match_expressions.iter().map(|expression| ExpressionInput {
        key: expression.key.clone(),
        operator: expression.operator.clone(),
        values: expression.values.clone(),
    });
    SelectorInput {
        match_labels: selector.match_labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        match_expressions: expressions.collect(),
    }
}

/// A list of selectors as plain values.
pub(crate) fn selectors(list: &[LabelSelector]) -> Vec<SelectorInput> {
    list.iter().map(selector).collect()
}
