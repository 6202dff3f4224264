//! Long histories are judged in little more than the time it takes to read them, good ones and bad.

#![allow(clippy::disallowed_methods)] // Measured with the system's own clock.

use std::time::{Duration, Instant};

use blockdb_tests::history::Kind::GSingle;
use blockdb_tests::history::{End, History, Op, Predicate, Report, Seen, Transaction};
use blockdb_tests::is_debug_build;

const TRANSACTIONS: u64 = 10_000;
/// What each judgement may take in an optimised build, on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(2);

fn judged(what: &str, history: &History) -> Report {
    let timed = || {
        let begun = Instant::now();
        (history.check(), begun.elapsed())
    };
    let (report, mut took) = timed();
    // The machine may have had other things to do.
    for _ in 0..4 {
        if took >= LIMIT && !is_debug_build() {
            took = took.min(timed().1);
        }
    }
    let first = report.to_string().lines().next().unwrap_or_default().to_owned();
    println!("{what}: {first}, {} ms", took.as_millis());
    assert!(took < LIMIT || is_debug_build(), "{what} took {took:?}");
    report
}

/// One transaction after the other, `at_once` of them overlapping in time.
fn push(history: &mut History, at_once: u64, ops: Vec<Op>) {
    let id = history.transactions.len() as u64;
    let span = Some((2 * id, 2 * (id + at_once) - 1));
    let process = id % at_once;
    history.transactions.push(Transaction { id, process, ops, end: End::Committed, span });
}

fn read(key: String, version: u64) -> Op {
    let seen = (version > 0).then_some(Seen { value: version as i64, version });
    Op::Read { key, seen }
}

fn write(key: String, version: u64) -> Op {
    Op::Write { key, value: version as i64, version: Some(version) }
}

/// Each increments one of a hundred counters and looks at another one, `back` versions too old.
fn counters(at_once: u64, back: u64) -> History {
    let mut history = History::default();
    let key = |counter: u64| format!("{counter:02}");
    for id in 0..TRANSACTIONS {
        let (own, other) = (id % 100, (id * 7 + 3) % 100);
        let count = |counter: u64| (id + 99 - counter) / 100;
        let old = count(other).saturating_sub(back);
        let ops = vec![
            read(key(other), old),
            read(key(own), count(own)),
            write(key(own), count(own) + 1),
        ];
        push(&mut history, at_once, ops);
    }
    history
}

#[test]
fn ten_thousand_increments_are_judged_within_two_seconds() {
    let mut history = counters(8, 0);
    let report = judged("increments", &history);
    assert!(report.is_clean(), "{}", history.explain(&report));
    // One stale read at the end of it is found, and told in two steps.
    for _ in 0..8 {
        push(&mut history, 8, Vec::new());
    }
    push(&mut history, 8, vec![read("00".to_owned(), 0)]);
    let report = judged("one stale read", &history);
    assert_eq!(report.realtime_kinds(), [GSingle], "{report}");
    assert!(report.anomalies[0].transactions.contains(&(TRANSACTIONS + 8)), "{report}");
    assert_eq!(report.anomalies[0].reasons.len(), 2, "{report}");
}

#[test]
fn ten_thousand_transactions_in_one_tangle_are_judged_within_two_seconds() {
    for back in [1, 2, 50] {
        let history = counters(8, back);
        let report = judged(&format!("reads {back} versions old"), &history);
        assert!(!report.is_clean(), "{report}");
        let mut timeless = history;
        timeless.transactions.iter_mut().for_each(|transaction| transaction.span = None);
        judged("the same without real time", &timeless);
    }
    // Everybody overwrites everybody.
    let mut history = History::default();
    for id in 0..TRANSACTIONS {
        let ops = (0..4u64).map(|key| {
            let mixed = (id.wrapping_mul(0x9e37_79b9).wrapping_add(key * 7919)) % TRANSACTIONS;
            let version = if key % 2 == 0 { id + 1 } else { mixed + 1 };
            write(key.to_string(), version)
        });
        let ops = ops.collect();
        push(&mut history, 8, ops);
    }
    assert!(!judged("write cycles", &history).is_clean());
}

