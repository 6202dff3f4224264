//! The judge against the plainest judge there is: all serial orders of small random histories,
//! tried one by one.

use std::collections::BTreeMap;

use blockdb_tests::history::{End, History, Op, Predicate, Seen, Transaction};

use crate::{Dice, KEYS, often};

fn known(key: &str) -> &'static str {
    KEYS.into_iter().find(|known| *known == key).expect("a known key")
}

/// The registers at one point of a serial order: how many versions each key has.
type State = BTreeMap<&'static str, usize>;

/// All versions of each key in their order.
type Orders = BTreeMap<&'static str, Vec<i64>>;

fn versions_of(history: &History) -> Orders {
    let mut orders: BTreeMap<&str, BTreeMap<u64, i64>> = BTreeMap::new();
    for op in history.transactions.iter().flat_map(|transaction| &transaction.ops) {
        if let Op::Write { key, value, version: Some(version) } = op {
            orders.entry(known(key)).or_default().insert(*version, *value);
        }
    }
    orders.into_iter().map(|(key, numbers)| (key, numbers.into_values().collect())).collect()
}

/// Whether `transaction` can run at `state`, and the state after it.
fn runs(transaction: &Transaction, state: &State, orders: &Orders) -> Option<State> {
    let mut after = state.clone();
    let none = Vec::new();
    for op in &transaction.ops {
        match op {
            Op::Read { key, seen } => {
                let place = after.get(key.as_str()).copied().unwrap_or(0);
                let newest = place.checked_sub(1).map(|place| orders[key.as_str()][place]);
                if newest != seen.map(|seen| seen.value) {
                    return None;
                }
            }
            Op::Write { key, value, .. } => {
                let key = known(key);
                let place = after.entry(key).or_insert(0);
                if orders[key].get(*place) != Some(value) {
                    return None;
                }
                *place += 1;
            }
            Op::ReadWhere { predicate, matched, unmatched } => {
                for key in KEYS.into_iter().filter(|key| predicate.looks_at(key)) {
                    let order = orders.get(key).unwrap_or(&none);
                    let place = after.get(key).copied().unwrap_or(0);
                    let found = matched.iter().find(|(found, _)| found == key);
                    let at = |place: usize| place.checked_sub(1).map(|place| order[place]);
                    let selects =
                        |place: usize| at(place).is_some_and(|v| predicate.selects(key, v));
                    if let Some((_, seen)) = found {
                        if at(place) != Some(seen.value) {
                            return None;
                        }
                        continue;
                    }
                    // Which version that does not match was looked at makes no difference within
                    // a run of such.
                    let told = unmatched.iter().find(|(found, _)| found == key);
                    let told = match told {
                        Some((_, seen)) => 1 + order.iter().position(|v| *v == seen.value)?,
                        None => place,
                    };
                    if (place.min(told)..=place.max(told)).any(selects) {
                        return None;
                    }
                }
            }
            Op::Append { .. } | Op::ReadList { .. } => return None,
        }
    }
    Some(after)
}

/// Whether some serial order explains the history, tried one by one.
fn has_serial_order(history: &History, orders: &Orders, in_time: bool) -> bool {
    fn go(left: &[&Transaction], state: &State, orders: &Orders, in_time: bool) -> bool {
        left.is_empty()
            || left.iter().enumerate().any(|(place, next)| {
                let mut rest = left.to_vec();
                rest.remove(place);
                let began = |one: &Transaction| one.span.map_or(0, |span| span.0);
                let ended = |one: &Transaction| one.span.map_or(0, |span| span.1);
                let too_early = in_time && rest.iter().any(|other| ended(other) < began(next));
                !too_early
                    && runs(next, state, orders)
                        .is_some_and(|after| go(&rest, &after, orders, in_time))
            })
    }
    let all: Vec<&Transaction> = history.transactions.iter().collect();
    go(&all, &State::new(), orders, in_time)
}

/// A few transactions that saw anything at all.
fn any_history(dice: &mut Dice) -> History {
    let count = 2 + dice.below(4);
    let mut writes: Vec<(usize, &str)> = Vec::new();
    for index in 0..count {
        for key in KEYS {
            if dice.below(5) < 2 {
                writes.push((index, key));
            }
        }
    }
    // Versions are numbered in any order: those of one transaction need not agree with another's.
    for place in (1..writes.len()).rev() {
        writes.swap(place, dice.below(place + 1));
    }
    let mut known: BTreeMap<&str, Vec<(usize, Seen)>> = BTreeMap::new();
    for (index, key) in &writes {
        let versions = known.entry(key).or_default();
        let version = versions.len() as u64 + 1;
        let value = (dice.below(4) * 100 + writes.len() * 4 + version as usize) as i64;
        versions.push((*index, Seen { value, version }));
    }
    let mut history = History::default();
    for index in 0..count {
        let (mut ops, mut last) = (Vec::new(), Vec::new());
        for key in KEYS {
            let versions = known.get(key).map_or(&[][..], Vec::as_slice);
            let foreign: Vec<Seen> =
                versions.iter().filter(|(by, _)| *by != index).map(|(_, seen)| *seen).collect();
            if dice.below(3) == 0 {
                let seen = foreign.get(dice.below(foreign.len() + 1)).copied();
                ops.push(Op::Read { key: key.to_owned(), seen });
            }
            for (_, seen) in versions.iter().filter(|(by, _)| *by == index) {
                let (value, version) = (seen.value, Some(seen.version));
                last.push(Op::Write { key: key.to_owned(), value, version });
            }
        }
        if dice.below(3) == 0 {
            ops.push(any_scan(dice, index, &known));
        }
        ops.append(&mut last);
        let began = dice.below(20) as u64;
        let span = Some((began, began + dice.below(12) as u64));
        history.transactions.push(Transaction {
            id: index as u64,
            process: index as u64,
            ops,
            end: End::Committed,
            span,
        });
    }
    history
}

