//! Histories as the recorder makes them: of threads on a store that keeps them apart, and of
//! clients on one that does not.

use std::collections::BTreeMap;
use std::sync::Mutex;

use blockdb_tests::history::Kind::{G1a, G2, Internal, P4, Unwritten};
use blockdb_tests::history::{Found, History, Kind, Op, Recorder, Recording, Report};

use crate::Dice;

/// What predicates look at.
#[derive(Clone, Debug)]
struct Document {
    token: i64,
    group: u64,
}

#[derive(Clone, Default)]
struct Store {
    /// All revisions of each key.
    records: BTreeMap<String, Vec<Document>>,
    lists: BTreeMap<String, Vec<i64>>,
}

impl Store {
    fn found(&self, key: &str) -> Found {
        let revisions = self.records.get(key).map_or(&[][..], Vec::as_slice);
        let newest = revisions.last().map(|document| document.token);
        Found { revision: revisions.len() as u64, token: newest }
    }

    fn of_group(&self, group: u64) -> Vec<(String, Found)> {
        let newest = self.records.iter().filter_map(|(key, all)| Some((key, all.last()?)));
        let selected = newest.filter(|(_, document)| document.group == group);
        selected.map(|(key, _)| (key.clone(), self.found(key))).collect()
    }
}

/// One transaction while everybody else waits, some of them rolled back or never answered.
fn transact(store: &Mutex<Store>, recorder: &Recorder<Document>, process: u64, dice: &mut Dice) {
    let mut recording = recorder.begin(process);
    let mut store = store.lock().expect("no thread fails");
    let before = store.clone();
    let mut revisions = Vec::new();
    for _ in 0..1 + dice.below(4) {
        let key = format!("k{}", dice.below(6));
        match dice.below(5) {
            0 => recording.read("records", &key, store.found(&key)),
            1 => {
                let document = Document { token: recorder.token(), group: dice.below(3) as u64 };
                recording.write("records", &key, document.token, document.clone());
                store.records.entry(key.clone()).or_default().push(document);
                revisions.push(store.found(&key).revision);
            }
            2 => {
                let group = dice.below(3) as u64;
                let found = store.of_group(group);
                let asked = format!("group = {group}");
                recording.predicate("records", &asked, found, move |_, d| d.group == group);
            }
            3 => {
                let keys = store.records.keys().filter(|key| ("k1".."k4").contains(&key.as_str()));
                let found = keys.map(|key| (key.clone(), store.found(key))).collect();
                recording.scan("records", "k1".."k4", found);
            }
            _ => {
                let element = recorder.token();
                let list = store.lists.entry(key.clone()).or_default();
                recording.read_list("lists", &key, list);
                recording.append("lists", &key, element);
                list.push(element);
            }
        }
    }
    match dice.below(10) {
        0 => {
            *store = before;
            recording.aborted();
        }
        1 => recording.unknown(),
        2 => {
            *store = before;
            drop(recording);
        }
        _ => {
            drop(store);
            recording.committed(&revisions);
        }
    }
}

#[test]
fn threads_on_a_store_that_keeps_them_apart_are_recorded_as_such() {
    let (store, recorder) = (Mutex::new(Store::default()), Recorder::new());
    std::thread::scope(|scope| {
        for process in 0..4 {
            let (store, recorder) = (&store, recorder.clone());
            scope.spawn(move || {
                let mut dice = Dice(process);
                (0..250).for_each(|_| transact(store, &recorder, process, &mut dice));
            });
        }
    });
    let history = recorder.history();
    let report = history.check();
    assert!(report.is_clean(), "{}", history.explain(&report));
    assert_eq!(history.transactions.len(), 1000);
    assert!(report.transactions > 750 && report.edges > 1000, "{report}");
}

/// A short story of a few clients, told with revisions alone.
fn judged(story: impl Fn(&Recorder)) -> (History, Report) {
    let recorder = Recorder::new();
    story(&recorder);
    let history = recorder.history();
    let report = history.check();
    (history, report)
}

fn kinds(story: impl Fn(&Recorder)) -> Vec<Kind> {
    let (history, report) = judged(story);
    println!("{}", history.explain(&report));
    report.kinds()
}

fn wrote(recorder: &Recorder, recording: &mut Recording, key: &str) {
    recording.write("c", key, recorder.token(), ());
}

