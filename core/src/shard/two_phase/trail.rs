//! Two-phase commit as of an entry behind the newest: that of the restart point. The steps since are
//! kept beside it and followed when the ledger has caught up; after each block the sealer does so,
//! which bounds them by what waits for the ledger.

use std::collections::VecDeque;

use super::state::TwoPhase;
use super::step::Step;
use crate::error::Result;

/// A state, and the steps that lead from it to the newest.
#[derive(Debug)]
pub(super) struct Trail {
    base: TwoPhase,
    steps: VecDeque<(u64, Step)>,
}

impl Trail {
    /// Begins at the state of a restart point.
    pub fn new(base: TwoPhase) -> Self {
        Trail { base, steps: VecDeque::new() }
    }

    /// Notes the step of the entry at `index`.
    pub fn note(&mut self, index: u64, step: Step) {
        self.steps.push_back((index, step));
    }

    /// Whether the base is the newest.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Moves the base to the state after the entry at `index`, which never goes back.
    pub fn advance(&mut self, index: u64) -> Result<&TwoPhase> {
        while let Some((_, step)) = self.steps.pop_front_if(|(first, _)| *first <= index) {
            self.base.apply(&step)?;
        }
        Ok(&self.base)
    }
}
