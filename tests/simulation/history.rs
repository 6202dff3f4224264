//! What a crash may leave: everything that is surely on disk, then a prefix of what was acknowledged
//! since (nothing, in mode `sync`), then perhaps one call that was never answered.

use blockdb::{BlockInfo, Durability};

use super::model::{Effect, Model};

/// The acknowledged past and what is in doubt.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What no crash takes any more.
    pub floor: Model,
    /// Acknowledged and not surely on disk, in commit order: modes `interval` and `none` alone.
    pub after: Vec<Effect>,
    /// Calls without an answer, or with an error, since the last acknowledged one: at most one of
    /// them may have happened, and of that one a prefix of its log entries.
    pub doubts: Vec<Vec<Effect>>,
    /// The state before the last log entry that was acknowledged.
    pub before_last: Model,
    /// Whether the database was ever opened: before that, there may be none.
    pub exists: bool,
}

impl History {
    /// Takes note of an acknowledged change.
    pub fn acknowledge(&mut self, effects: &[Effect], durability: Durability) {
        self.doubts.clear();
        let earlier = effects.split_last().map_or(&[][..], |(_, earlier)| earlier);
        self.before_last = self.visible().with(earlier);
        match durability {
            Durability::Sync => effects.iter().for_each(|effect| self.floor.apply(effect)),
            _ => self.after.extend_from_slice(effects),
        }
    }

    /// Everything acknowledged is on disk now.
    pub fn settle(&mut self) {
        for effect in self.after.drain(..) {
            self.floor.apply(&effect);
        }
    }

    /// Everything acknowledged up to the last change of `name` is on disk now.
    pub fn settle_through(&mut self, name: &str) {
        let last = self.after.iter().rposition(|effect| effect.is_about(name));
        for effect in self.after.drain(..last.map_or(0, |place| place + 1)) {
            self.floor.apply(&effect);
        }
    }

    /// Blocks of `name` that a call has shown: they are on disk and never change.
    pub fn note_blocks(&mut self, name: &str, blocks: &[BlockInfo]) {
        if self.floor.collections.contains_key(name) {
            self.floor.collection_mut(name).blocks = blocks.to_vec();
        }
    }

    /// What a reader of the running process must see.
    pub fn visible(&self) -> Model {
        self.floor.with(&self.after)
    }

    /// Every state a crash may leave, the most probable first: all acknowledged, with a call in
    /// doubt, without some of what was not yet on disk.
    pub fn candidates(&self) -> impl Iterator<Item = Model> + '_ {
        let all = self.visible();
        let doubted = self
            .doubts
            .iter()
            .flat_map(|effects| (1..=effects.len()).map(move |count| &effects[..count]));
        let doubted: Vec<Model> = doubted.map(|effects| all.with(effects)).collect();
        let shorter =
            (0..self.after.len()).rev().map(|count| self.floor.with(&self.after[..count]));
        std::iter::once(all).chain(doubted).chain(shorter)
    }
}
