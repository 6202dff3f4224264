//! What a group's log must be, as plain values, and random steps that Raft might take.

use std::collections::BTreeMap;
use std::io;

use openraft::RaftLogReader;
use openraft::storage::RaftLogStorage;

use super::truncate;
use super::{TypeConfig, all, append, blank, entry, id, now, purge, save_committed, save_vote};
use crate::cluster::{Entry, LogId, LogStore, Member, Membership, Payload, Vote};
use crate::host::simulated::Dice;

/// A group's log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    pub entries: BTreeMap<u64, Entry>,
}

/// One call of the store.
#[derive(Clone, Debug)]
pub enum Step {
    Vote(Vote),
    Committed(LogId),
    Append(Vec<Entry>),
    Truncate(Option<LogId>),
    Purge(LogId),
}

impl Step {
    /// Carries it out.
    pub fn call(self, store: &mut LogStore) -> io::Result<()> {
        match self {
            Step::Vote(vote) => save_vote(store, vote),
            Step::Committed(committed) => save_committed(store, Some(committed)),
            Step::Append(entries) => append(store, entries),
            Step::Truncate(last) => truncate(store, last),
            Step::Purge(upto) => purge(store, upto),
        }
    }

    /// Whether what it did is durable when it returns.
    pub fn is_durable(&self) -> bool {
        !matches!(self, Step::Committed(_))
    }

    /// Every state it may leave behind if it is not acknowledged, besides that nothing happened.
    pub fn parts(&self) -> Vec<Step> {
        match self {
            Step::Append(entries) => {
                (1..=entries.len()).map(|count| Step::Append(entries[..count].to_vec())).collect()
            }
            step => vec![step.clone()],
        }
    }
}

impl Model {
    /// What a store says.
    pub fn of(store: &mut LogStore) -> io::Result<Self> {
        let mut reader = store.reader();
        let vote = now(RaftLogReader::<TypeConfig>::read_vote(&mut reader))?;
        let committed = now(RaftLogStorage::<TypeConfig>::read_committed(store))?;
        let state = now(RaftLogStorage::<TypeConfig>::get_log_state(store))?;
        let entries = all(store)?.into_iter().map(|entry| (entry.log_id.index, entry)).collect();
        let model = Model { vote, committed, purged: state.last_purged_log_id, entries };
        assert_eq!(state.last_log_id, model.last());
        Ok(model)
    }

    pub fn last(&self) -> Option<LogId> {
        self.entries.values().next_back().map(|entry| entry.log_id).or(self.purged)
    }

    pub fn take(&mut self, step: &Step) {
        match step {
            Step::Vote(vote) => self.vote = Some(*vote),
            Step::Committed(committed) => self.committed = Some(*committed),
            Step::Append(entries) => {
                self.entries
                    .extend(entries.iter().map(|entry| (entry.log_id.index, entry.clone())));
            }
            Step::Truncate(last) => {
                self.entries.retain(|index, _| last.is_some_and(|last| *index <= last.index));
            }
            Step::Purge(upto) => {
                self.entries.retain(|index, _| *index > upto.index);
                self.purged = Some(*upto);
            }
        }
    }

    /// A step that a correct Raft may ask for now.
    pub fn roll(&self, dice: &mut Dice) -> Step {
        let last = self.last();
        let term = last.map_or(0, |last| last.leader_id.term);
        let committed = self.committed.map_or(0, |id| id.index + 1);
        let floor = self.purged.map_or(0, |id| id.index + 1).max(committed);
        match dice.below(16) {
            0 | 1 => {
                let vote = self.vote.map_or((0, 0), |vote| (vote.leader_id.term, 1));
                let term = vote.0.max(term) + dice.below(2) * (1 + dice.below(3));
                match self.vote {
                    Some(vote) if vote.leader_id.term == term => {
                        Step::Vote(Vote::new_committed(term, vote.leader_id.voted_for))
                    }
                    _ => Step::Vote(Vote::new(term, dice.below(5))),
                }
            }
            2..=4 => match self.pick(dice, floor) {
                Some(id) => Step::Committed(id),
                None => self.roll(dice),
            },
            5 => match (self.pick(dice, floor), floor) {
                (Some(id), _) => Step::Truncate(Some(id)),
                (None, 0) => Step::Truncate(None),
                (None, _) => self.roll(dice),
            },
            6 | 7 => match self.pick(dice, 0) {
                Some(id) if Some(id) <= self.committed => Step::Purge(id),
                // A snapshot from elsewhere replaces all of the log.
                _ if dice.chance(1, 4) => {
                    let index = last.map_or(0, |last| last.index + 1) + dice.below(30);
                    Step::Purge(id(term + 1, index))
                }
                _ => self.roll(dice),
            },
            _ => Step::Append(self.entries_to_append(dice, term)),
        }
    }

    fn pick(&self, dice: &mut Dice, floor: u64) -> Option<LogId> {
        let count = self.entries.range(floor..).count() as u64;
        let place = dice.below(count.max(1)) as usize;
        self.entries.range(floor..).nth(place).map(|(_, entry)| entry.log_id)
    }

    fn entries_to_append(&self, dice: &mut Dice, mut term: u64) -> Vec<Entry> {
        let first = self.last().map_or(0, |last| last.index + 1);
        let many = if dice.chance(1, 6) { 20 } else { 4 };
        let count = 1 + dice.below(many);
        let entries = (first..first + count).map(|index| {
            term += u64::from(dice.chance(1, 12));
            match dice.below(8) {
                0 => blank(term, index),
                1 => {
                    Entry { log_id: id(term, index), payload: Payload::Membership(members(index)) }
                }
                2 => entry(term, index, dice.below(6000) as usize),
                _ => entry(term, index, dice.below(200) as usize),
            }
        });
        entries.collect()
    }
}

/// Some membership: one of them is joint and has a learner.
fn members(seed: u64) -> Membership {
    let member = |node: u64| {
        (node, Member::new(format!("node-{node}:{seed}"), format!("{node}.example:80")).unwrap())
    };
    let nodes: BTreeMap<u64, Member> = (1..=4).map(member).collect();
    let configs = match seed % 3 {
        0 => vec![[1, 2, 3].into(), [2, 3, 4].into()],
        1 => vec![[1, 2, 3].into()],
        _ => vec![[u64::MAX].into()],
    };
    let nodes = match seed % 3 {
        2 => [(u64::MAX, Member::default())].into(),
        _ => nodes,
    };
    Membership::new(configs, nodes).unwrap()
}
