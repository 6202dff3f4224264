//! The anomalies of Adya's thesis (1999), as scripts of two or three transactions. The order of the
//! calls is that of the scripts known as Hermitage; what happens at each level is in
//! `docs/transactions.md`. A call that has to wait is left waiting, and the script goes on.

#![allow(clippy::disallowed_methods)] // Time and threads of a test are outside the engine.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use blockdb::transaction::LockManager;
use blockdb::{
    Code, CollectionOptions, Db, Document, Result, Transaction, TransactionOptions, Value, doc,
};

/// A call waits for somebody if a wait is listed for so long: longer than it takes whoever gave way
/// to be gone.
const PATIENCE: Duration = Duration::from_millis(300);

/// A transaction that may be in the middle of a call.
struct Player {
    tx: Arc<Transaction>,
    locks: LockManager,
    waiting: Option<JoinHandle<Result<Vec<i64>>>>,
}

/// What came of a call.
#[derive(Debug, PartialEq)]
enum Outcome {
    Done(Vec<i64>),
    Waits,
    Failed(Code),
}

use Outcome::{Done, Failed, Waits};

fn outcome(result: Result<Vec<i64>>) -> Outcome {
    match result {
        Ok(values) => Done(values),
        Err(error) => Failed(error.code()),
    }
}

fn value(document: &Document) -> i64 {
    match document.get("value").expect("whole") {
        Some(Value::Int(value)) => value,
        other => panic!("{other:?}"),
    }
}

