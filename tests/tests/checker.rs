//! The judge of histories is judged: by histories made by hand, each with the phenomena it must find
//! and no other; by trying every serial order of small random ones; and by engines of a few lines
//! each, some of them weak on purpose.

use std::collections::{BTreeMap, BTreeSet};

use blockdb_tests::history::Kind::{
    Contradiction, G0, G1a, G1b, G1c, G2, G2Item, GSingle, Internal, Unwritten,
};
use blockdb_tests::history::{End, History, Kind, Op, Predicate, Report, Seen, Transaction};

/// What it is, the history, and the kinds to be found.
type Case = (&'static str, &'static str, &'static [Kind]);

const BAD: &[Case] = &[
    // Write cycles.
    (
        "two wrote two keys in opposite orders",
        "w1(x=1@1) w2(x=2@2) w2(y=2@1) w1(y=1@2) c1 c2",
        &[G0],
    ),
    (
        "three wrote three keys in a ring",
        "w1(x=1@1) w2(x=2@2) w2(y=2@1) w3(y=3@2) w3(z=3@1) w1(z=1@2) c1 c2 c3",
        &[G0],
    ),
    ("appends of two stand interleaved", "p1(x+1) p2(x+2) p1(x+3) c1 c2 l3(x=1,2,3) c3", &[G0]),
    // Aborted reads.
    ("a rolled back value was read", "w1(x=1) r2(x=1) c2 a1", &[G1a]),
    ("a rolled back element was read", "p1(x+1) l2(x=1) c2 a1", &[G1a]),
    ("a rolled back element stays in the list", "p1(x+1) a1 p2(x+2) c2 l3(x=1,2) c3", &[G1a]),
    ("a rolled back record was selected", "w1(x=5) q2(a..z 0..9: x=5) c2 a1", &[G1a]),
    (
        "a rolled back record was looked at and not selected",
        "w1(x=50) q2(a..z 0..9: ; x=50) c2 a1",
        &[G1a],
    ),
    // Intermediate reads.
    ("a value was read that its writer wrote over", "w1(x=1) r2(x=1) w1(x=2) c1 c2", &[G1b]),
    (
        "a list was read between two appends of one transaction",
        "p1(x+1) l2(x=1) p1(x+2) c1 c2 l3(x=1,2) c3",
        &[G1b],
    ),
    (
        "a record was selected that its writer wrote over",
        "w1(x=5) q2(a..z 0..9: x=5) w1(x=50) c1 c2",
        &[G1b],
    ),
    // Circular information flow.
    ("two read each other's writes", "w1(x=1) w2(y=1) r1(y=1) r2(x=1) c1 c2", &[G1c]),
    ("one read of whoever wrote over it", "w1(x=1@1) w2(x=2@2) w2(y=3) r1(y=3) c1 c2", &[G1c]),
    ("three read in a ring", "w1(x=1) r2(x=1) w2(y=1) r3(y=1) w3(z=1) r1(z=1) c1 c2 c3", &[G1c]),
    ("two read each other's appends", "p1(x+1) p2(y+1) l1(y=1) l2(x=1) c1 c2", &[G1c]),
    (
        "the outcome of one of them is known by its reader alone",
        "w1(x=1) w2(y=1) r1(y=1) r2(x=1) c2 u1",
        &[G1c],
    ),
    (
        "two selected each other's records",
        "w1(b=1) w2(y=2) q1(x..z 0..9: y=2) q2(a..c 0..9: b=1) c1 c2",
        &[G1c],
    ),
    // One anti-dependency.
    ("lost update", "w9(x=0) c9 r1(x=0) r2(x=0) w1(x=1) c1 w2(x=2) c2", &[GSingle]),
    ("lost first insert", "r1(x) r2(x) w1(x=1) c1 w2(x=2) c2", &[GSingle]),
    ("lost append", "l1(x=) l2(x=) p1(x+1) p2(x+2) c1 c2 l3(x=1,2) c3", &[GSingle]),
    ("read skew", "w9(x=0) w9(y=0) c9 r1(x=0) w2(x=1) w2(y=1) c2 r1(y=1) c1", &[GSingle]),
    ("read skew over absence", "r1(x) w2(x=1) w2(y=1) c2 r1(y=1) c1", &[GSingle]),
    ("read skew of lists nobody else read", "l1(x=) p2(x+1) p2(y+1) c2 l1(y=1) c1", &[GSingle]),
    (
        "read skew over a third transaction",
        "r1(x) w2(x=1) c2 r3(x=1) w3(y=1) c3 r1(y=1) c1",
        &[GSingle],
    ),
    (
        "an observed transaction vanishes",
        "w1(x=11) w1(y=19) w2(x=12) c1 r3(x=12) r3(y=19) w2(y=18) c2 c3",
        &[GSingle],
    ),
    ("a read is not repeated", "w9(x=0) c9 r1(x=0) w2(x=1) c2 r1(x=1) c1", &[GSingle]),
    (
        "a predicate finds more the second time",
        "q1(a..z 0..9: ) w2(x=5) c2 q1(a..z 0..9: x=5) c1",
        &[GSingle],
    ),
    (
        "a predicate misses what its reader knows to be committed",
        "w9(x=5) w9(s=1) c9 r1(s=1) q1(x..y 0..9: ) c1",
        &[GSingle],
    ),
    (
        "a predicate saw that a record left its range, a read by key did not",
        "w9(x=5) c9 w1(x=50) w1(y=1) c1 q2(x..y 0..9: ; x=50) r2(y) c2",
        &[GSingle],
    ),
    (
        "a predicate missed that a record entered its range",
        "w9(x=50) c9 q1(a..n 0..9: ) q1(x..y 0..9: ) w2(x=5) w2(y=1) c2 r1(y=1) c1",
        &[GSingle],
    ),
    // Two anti-dependencies by key.
    (
        "write skew",
        "w9(x=0) w9(y=0) c9 r1(x=0) r1(y=0) r2(x=0) r2(y=0) w1(x=1) w2(y=1) c1 c2",
        &[G2Item],
    ),
    ("write skew over absence", "r1(x) r2(y) w1(y=1) w2(x=1) c1 c2", &[G2Item]),
    ("write skew of lists", "l1(x=) l2(y=) p1(y+1) p2(x+1) c1 c2", &[G2Item]),
    ("write skew of three", "r1(x) r2(y) r3(z) w1(z=1) w2(x=1) w3(y=1) c1 c2 c3", &[G2Item]),
    (
        "a reader sees what no order of two writers explains",
        "w9(x=0) w9(y=0) c9 r2(x=0) r2(y=0) r1(y=0) w1(y=20) c1 r3(x=0) r3(y=20) c3 w2(x=-11) c2",
        &[G2Item],
    ),
    (
        "two selected the same record, and each changed the other's",
        "w9(x=1) w9(y=2) c9 q1(a..z 0..9: x=1, y=2) q2(a..z 0..9: x=1, y=2) w1(x=3) w2(y=4) c1 c2",
        &[G2Item],
    ),
    ("long fork", "w1(x=1) c1 w2(y=1) c2 r3(x=1) r3(y) r4(x) r4(y=1) c3 c4", &[G2Item]),
    // Two anti-dependencies, one by predicate.
    (
        "two inserted what the other's scan would have found",
        "q1(a..z 0..9: ) q2(a..z 0..9: ) w1(x=1) w2(y=2) c1 c2",
        &[G2],
    ),
    (
        "two edges and a reader between them",
        "q1(a..z 0..9: ) w2(x=1) c2 q3(a..z 0..9: x=1) c3 w1(y=2) c1",
        &[G2],
    ),
    ("one by predicate, one by key", "q1(a..m 0..9: ) r2(z) w1(z=1) w2(b=2) c1 c2", &[G2]),
    (
        "a record entered the range of one who wrote what the other missed",
        "w9(x=50) c9 q1(x..y 0..9: ; x=50) r2(s) w1(s=1) w2(x=5) c1 c2",
        &[G2],
    ),
    // No graph needed.
    (
        "two lists of one key disagree",
        "p1(x+1) c1 p2(x+2) c2 l3(x=1,2) c3 l4(x=2,1) c4",
        &[Contradiction],
    ),
    ("an element stands twice", "p1(x+1) c1 l2(x=1,1) c2", &[Contradiction]),
    ("a version has two values", "w1(x=5@1) c1 w2(x=6@2) c2 r3(x=6@1) c3", &[Contradiction]),
    ("a value was written twice", "w1(x=5) c1 w2(x=5) c2", &[Contradiction]),
    (
        "a predicate selected what it must not",
        "w1(x=50) c1 q2(a..z 0..9: x=50) c2",
        &[Contradiction],
    ),
    ("a value from nowhere", "r1(x=9@1) c1", &[Unwritten]),
    ("an element from nowhere", "p1(x+1) c1 l2(x=1,9) c2", &[Unwritten]),
    ("a transaction did not see its own write", "w9(x=0) c9 w1(x=1) r1(x=0) c1", &[Internal]),
    ("a transaction found nothing after its own write", "w1(x=1) r1(x) c1", &[Internal]),
    ("a transaction did not see its own append", "p1(x+1) l1(x=) c1", &[Internal]),
    ("a predicate did not select its own record", "w1(x=5) q1(a..z 0..9: ) c1", &[Internal]),
    ("a transaction saw its write before it wrote", "r1(x=1) w1(x=1) c1", &[Internal]),
];

/// Serializable, and still wrong where the order of real time is promised.
const LATE: &[Case] = &[
    ("a stale read", "w1(x=1) c1 r2(x) c2", &[GSingle]),
    ("a stale list", "p1(x+1) c1 l2(x=) c2", &[GSingle]),
    ("a stale scan", "w1(x=1) c1 q2(a..z 0..9: ) c2", &[GSingle]),
    ("a write placed before an earlier one", "w1(x=1@2) c1 w2(x=2@1) c2", &[G0]),
    ("a read of the future", "r1(x=1) c1 w2(x=1) c2", &[G1c]),
    (
        "the later of two writes was seen without the earlier",
        "r3(x) w1(x=1) c1 w2(y=1) c2 r3(y=1) c3",
        &[GSingle],
    ),
    (
        "two stale reads that only together contradict the order",
        "r2(x) w1(x=1) c1 r3(y) c3 w2(y=1) c2",
        &[G2Item],
    ),
];

const GOOD: &[(&str, &str)] = &[
    ("nothing", ""),
    ("one after the other", "w1(x=1) c1 r2(x=1) w2(x=2) c2 r3(x=2) c3"),
    ("interleaved without contact", "w1(x=1) w2(y=1) r1(x=1) r2(y=1) c2 c1"),
    ("a reader before a writer that committed first", "r1(x) w2(x=1) c2 r1(z) c1"),
    ("a snapshot of two keys", "r1(x) w2(x=1) w2(y=1) c2 r1(y) c1"),
    ("rolled back and never seen", "w1(x=1) a1 r2(x) c2"),
    ("without an answer and never seen", "w1(x=1@?) u1 r2(x) w2(x=2@1) c2 r3(x=2) c3"),
    ("without an answer and seen", "w1(x=1@?) u1 r2(x=1@1) c2 r3(x=1@1) w3(x=2@2) c3"),
    ("what a rolled back transaction read", "w1(x=1) r2(x=1) a2 a1"),
    ("own writes are seen, over and over", "w1(x=1) r1(x=1) w1(x=2) r1(x=2) c1 r2(x=2) c2"),
    ("own appends are seen", "p1(x+1) c1 p2(x+2) l2(x=1,2) p2(x+3) l2(x=1,2,3) c2 l3(x=1,2,3) c3"),
    ("own records are selected", "w1(x=5) q1(a..z 0..9: x=5) w1(x=50) q1(a..z 0..9: ) c1"),
    ("a read repeated", "w9(x=0) c9 r1(x=0) w2(x=1) c2 r1(x=0) c1"),
    ("appends nobody read", "p1(x+1) c1 l3(x=1) p2(x+2) c2 c3"),
    ("a scan before an insert", "q1(a..z 0..9: ) w2(x=1) c2 c1 q3(a..z 0..9: x=1) c3"),
    ("an insert outside the range", "q1(a..m 0..9: ) q2(n..z 0..9: ) w1(b=2) w2(y=2) c1 c2"),
    ("an insert of another value", "q1(a..z 0..9: ) q2(a..z 0..9: ) w1(x=10) w2(y=20) c1 c2"),
    (
        "a change within the range is no phantom",
        "w9(x=1) c9 q1(a..z 0..9: x=1) c1 w2(x=2) c2 q3(a..z 0..9: x=2) c3",
    ),
    ("one skewed alone", "w9(x=0) w9(y=0) c9 r1(x=0) w1(y=1) c1 r2(y=1) w2(x=1) c2"),
    (
        "a transfer between two accounts",
        "w9(x=100) w9(y=0) c9 r1(x=100) r1(y=0) w1(x=60) w1(y=40) c1 r2(x=60) r2(y=40) c2",
    ),
    ("at one moment neither is before the other", "w1(x=1) r2(x) c1 c2"),
    ("blind writes in any order", "w1(x=1@2) w2(x=2@1) c1 c2 r3(x=1) c3"),
];

fn judged(text: &str) -> (History, Report) {
    let history = History::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    let report = history.check();
    (history, report)
}

#[test]
fn each_bad_history_shows_its_phenomena_and_no_other() {
    let mut names = BTreeSet::new();
    for (name, text, kinds) in BAD {
        let (history, report) = judged(text);
        assert_eq!(report.kinds(), *kinds, "{name}: {}", history.explain(&report));
        assert!(names.insert(name), "{name} stands twice");
    }
    assert!(BAD.len() >= 30, "{} bad histories", BAD.len());
    let found: BTreeSet<Kind> = BAD.iter().flat_map(|(_, _, kinds)| *kinds).copied().collect();
    assert_eq!(found.len(), 10, "every kind is tried: {found:?}");
}

#[test]
fn what_only_real_time_forbids_is_told_as_such() {
    for (name, text, kinds) in LATE {
        let (history, report) = judged(text);
        let explained = history.explain(&report);
        assert_eq!(report.kinds(), [], "{name}: {explained}");
        assert_eq!(report.realtime_kinds(), *kinds, "{name}: {explained}");
        let mut timeless = history.clone();
        timeless.transactions.iter_mut().for_each(|transaction| transaction.span = None);
        assert!(timeless.check().is_clean(), "{name}");
    }
}

#[test]
fn good_histories_are_clean() {
    for (name, text) in GOOD {
        let (history, report) = judged(text);
        assert!(report.is_clean(), "{name}: {}", history.explain(&report));
    }
}

#[test]
fn a_cycle_is_told_edge_by_edge_with_what_was_read_and_written() {
    let (history, report) = judged("w9(x=0) c9 r1(x=0) r2(x=0) w1(x=1) c1 w2(x=2) c2");
    assert_eq!(
        history.explain(&report),
        "3 transactions, 5 dependencies, 0 undecided, 1 anomalies\n\
         G-single:\n  \
         T2 -rw-> T1: T2 read 0 of x, T1 wrote 1 next\n  \
         T1 -ww-> T2: x was 1, then 2\n    \
         r2(x=0@1) w2(x=2@3) c2\n    \
         r1(x=0@1) w1(x=1@2) c1"
    );
    let (_, report) = judged("w1(x=1) c1 r2(x) c2");
    let told = report.to_string();
    assert!(told.contains("G-single with real time"), "{told}");
    assert!(told.contains("T1 -rt-> T2: T1 had ended before T2 began"), "{told}");
}

#[test]
fn a_history_reads_back_as_it_was_written() {
    for (_, text, _) in BAD {
        let history = History::parse(text).expect("a history");
        let written: Vec<String> =
            history.transactions.iter().map(|transaction| transaction.to_string()).collect();
        let again = History::parse(&written.join(" ")).expect("a history");
        let ops = |history: &History| -> Vec<(u64, Vec<Op>, End)> {
            let each = history.transactions.iter();
            each.map(|one| (one.id, one.ops.clone(), one.end)).collect()
        };
        assert_eq!(ops(&history), ops(&again), "{text}");
    }
    for wrong in
        ["w1(x=1)", "x1(y)", "w1(x=one) c1", "r1(x=1) c1", "w(x=1)", "w1(x=1 c1", "q1(a) c1"]
    {
        assert!(History::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_has_several_explanations_is_counted_and_never_guessed() {
    // Whether the scan came before x=5 or after x=50 cannot be told, so it is not.
    let text = "w1(x=5) c1 w2(x=50) c2 q3(a..z 0..9: ) c3 w4(y=1) c4";
    let (_, report) = judged(text);
    assert!(report.is_clean() && report.undecided == 1, "{report}");
}

/// Chance that follows from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }
}

const KEYS: [&str; 3] = ["a", "b", "c"];

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
    for _ in 0..60_000 {
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
    assert!(kinds.contains(&GSingle), "{kinds:?}");
    assert!([G1a, G1b].iter().all(|kind| !kinds.contains(kind)), "{kinds:?}");
}

#[test]
fn an_engine_that_keeps_nothing_apart_shows_everything() {
    let kinds = kinds_at(Level::ReadUncommitted);
    for kind in [G0, G1a, G1b, G1c, GSingle] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
}

#[test]
fn long_histories_are_judged_in_seconds() {
    const TRANSACTIONS: u64 = 20_000;
    let mut history = History::default();
    for id in 0..TRANSACTIONS {
        // Each increments one of a hundred counters and looks at another one.
        let (own, other) = (id % 100, (id * 7 + 3) % 100);
        let count = |counter: u64| (id + 99 - counter) / 100;
        let seen = |counter: u64| {
            let version = count(counter);
            (version > 0).then_some(Seen { value: version as i64, version })
        };
        let key = |counter: u64| format!("{counter:02}");
        let next = count(own) + 1;
        let ops = vec![
            Op::Read { key: key(other), seen: seen(other) },
            Op::Read { key: key(own), seen: seen(own) },
            Op::Write { key: key(own), value: next as i64, version: Some(next) },
        ];
        let span = Some((2 * id, 2 * id + 1));
        history.transactions.push(Transaction { id, process: 0, ops, end: End::Committed, span });
    }
    let report = history.check();
    assert!(report.is_clean(), "{}", history.explain(&report));
    println!("{report}");
    // One stale read at the end of it is found.
    let ops = vec![Op::Read { key: "00".to_owned(), seen: None }];
    let span = Some((2 * TRANSACTIONS, 2 * TRANSACTIONS + 1));
    history.transactions.push(Transaction {
        id: TRANSACTIONS,
        process: 0,
        ops,
        end: End::Committed,
        span,
    });
    let report = history.check();
    assert_eq!(report.realtime_kinds(), [GSingle], "{report}");
    assert!(report.anomalies[0].transactions.contains(&TRANSACTIONS), "{report}");
}