#[test]
fn revisions_alone_tell_a_lost_update_and_a_phantom() {
    let lost = kinds(|recorder| {
        let [mut first, mut second] = [1, 2].map(|process| recorder.begin(process));
        for recording in [&mut first, &mut second] {
            recording.read("c", "x", 0);
            wrote(recorder, recording, "x");
        }
        first.committed(&[1]);
        second.committed(&[2]);
    });
    assert_eq!(lost, [P4]);
    let phantoms = kinds(|recorder| {
        let mut both = [1, 2].map(|process| recorder.begin(process));
        for (recording, key) in both.iter_mut().zip(["x", "y"]) {
            recording.scan("c", "a".."z", Vec::new());
            wrote(recorder, recording, key);
        }
        both.into_iter().for_each(|recording| recording.committed(&[1]));
    });
    assert_eq!(phantoms, [G2]);
}

#[test]
fn a_revision_nobody_was_told_is_that_of_the_one_who_had_no_answer() {
    let (history, report) = judged(|recorder| {
        let mut unanswered = recorder.begin(1);
        wrote(recorder, &mut unanswered, "x");
        unanswered.unknown();
        let mut reader = recorder.begin(2);
        reader.read("c", "x", 1);
        reader.committed(&[]);
    });
    assert!(report.is_clean() && report.transactions == 2, "{}", history.explain(&report));
    // Had two no answer, which of them it was cannot be told.
    let (history, report) = judged(|recorder| {
        for process in [1, 2] {
            let mut unanswered = recorder.begin(process);
            wrote(recorder, &mut unanswered, "x");
        }
        let mut reader = recorder.begin(3);
        reader.read("c", "x", 1);
        reader.committed(&[]);
    });
    assert!(report.is_clean() && report.undecided == 1, "{}", history.explain(&report));
    // If all were rolled back, nobody wrote it.
    let unwritten = kinds(|recorder| {
        let mut rolled_back = recorder.begin(1);
        wrote(recorder, &mut rolled_back, "x");
        rolled_back.aborted();
        let mut reader = recorder.begin(2);
        reader.read("c", "x", 1);
        reader.committed(&[]);
    });
    assert_eq!(unwritten, [Unwritten]);
}

#[test]
fn a_token_tells_whose_document_was_read() {
    let aborted = kinds(|recorder| {
        let (mut rolled_back, token) = (recorder.begin(1), recorder.token());
        rolled_back.write("c", "x", token, ());
        let mut reader = recorder.begin(2);
        reader.read("c", "x", (1, token));
        rolled_back.aborted();
        reader.committed(&[]);
    });
    assert_eq!(aborted, [G1a]);
}

#[test]
fn own_writes_are_known_before_their_revisions_are() {
    let story = |found: Found| {
        judged(move |recorder| {
            let mut first = recorder.begin(1);
            wrote(recorder, &mut first, "x");
            first.committed(&[1]);
            let mut own = recorder.begin(1);
            own.read("c", "x", 1);
            wrote(recorder, &mut own, "x");
            own.read("c", "x", found);
            own.committed(&[2]);
        })
    };
    assert!(story(Found::from(2)).1.is_clean());
    assert_eq!(story(Found::from(1)).1.kinds(), [Internal]);
    assert_eq!(story(Found::NOTHING).1.kinds(), [Internal]);
}

#[test]
fn keys_of_two_collections_are_two() {
    let (history, report) = judged(|recorder| {
        let mut writer = recorder.begin(1);
        writer.write("c", "x", recorder.token(), ());
        writer.write("c.d", "x", recorder.token(), ());
        writer.committed(&[1, 1]);
        let mut reader = recorder.begin(1);
        reader.predicate("c", "all", vec![("x".to_owned(), Found::from(1))], |_, ()| true);
        reader.read("c.d", "x", 1);
        reader.committed(&[]);
    });
    assert!(report.is_clean(), "{}", history.explain(&report));
    let keys = history.transactions[0].ops.iter().map(|op| match op {
        Op::Write { key, .. } => key.as_str(),
        _ => "",
    });
    assert_eq!(keys.collect::<Vec<_>>(), ["c/x", "c.d/x"]);
}

#[test]
#[should_panic(expected = "still open")]
fn a_history_is_not_told_while_a_recording_is_open() {
    let recorder: Recorder = Recorder::new();
    let _open = recorder.begin(1);
    recorder.history();
}
