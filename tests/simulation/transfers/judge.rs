//! The judge of all shards: at any moment by plain reads, and at the end by everything there is.

use std::collections::BTreeSet;

use blockdb::Code;
use blockdb::shard::two_phase::Verdict;
use blockdb::transaction::locks::LockFigures;

use super::super::oracle;
use super::node::Look;
use super::world::{World, failed};
use super::{ACCOUNTS, BALANCE, SHARDS};

/// What happened how often: a run that has not seen everything has not tested it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Transfers committed.
    pub committed: u64,
    /// Transfers aborted.
    pub aborted: u64,
    /// Prepares refused for coming too late.
    pub late: u64,
    /// Readers kept from one half.
    pub blocked: u64,
    /// Readers that saw all.
    pub answered: u64,
    /// Nodes that crashed or were restarted.
    pub crashes: u64,
    /// Restarts that found something prepared.
    pub survived: u64,
    /// Transactions ended by somebody other than their coordinator.
    pub settled: u64,
}

impl Figures {
    /// Both together.
    pub fn plus(self, other: Figures) -> Figures {
        Figures {
            committed: self.committed + other.committed,
            aborted: self.aborted + other.aborted,
            late: self.late + other.late,
            blocked: self.blocked + other.blocked,
            answered: self.answered + other.answered,
            crashes: self.crashes + other.crashes,
            survived: self.survived + other.survived,
            settled: self.settled + other.settled,
        }
    }

    /// Whether everything happened.
    pub fn is_complete(self) -> bool {
        let Figures { committed, aborted, late, blocked, answered, crashes, survived, settled } =
            self;
        [committed, aborted, late, blocked, answered, crashes, survived, settled]
            .iter()
            .all(|count| *count > 0)
    }
}

impl World {
    /// Looks at all shards at this moment: whoever is not kept waiting sees the whole sum.
    pub fn look(&mut self) -> Result<(), String> {
        let look = Look::ALL[self.dice.below(Look::ALL.len() as u64) as usize];
        let mut sum = 0;
        for number in 0..SHARDS {
            match self.nodes[number as usize].sum(look) {
                Ok(part) => sum += part,
                Err(error) if failed(&error) => return self.revive(number),
                Err(error) if error.code() == Code::LockTimeout => {
                    self.figures.blocked += 1;
                    return match error.detail().contains("transaction 0") {
                        true => Ok(()),
                        false => Err(format!("the transaction is not named: {error}")),
                    };
                }
                Err(error) => return Err(format!("{look:?} at shard {number}: {error}")),
            }
        }
        self.figures.answered += 1;
        let expected = i64::from(SHARDS) * ACCOUNTS as i64 * BALANCE;
        match sum == expected {
            true => Ok(()),
            false => Err(format!("{look:?} gives a sum of {sum}, expected {expected}")),
        }
    }

    /// Locks without an owner are those of what is prepared.
    pub(super) fn check_locks(&self) -> Result<(), String> {
        for node in &self.nodes {
            let (figures, prepared) =
                (node.db().database().locks.figures(), node.shard().prepared().len());
            if figures.detached != prepared {
                return Err(format!(
                    "node {}: {prepared} are prepared, and {figures:?}",
                    node.number
                ));
            }
        }
        Ok(())
    }

    /// Every transfer is at all its shards or at none, as was told; the balances are their sum;
    /// nothing is locked, kept or damaged.
    pub fn judge(&mut self) -> Result<(), String> {
        let mut expected = vec![vec![BALANCE; ACCOUNTS as usize]; SHARDS as usize];
        for (txn, begun) in &self.begun {
            let mut shown = BTreeSet::new();
            for node in &self.nodes {
                if node.shows(*txn).map_err(|error| format!("looking for {txn}: {error}"))? {
                    shown.insert(node.number);
                }
            }
            if !shown.is_empty() && shown != begun.participants {
                return Err(format!("transfer {txn} of {:?} is at {shown:?}", begun.participants));
            }
            let there = !shown.is_empty();
            if begun.told.is_some_and(|told| (told == Verdict::Commit) != there) {
                return Err(format!("transfer {txn} was told {:?}, seen {there}", begun.told));
            }
            for leg in begun.legs.iter().filter(|_| there) {
                expected[leg.shard as usize][leg.account as usize] += leg.delta;
            }
        }
        for (node, expected) in self.nodes.iter().zip(&expected) {
            let found = node.balances().map_err(|error| error.to_string())?;
            if found != *expected {
                return Err(format!("balances of node {}: {found:?}, {expected:?}", node.number));
            }
            let figures = node.db().database().locks.figures();
            if figures != LockFigures::default() {
                return Err(format!("node {} still holds {figures:?}", node.number));
            }
            let left = node.shard().snapshot().two_phase.decisions().count();
            if left > 0 {
                return Err(format!("node {} keeps {left} decisions", node.number));
            }
            oracle::verify(node.db()).map_err(|what| format!("node {}: {what}", node.number))?;
        }
        Ok(())
    }
}
