//! The configuration in force and what is wrong with it, known to every controller, leading or not.

use std::sync::Arc;

use metallb_core::config::{Config, ConfigError};
use metallb_k8s::convert::{Judgement, configure};

use crate::inputs::Inputs;

/// The configuration as last read. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Configured {
    /// What is in force.
    pub config: Arc<Config>,
    /// Errors and warnings.
    pub problems: Arc<[ConfigError]>,
}

impl Configured {
    /// Nothing was read yet.
    pub(crate) fn nothing() -> Self {
        Self { config: Arc::default(), problems: Arc::from([]) }
    }

    /// Reads the resources anew; what was in force before stays for objects that are wrong now.
    pub(crate) fn update(&mut self, inputs: &Inputs) {
        let built = configure(&inputs.configuration.resources(), &self.config);
        let problems: Arc<[ConfigError]> = built.errors.into_iter().chain(built.warnings).collect();
        for problem in problems.iter().filter(|problem| !self.problems.contains(problem)) {
            tracing::warn!(error = %problem, "configuration");
        }
        self.problems = problems;
        self.config = Arc::new(built.config);
    }

    /// What the controller says about it.
    pub(crate) fn judgement(&self) -> Judgement {
        Judgement::of_controller(&self.problems)
    }
}