/// Each inserts a record, and two of three look for all of a group by a filter, or scan a range.
#[test]
fn ten_thousand_inserts_and_filters_are_judged_within_two_seconds() {
    const GROUPS: i64 = 500;
    let mut history = History::default();
    let group_of = |value: i64| value % GROUPS;
    let filter = |group: i64| {
        let test = move |_: &str, value: i64| group_of(value) == group;
        Predicate::new(format!("group = {group}"), "", None, test)
    };
    for id in 0..TRANSACTIONS as i64 {
        let key = |value: i64| format!("{value:05}");
        let found = |values: Vec<i64>| -> Vec<(String, Seen)> {
            values.into_iter().map(|value| (key(value), Seen { value, version: 1 })).collect()
        };
        let mut ops = match id % 3 {
            0 => Vec::new(),
            1 => {
                let group = group_of(id * 7);
                let values = (0..id).filter(|value| group_of(*value) == group).collect();
                let (predicate, matched) = (filter(group), found(values));
                vec![Op::ReadWhere { predicate, matched, unmatched: Vec::new() }]
            }
            _ => {
                let from = id * 31 % TRANSACTIONS as i64;
                let to = from + 20;
                let test = |_: &str, _: i64| true;
                let name = format!("{from}..{to}");
                let predicate = Predicate::new(name, key(from), Some(key(to)), test);
                let matched = found((from..to.min(id)).collect());
                vec![Op::ReadWhere { predicate, matched, unmatched: Vec::new() }]
            }
        };
        ops.push(Op::Write { key: key(id), value: id, version: Some(1) });
        push(&mut history, 8, ops);
    }
    let report = judged("inserts and filters", &history);
    assert!(report.is_clean() && report.undecided == 0, "{report}");
    // A filter at the end misses the first record it selects.
    let selected = (1..TRANSACTIONS as i64).filter(|value| group_of(*value) == 0);
    let seen = |value: i64| (format!("{value:05}"), Seen { value, version: 1 });
    let matched = selected.map(seen).collect();
    let missing = Op::ReadWhere { predicate: filter(0), matched, unmatched: Vec::new() };
    push(&mut history, 8, vec![missing]);
    let report = judged("one record missed", &history);
    assert!(report.kinds().contains(&GSingle), "{report}");
    assert!(
        report.anomalies.iter().all(|one| one.transactions.contains(&TRANSACTIONS)),
        "{report}"
    );
}

/// Records move in and out of groups while they are looked for.
#[test]
fn ten_thousand_moves_between_groups_are_judged_within_two_seconds() {
    let mut history = History::default();
    let mut newest: Vec<Seen> = Vec::new();
    let filter = |group: i64| {
        let test = move |_: &str, value: i64| value % 8 == group;
        Predicate::new(format!("group = {group}"), "", None, test)
    };
    for id in 0..TRANSACTIONS {
        let place = (id * 17 % 100) as usize;
        let value = (id * 8 + id * id % 8) as i64;
        let group = (id % 8) as i64;
        let selected = newest.iter().enumerate().filter(|(_, seen)| seen.value % 8 == group);
        let matched = selected.map(|(key, seen)| (key.to_string(), *seen)).collect();
        let found = Op::ReadWhere { predicate: filter(group), matched, unmatched: Vec::new() };
        let version = newest.get(place).map_or(1, |seen| seen.version + 1);
        let key = if version == 1 { newest.len().min(place) } else { place };
        let version = newest.get(key).map_or(1, |seen| seen.version + 1);
        match newest.get_mut(key) {
            Some(seen) => *seen = Seen { value, version },
            None => newest.push(Seen { value, version }),
        }
        let written = Op::Write { key: key.to_string(), value, version: Some(version) };
        push(&mut history, 8, vec![found, written]);
    }
    let report = judged("moves between groups", &history);
    assert!(report.is_clean(), "{}", history.explain(&report));
    assert!(report.undecided * 10 < report.timed, "{} decided: {report}", report.timed);
}
