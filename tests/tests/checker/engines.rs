//! Engines of a few lines each, some of them weak on purpose: each must show what its level allows.

use std::collections::{BTreeMap, BTreeSet};

use blockdb_tests::history::Kind::{G0, G1a, G1b, G1c, G2, G2Item, GSingle, OTV, P4, PMP};
use blockdb_tests::history::{End, History, Kind, Op, Predicate, Seen, Transaction};

use crate::{Dice, KEYS};

/// How much an engine of a few lines keeps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    ReadUncommitted,
    ReadCommitted,
    Snapshot,
    Serializable,
}

#[derive(Clone, Debug)]
struct Cell {
    by: usize,
    value: i64,
    committed_at: Option<u64>,
}

/// Registers and lists with all their versions, uncommitted ones among them.
#[derive(Default)]
struct Engine {
    registers: BTreeMap<&'static str, Vec<Cell>>,
    lists: BTreeMap<&'static str, Vec<Cell>>,
    now: u64,
    next_value: i64,
}

impl Engine {
    fn sees(level: Level, cell: &Cell, by: usize, began: u64) -> bool {
        let committed = cell.committed_at;
        cell.by == by
            || match level {
                Level::ReadUncommitted => true,
                Level::ReadCommitted => committed.is_some(),
                Level::Snapshot | Level::Serializable => committed.is_some_and(|at| at <= began),
            }
    }

    fn step(&mut self, level: Level, dice: &mut Dice, by: usize, began: u64) -> Op {
        let key = KEYS[dice.below(KEYS.len())];
        self.next_value += 1;
        let value = self.next_value;
        let sees = |cell: &&Cell| Engine::sees(level, cell, by, began);
        let seen = |cells: &Vec<Cell>| -> Option<Seen> {
            let cell = cells.iter().rfind(sees)?;
            let version = cells.iter().position(|known| known.value == cell.value)? as u64 + 1;
            Some(Seen { value: cell.value, version })
        };
        match dice.below(5) {
            0 => {
                let cells = self.registers.entry(key).or_default();
                cells.push(Cell { by, value, committed_at: None });
                Op::Write { key: key.to_owned(), value, version: None }
            }
            1 => {
                let cells = self.lists.entry(key).or_default();
                cells.push(Cell { by, value, committed_at: None });
                Op::Append { key: key.to_owned(), element: value }
            }
            2 => {
                let seen = self.registers.get(key).and_then(seen);
                Op::Read { key: key.to_owned(), seen }
            }
            3 => {
                let cells = self.lists.get(key).map_or(&[][..], Vec::as_slice);
                let elements = cells.iter().filter(sees).map(|cell| cell.value).collect();
                Op::ReadList { key: key.to_owned(), elements }
            }
            _ => {
                let predicate = Predicate::values("a", "z", i64::MIN, i64::MAX);
                let all = self.registers.iter();
                let matched = all.filter_map(|(key, cells)| Some((key.to_string(), seen(cells)?)));
                Op::ReadWhere { predicate, matched: matched.collect(), unmatched: Vec::new() }
            }
        }
    }

    /// Ends a transaction; false if it must be rolled back.
    fn end(&mut self, level: Level, by: usize, began: u64, roll_back: bool) -> bool {
        let all = || self.registers.values().chain(self.lists.values());
        // First committer wins, key by key; a serializable engine runs one at a time anyway.
        let conflict = level == Level::Snapshot
            && all().any(|cells| {
                cells.iter().any(|cell| cell.by == by)
                    && cells.iter().any(|cell| cell.committed_at.is_some_and(|at| at > began))
            });
        let commits = !roll_back && !conflict;
        self.now += 1;
        let (lists, registers) = (&mut self.lists, &mut self.registers);
        for cells in registers.values_mut().chain(lists.values_mut()) {
            if commits {
                let own = cells.iter_mut().filter(|cell| cell.by == by);
                own.for_each(|cell| cell.committed_at = Some(self.now));
            } else if level != Level::ReadUncommitted {
                cells.retain(|cell| cell.by != by);
            }
        }
        commits
    }
}

/// Runs `count` transactions, a few at a time, on an engine of `level`.
fn simulate(level: Level, seed: u64, count: usize) -> History {
    let (mut engine, mut dice) = (Engine::default(), Dice(seed));
    let at_once = if level == Level::Serializable { 1 } else { 3 };
    let mut open: Vec<(usize, u64, u64, Vec<Op>)> = Vec::new();
    let (mut begun, mut moment) = (0, 0);
    let mut history = History::default();
    while history.transactions.len() < count {
        moment += 1;
        if open.len() < at_once && begun < count {
            open.push((begun, engine.now, moment, Vec::new()));
            begun += 1;
            continue;
        }
        let place = dice.below(open.len());
        let (by, began, _, ops) = &mut open[place];
        if ops.len() < 4 {
            let op = engine.step(level, &mut dice, *by, *began);
            ops.push(op);
            continue;
        }
        let (by, began, first, ops) = open.swap_remove(place);
        let commits = engine.end(level, by, began, dice.below(10) == 0);
        let end = if commits { End::Committed } else { End::Aborted };
        let span = Some((first, moment));
        history.transactions.push(Transaction {
            id: by as u64,
            process: by as u64,
            ops,
            end,
            span,
        });
    }
    number(&mut history, &engine);
    history
}

/// Tells each write and each read the version its value came to be.
fn number(history: &mut History, engine: &Engine) {
    let of = |key: &str, value: i64| {
        let cells = engine.registers.get(key)?;
        Some(cells.iter().position(|cell| cell.value == value)? as u64 + 1)
    };
    for op in history.transactions.iter_mut().flat_map(|transaction| &mut transaction.ops) {
        match op {
            Op::Write { key, value, version } => *version = of(key, *value),
            Op::Read { key, seen: Some(seen) } => {
                seen.version = of(key, seen.value).unwrap_or(u64::MAX - seen.value as u64);
            }
            Op::ReadWhere { matched, .. } => matched.iter_mut().for_each(|(key, seen)| {
                seen.version = of(key, seen.value).unwrap_or(u64::MAX - seen.value as u64);
            }),
            _ => {}
        }
    }
}

fn kinds_at(level: Level) -> BTreeSet<Kind> {
    let mut kinds = BTreeSet::new();
    for seed in 0..300 {
        let history = simulate(level, seed, 30);
        kinds.extend(history.check().kinds());
    }
    kinds
}

#[test]
fn an_engine_that_runs_one_at_a_time_is_clean() {
    for seed in 0..300 {
        let history = simulate(Level::Serializable, seed, 40);
        let report = history.check();
        assert!(report.is_clean(), "seed {seed}: {}", history.explain(&report));
    }
}

#[test]
fn a_snapshot_engine_shows_write_skew_and_nothing_less() {
    assert_eq!(kinds_at(Level::Snapshot), BTreeSet::from([G2Item, G2]));
}

#[test]
fn an_engine_of_committed_reads_loses_updates_and_never_shows_what_is_not_committed() {
    let kinds = kinds_at(Level::ReadCommitted);
    let weak = [OTV, PMP, P4, GSingle];
    assert!(weak.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    assert!([G1a, G1b].iter().all(|kind| !kinds.contains(kind)), "{kinds:?}");
}

#[test]
fn an_engine_that_keeps_nothing_apart_shows_everything() {
    let kinds = kinds_at(Level::ReadUncommitted);
    for kind in [G0, G1a, G1b, G1c, OTV, P4, GSingle] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
}
