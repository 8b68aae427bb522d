//! What an explanation consists of.

use serde::Serialize;

/// Everything between a service and its clients, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Chain {
    /// `namespace/name`.
    pub(crate) service: String,
    pub(crate) steps: Vec<Step>,
}

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Step {
    pub(crate) topic: &'static str,
    pub(crate) state: State,
    /// A stable word for what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    pub(crate) text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) details: Vec<String>,
    /// A command that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

/// How it stands with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Good,
    /// Worth knowing; the service works nevertheless.
    Note,
    /// It could not be found out.
    Unknown,
    /// Here the chain is broken.
    Broken,
}

impl Chain {
    pub(crate) fn new(service: String) -> Self {
        Self { service, steps: Vec::new() }
    }

    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Where the chain is broken first.
    pub(crate) fn first_break(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.state == State::Broken)
    }

    /// The answer, where it is not that all is well: where the chain is broken first, or else where something speaks against
    /// it that can be looked into, though not everything could be seen.
    pub(crate) fn answer(&self) -> Option<&Step> {
        let may_be = |step: &&Step| step.state == State::Unknown && step.remedy.is_some();
        self.first_break().or_else(|| self.steps.iter().find(may_be))
    }

    /// Whether something could not be found out.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.steps.iter().any(|step| step.state == State::Unknown)
    }
}

impl Step {
    pub(crate) fn good(topic: &'static str, text: impl Into<String>) -> Self {
        Self { topic, state: State::Good, reason: None, text: text.into(), details: Vec::new(), remedy: None }
    }

    pub(crate) fn note(topic: &'static str, text: impl Into<String>) -> Self {
        Self { state: State::Note, ..Self::good(topic, text) }
    }

    pub(crate) fn unknown(topic: &'static str, text: impl Into<String>) -> Self {
        Self { state: State::Unknown, ..Self::good(topic, text) }
    }

    pub(crate) fn broken(topic: &'static str, reason: &'static str, text: impl Into<String>) -> Self {
        Self { state: State::Broken, reason: Some(reason), ..Self::good(topic, text) }
    }

    pub(crate) fn remedy(self, command: impl Into<String>) -> Self {
        Self { remedy: Some(command.into()), ..self }
    }

    pub(crate) fn details(self, details: impl IntoIterator<Item = String>) -> Self {
        Self { details: details.into_iter().collect(), ..self }
    }
}
