//! The judge of histories is judged: by histories made by hand, each with the phenomena it must
//! find and no other; by trying every serial order of small random ones; by engines of a few lines
//! each, some of them weak on purpose; and by good histories spoilt in one place.

use std::collections::BTreeSet;

use blockdb_tests::history::{End, History, Kind, Op, Report};
use blockdb_tests::is_debug_build;

#[path = "checker/cases.rs"]
mod cases;
#[path = "checker/engines.rs"]
mod engines;
#[path = "checker/mutations.rs"]
mod mutations;
#[path = "checker/recorded.rs"]
mod recorded;
#[path = "checker/serial_orders.rs"]
mod serial_orders;
#[path = "checker/sizes.rs"]
mod sizes;

use cases::{BAD, GOOD, LATE};

/// How often something is tried: less in a build for debugging.
fn often(count: u64) -> u64 {
    if is_debug_build() { count / 4 } else { count }
}

/// Keys of random histories.
const KEYS: [&str; 3] = ["a", "b", "c"];

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
    assert_eq!(found.len(), Kind::ALL.len(), "every kind is tried: {found:?}");
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
         P4 (lost update):\n  \
         T2 -rw-> T1: T2 read x=0@1, and T1 wrote x=1@2 next\n  \
         T1 -ww-> T2: T1 wrote x=1@2, and T2 x=2@3 after it\n    \
         r2(x=0@1) w2(x=2@3) c2    process 2, 4 to 8\n    \
         r1(x=0@1) w1(x=1@2) c1    process 1, 3 to 6"
    );
    let (_, report) = judged("w1(x=1) c1 r2(x) c2");
    let told = report.to_string();
    assert!(told.contains("G-single with real time"), "{told}");
    assert!(told.contains("T1 -rt-> T2: T1 had ended before T2 began"), "{told}");
}

#[test]
fn a_history_reads_back_as_it_was_written() {
    for text in BAD.iter().map(|case| case.1).chain(GOOD.iter().map(|case| case.1)) {
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
    let (_, report) = judged("r3(z) w1(x=5) c1 w2(x=50) c2 q3(a..z 0..9: ) c3 w4(y=1) c4");
    assert!(report.is_clean() && (report.undecided, report.timed) == (1, 0), "{report}");
    // Had it begun only then, it can be told, but by real time alone.
    let (_, report) = judged("w1(x=5) c1 w2(x=50) c2 q3(a..z 0..9: ) c3 w4(y=1) c4");
    assert!(report.is_clean() && (report.undecided, report.timed) == (0, 1), "{report}");
}