fn any_scan(dice: &mut Dice, index: usize, known: &BTreeMap<&str, Vec<(usize, Seen)>>) -> Op {
    let from = dice.below(KEYS.len());
    let least = dice.below(3) as i64 * 100;
    let (from, to) = (KEYS[from].to_owned(), "x".to_owned());
    let predicate = Predicate::values(&from, &to, least, least + 199);
    let (mut matched, mut unmatched) = (Vec::new(), Vec::new());
    for (key, versions) in known.iter().filter(|(key, _)| predicate.looks_at(key)) {
        let foreign: Vec<Seen> =
            versions.iter().filter(|(by, _)| *by != index).map(|(_, seen)| *seen).collect();
        match foreign.get(dice.below(foreign.len() + 1)) {
            Some(seen) if predicate.selects(key, seen.value) => {
                matched.push((key.to_string(), *seen))
            }
            Some(seen) if dice.below(2) == 0 => unmatched.push((key.to_string(), *seen)),
            _ => {}
        }
    }
    Op::ReadWhere { predicate, matched, unmatched }
}

#[test]
fn a_small_history_is_clean_exactly_if_some_serial_order_explains_it() {
    let mut dice = Dice(1);
    let [mut serializable, mut strictly, mut neither, mut undecided] = [0; 4];
    for _ in 0..often(60_000) {
        let history = any_history(&mut dice);
        let orders = versions_of(&history);
        let report = history.check();
        let told = || format!("{}\n{history:?}", history.explain(&report));
        let (any, in_time) =
            (has_serial_order(&history, &orders, false), has_serial_order(&history, &orders, true));
        if report.undecided > 0 {
            // Then the judge may miss something; it must not make anything up.
            undecided += 1;
            assert!(!any || report.kinds().is_empty(), "{}", told());
            assert!(!in_time || report.is_clean(), "{}", told());
            continue;
        }
        match report.timed {
            0 => assert_eq!(report.is_serializable(), any, "{}", told()),
            _ => assert!(report.is_serializable() || !any, "{}", told()),
        }
        assert_eq!(report.is_clean(), in_time, "{}", told());
        match (any, in_time) {
            (_, true) => strictly += 1,
            (true, _) => serializable += 1,
            _ => neither += 1,
        }
    }
    println!("{strictly} strictly serializable, {serializable} not in time, {neither} neither");
    assert!([strictly, serializable, neither, undecided].iter().all(|count| *count > 200));
}

/// What each key holds at one point of a serial order.
type Held = BTreeMap<String, Seen>;

/// Whether `transaction` can run on what is held, and what is held then. Versions nobody told are
/// those that come next.
fn runs_on(transaction: &Transaction, held: &Held) -> Option<Held> {
    let mut held = held.clone();
    for op in &transaction.ops {
        match op {
            Op::Write { key, value, version } => {
                let next = held.get(key).map_or(1, |seen| seen.version + 1);
                if version.is_some_and(|version| version != next) {
                    return None;
                }
                held.insert(key.clone(), Seen { value: *value, version: next });
            }
            Op::Read { key, seen } if held.get(key) != seen.as_ref() => return None,
            Op::ReadWhere { predicate, matched, .. } => {
                let selected = held.iter().filter(|(key, seen)| predicate.selects(key, seen.value));
                if !selected.eq(matched.iter().map(|(key, seen)| (key, seen))) {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(held)
}

/// Whether some serial order of all that are committed, and of some that were never answered,
/// explains the history.
fn has_order_with_unanswered(left: &[&Transaction], held: &Held, in_time: bool) -> bool {
    let committed = |one: &&&Transaction| one.end == End::Committed;
    left.iter().filter(committed).count() == 0
        || left.iter().enumerate().any(|(place, next)| {
            let mut rest = left.to_vec();
            rest.remove(place);
            let late = |other: &&Transaction| {
                other.end == End::Committed
                    && other.span.zip(next.span).is_some_and(|(o, n)| o.1 < n.0)
            };
            !(in_time && rest.iter().any(late))
                && runs_on(next, held)
                    .is_some_and(|held| has_order_with_unanswered(&rest, &held, in_time))
        })
}

#[test]
fn what_was_never_answered_is_not_held_against_others() {
    let mut dice = Dice(2);
    let [mut good, mut late, mut bad, mut missed] = [0; 4];
    for _ in 0..often(40_000) {
        let mut history = any_history(&mut dice);
        for transaction in &mut history.transactions {
            if dice.below(3) == 0 {
                transaction.end = End::Unknown;
            }
            for op in &mut transaction.ops {
                match op {
                    Op::Write { version, .. } if transaction.end == End::Unknown => *version = None,
                    Op::ReadWhere { unmatched, .. } => unmatched.clear(),
                    _ => {}
                }
            }
        }
        let report = history.check();
        let told = || format!("{}\n{history:?}", history.explain(&report));
        let all: Vec<&Transaction> = history.transactions.iter().collect();
        let [any, in_time] =
            [false, true].map(|in_time| has_order_with_unanswered(&all, &Held::new(), in_time));
        assert!(report.is_serializable() || !any, "{}", told());
        assert!(report.is_clean() || !in_time, "{}", told());
        match (any, in_time) {
            (_, true) => good += 1,
            (true, _) => late += 1,
            _ => bad += 1,
        }
        missed += usize::from(report.is_clean() && !in_time);
    }
    println!("{good} good, {late} not in time, {bad} neither, {missed} of those not told");
    assert!([good, late, bad].iter().all(|count| *count > 200));
    // Without an answer less is known, and so less is told.
    assert!(missed * 20 < late + bad, "{missed} not told");
}