impl Player {
    fn call(
        &mut self,
        call: impl FnOnce(&Transaction) -> Result<Vec<i64>> + Send + 'static,
    ) -> Outcome {
        assert!(self.waiting.is_none(), "one call at a time");
        let (tx, locks) = (self.tx.clone(), self.locks.clone());
        let before = locks.figures().waiting;
        let running = std::thread::spawn(move || call(&tx));
        let mut waits_since = Instant::now();
        while waits_since.elapsed() < PATIENCE {
            if running.is_finished() {
                return outcome(running.join().expect("it does not panic"));
            }
            if locks.figures().waiting <= before {
                waits_since = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.waiting = Some(running);
        Waits
    }

    /// The outcome of the call that was left waiting.
    fn finish(&mut self) -> Outcome {
        let waiting = self.waiting.take().expect("a call waits");
        outcome(waiting.join().expect("it does not panic"))
    }

    fn get(&mut self, key: &'static str) -> Outcome {
        self.call(move |tx| {
            let record = tx.collection("test").get(key)?;
            Ok(record.iter().map(|record| value(&record.document)).collect())
        })
    }

    fn put(&mut self, key: &'static str, value: i64) -> Outcome {
        self.call(move |tx| {
            tx.collection("test").put(key, doc! { "value": value }, None)?;
            Ok(vec![])
        })
    }

    fn find(&mut self, filter: Document) -> Outcome {
        self.call(move |tx| {
            let found = tx.collection("test").find(filter)?.sort("$key")?.all()?;
            Ok(found.iter().map(|record| value(&record.document)).collect())
        })
    }

    fn commit(&mut self) -> Outcome {
        self.call(|tx| tx.commit_now().map(|_| vec![]))
    }

    fn rollback(&mut self) {
        self.tx.rollback();
    }
}

struct Stage {
    _folder: tempfile::TempDir,
    db: Db,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::open(folder.path().join("db")).expect("it opens");
        let options = CollectionOptions::new().revisions(true);
        let test = db.create_collection("test", options).expect("it is made");
        test.put("1", doc! { "value": 10 }, None).expect("put");
        test.put("2", doc! { "value": 20 }, None).expect("put");
        Stage { _folder: folder, db }
    }

    fn begin(&self) -> Player {
        self.begin_with(TransactionOptions::default())
    }

    fn begin_with(&self, options: TransactionOptions) -> Player {
        let tx = Arc::new(self.db.begin(options).expect("it begins"));
        Player { tx, locks: self.db.database().locks.clone(), waiting: None }
    }

    /// All values, by key, as read without a transaction.
    fn values(&self) -> Vec<i64> {
        let scan = self.db.collection("test").scan(..);
        scan.all().expect("read").iter().map(|record| value(&record.document)).collect()
    }

    fn end(self) {
        assert_eq!(self.db.database().locks.figures(), Default::default(), "all was freed");
        self.db.close().expect("it closes");
    }
}

fn done() -> Outcome {
    Done(vec![])
}

#[test]
fn g0_writes_of_two_transactions_do_not_mix() {
    let stage = Stage::new();
    let (mut t1, mut t2) = (stage.begin(), stage.begin());
    assert_eq!(t1.put("1", 11), done());
    assert_eq!(t2.put("1", 12), Waits);
    assert_eq!(t1.put("2", 21), done());
    assert_eq!(t1.commit(), done());
    assert_eq!(t2.finish(), done());
    assert_eq!(stage.values(), [11, 21]);
    assert_eq!(t2.put("2", 22), done());
    assert_eq!(t2.commit(), done());
    assert_eq!(stage.values(), [12, 22]);
    stage.end();
}

#[test]
fn g1a_what_is_rolled_back_is_never_read() {
    let stage = Stage::new();
    let (mut t1, mut t2) = (stage.begin(), stage.begin());
    let mut snapshot = stage.begin_with(TransactionOptions::read_only());
    assert_eq!(t1.put("1", 101), done());
    assert_eq!(stage.values(), [10, 20]);
    assert_eq!(snapshot.get("1"), Done(vec![10]));
    assert_eq!(t2.get("1"), Waits);
    t1.rollback();
    assert_eq!(t2.finish(), Done(vec![10]));
    assert_eq!(t2.commit(), done());
    assert_eq!(snapshot.commit(), done());
    stage.end();
}

#[test]
fn g1b_what_was_written_in_between_is_never_read() {
    let stage = Stage::new();
    let (mut t1, mut t2) = (stage.begin(), stage.begin());
    assert_eq!(t1.put("1", 101), done());
    assert_eq!(t2.get("1"), Waits);
    assert_eq!(t1.put("1", 11), done());
    assert_eq!(t1.commit(), done());
    assert_eq!(t2.finish(), Done(vec![11]));
    assert_eq!(t2.commit(), done());
    stage.end();
}

#[test]
fn g1c_two_transactions_do_not_read_each_other() {
    let stage = Stage::new();
    let (mut t1, mut t2) = (stage.begin(), stage.begin());
    assert_eq!(t1.put("1", 11), done());
    assert_eq!(t2.put("2", 22), done());
    assert_eq!(t1.get("2"), Waits);
    assert_eq!(t2.get("1"), Failed(Code::Deadlock), "the younger gives way");
    assert_eq!(t1.finish(), Done(vec![20]));
    assert_eq!(t1.commit(), done());
    assert_eq!(stage.values(), [11, 20]);
    stage.end();
}

#[test]
fn otv_a_transaction_that_was_seen_does_not_vanish() {
    let stage = Stage::new();
    let (mut t1, mut t2, mut t3) = (stage.begin(), stage.begin(), stage.begin());
    assert_eq!(t1.put("1", 11), done());
    assert_eq!(t1.put("2", 19), done());
    assert_eq!(t2.put("1", 12), Waits);
    assert_eq!(t1.commit(), done());
    assert_eq!(t2.finish(), done());
    assert_eq!(t3.get("1"), Waits);
    assert_eq!(t2.put("2", 18), done());
    assert_eq!(t2.commit(), done());
    assert_eq!(t3.finish(), Done(vec![12]));
    assert_eq!(t3.get("2"), Done(vec![18]));
    assert_eq!(t3.commit(), done());
    stage.end();
}

#[test]
fn pmp_an_answer_does_not_change_within_a_transaction() {
    let stage = Stage::new();
    let (mut t1, mut t2) = (stage.begin(), stage.begin());
    assert_eq!(t1.find(doc! { "value": 30 }), done());
    assert_eq!(t2.put("3", 30), done());
    assert_eq!(t2.commit(), Waits);
    assert_eq!(t1.find(doc! { "value": { "$in": [30, 60] } }), done());
    assert_eq!(t1.commit(), done());
    assert_eq!(t2.finish(), done());
    assert_eq!(stage.values(), [10, 20, 30]);
    stage.end();
}

#[test]
fn pmp_a_write_by_an_answer_sees_no_other_answer() {
    let stage = Stage::new();
    let (mut t1, mut t2) = (stage.begin(), stage.begin());
    assert_eq!(t1.find(doc! { "value": 20 }), Done(vec![20]));
    assert_eq!(t2.put("1", 20), done());
    assert_eq!(t2.put("2", 30), done());
    assert_eq!(t2.commit(), Waits, "one record would leave the answer, another enter it");
    assert_eq!(t1.put("2", 0), done());
    assert_eq!(t2.finish(), Failed(Code::Deadlock));
    assert_eq!(t1.commit(), done());
    assert_eq!(stage.values(), [10, 0]);
    stage.end();
}

#[test]
fn p4_no_update_is_lost() {
    let stage = Stage::new();
    let (mut t1, mut t2) = (stage.begin(), stage.begin());
    assert_eq!(t1.get("1"), Done(vec![10]));
    assert_eq!(t2.get("1"), Done(vec![10]));
    assert_eq!(t1.put("1", 11), Waits);
    assert_eq!(t2.put("1", 12), Failed(Code::Deadlock));
    assert_eq!(t1.finish(), done());
    assert_eq!(t1.commit(), done());
    assert_eq!(stage.values(), [11, 20]);
    stage.end();
}

#[test]
fn g_single_what_is_read_is_of_one_moment() {
    let stage = Stage::new();
    let mut snapshot = stage.begin_with(TransactionOptions::read_only());
    let (mut t1, mut t2) = (stage.begin(), stage.begin());
    assert_eq!(t1.get("1"), Done(vec![10]));
    assert_eq!(snapshot.get("1"), Done(vec![10]));
    assert_eq!(t2.put("2", 18), done());
    assert_eq!(t2.put("1", 12), Waits);
    assert_eq!(t1.get("2"), Done(vec![20]));
    assert_eq!(t2.finish(), Failed(Code::Deadlock));
    assert_eq!(t1.commit(), done());
    let mut t3 = stage.begin();
    assert_eq!(t3.put("1", 12), done());
    assert_eq!(t3.put("2", 18), done());
    assert_eq!(t3.commit(), done(), "a snapshot holds nobody up");
    assert_eq!(snapshot.get("2"), Done(vec![20]));
    assert_eq!(snapshot.find(doc! { "value": { "$lt": 20 } }), Done(vec![10]));
    assert_eq!(snapshot.commit(), done());
    stage.end();
}

#[test]
fn g2_item_two_transactions_do_not_write_what_the_other_has_read() {
    let stage = Stage::new();
    let (mut t1, mut t2) = (stage.begin(), stage.begin());
    for player in [&mut t1, &mut t2] {
        assert_eq!(player.get("1"), Done(vec![10]));
        assert_eq!(player.get("2"), Done(vec![20]));
    }
    assert_eq!(t1.put("1", 11), Waits);
    assert_eq!(t2.put("2", 21), Failed(Code::Deadlock));
    assert_eq!(t1.finish(), done());
    assert_eq!(t1.commit(), done());
    assert_eq!(stage.values(), [11, 20]);
    stage.end();
}

#[test]
fn g2_two_transactions_do_not_write_what_would_enter_the_others_answer() {
    let stage = Stage::new();
    let (mut t1, mut t2) = (stage.begin(), stage.begin());
    let of_three = || doc! { "value": { "$in": [30, 42] } };
    assert_eq!(t1.find(of_three()), done());
    assert_eq!(t2.find(of_three()), done());
    assert_eq!(t1.put("3", 30), done());
    assert_eq!(t2.put("4", 42), done());
    assert_eq!(t1.commit(), Waits);
    assert_eq!(t2.commit(), Failed(Code::Deadlock));
    assert_eq!(t1.finish(), done());
    assert_eq!(stage.values(), [10, 20, 30]);
    stage.end();
}

#[test]
fn g2_over_two_edges_all_see_one_order() {
    let stage = Stage::new();
    let (mut t1, mut t2, mut t3) = (stage.begin(), stage.begin(), stage.begin());
    assert_eq!(t1.find(doc! {}), Done(vec![10, 20]));
    assert_eq!(t2.put("2", 25), done());
    assert_eq!(t2.commit(), Waits);
    assert_eq!(t3.find(doc! {}), Waits, "behind the write that waits already");
    assert_eq!(t1.put("1", 0), done());
    assert_eq!(t1.commit(), done());
    assert_eq!(t2.finish(), done());
    assert_eq!(t3.finish(), Done(vec![0, 25]));
    assert_eq!(t3.commit(), done());
    stage.end();
}

#[test]
fn what_is_absent_stays_absent() {
    let stage = Stage::new();
    let (mut t1, mut t2) = (stage.begin(), stage.begin());
    assert_eq!(t1.get("3"), done());
    assert_eq!(t2.put("3", 30), Waits);
    assert_eq!(t1.get("3"), done());
    assert_eq!(t1.commit(), done());
    assert_eq!(t2.finish(), done());
    assert_eq!(t2.commit(), done());
    stage.end();
}
