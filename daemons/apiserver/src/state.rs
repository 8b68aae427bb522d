//! Everything under the lock.

use crate::api::Limits;

#[derive(Debug)]
pub(crate) struct State {}

impl State {
    pub(crate) fn new(_: &Limits) -> Self {
        Self {}
    }
}
