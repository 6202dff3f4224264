//! Random transactions of concurrent clients, and a judge (`history`) of whether one serial order
//! explains all they saw, and keeps the order of real time. Four workloads: registers, lists that are
//! appended to, a bank, and records that enter and leave what is filtered for; among them plain calls
//! and read-only transactions. `BLOCKDB_SEED` repeats the choices of a run (not its interleaving),
//! `BLOCKDB_IMAGES` sets the number of transactions of each client.

#![allow(clippy::disallowed_methods)] // Time and threads of a test are outside the engine.

use std::sync::atomic::{AtomicU64, Ordering};

use blockdb::{
    Code, Collection, CollectionOptions, Db, Document, Durability, IndexOptions, Options, Record,
    Result, Transaction, TransactionOptions, Value, doc,
};
use blockdb_tests::history::{Found, History, Recorder, Recording};

const CLIENTS: u64 = 6;

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Chance that is the same for the same seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}

fn int(document: &Document, field: &str) -> i64 {
    match document.get(field).expect("whole") {
        Some(Value::Int(value)) => value,
        other => panic!("{field} is {other:?} in {document:?}"),
    }
}

fn token(record: &Record) -> i64 {
    int(&record.document, "token")
}

/// A client in the middle of a transaction, writing down what it sees.
struct Client<'a> {
    tx: &'a Transaction,
    recorder: &'a Recorder<Document>,
    seen: Recording<Document>,
    /// Writes whose revisions the commit tells; those of lists go without.
    writes: usize,
}

impl Client<'_> {
    fn get(&mut self, key: &str) -> Result<Option<Record>> {
        let record = self.tx.collection("test").get(key)?;
        match &record {
            Some(record) => self.seen.read("test", key, (record.revision, token(record))),
            None => self.seen.read("test", key, Found::NOTHING),
        }
        Ok(record)
    }

    fn put(&mut self, key: &str, with: impl FnOnce(i64) -> Document) -> Result<()> {
        let token = self.recorder.token();
        let document = with(token);
        self.writes += 1;
        self.seen.write("test", key, token, document.clone());
        self.tx.collection("test").put(key, document, None).map(drop)
    }

    fn find(&mut self, group: i64) -> Result<Vec<Record>> {
        let filter = doc! { "group": group };
        let records = self.tx.collection("test").find(filter)?.all()?;
        let found = told(&records);
        let wanted = move |_: &str, document: &Document| int(document, "group") == group;
        self.seen.predicate("test", &format!("group = {group}"), found, wanted);
        Ok(records)
    }

    fn scan(&mut self, from: &str, to: &str) -> Result<Vec<Record>> {
        let records: Vec<Record> =
            self.tx.collection("test").scan(from..to)?.collect::<Result<_>>()?;
        self.seen.scan("test", from..to, told(&records));
        Ok(records)
    }
}

fn told(records: &[Record]) -> Vec<(String, Found)> {
    let found = |record: &Record| Found::from((record.revision, token(record)));
    records.iter().map(|record| (record.key.clone(), found(record))).collect()
}

/// What a client does in one transaction; the flag says whether it may write.
type Act = fn(&mut Client<'_>, &mut Chance, bool) -> Result<()>;

struct Stage {
    _folder: tempfile::TempDir,
    db: Db,
    test: Collection,
    recorder: Recorder<Document>,
    gave_way: AtomicU64,
}

fn stage() -> Stage {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options::new().durability(Durability::None);
    let db = options.open(folder.path().join("db")).expect("it opens");
    let options = CollectionOptions::new().revisions(true);
    let test = db.create_collection("test", options).expect("it is made");
    Stage { _folder: folder, db, test, recorder: Recorder::new(), gave_way: AtomicU64::new(0) }
}

impl Stage {
    /// One attempt of one transaction, ended in one of many ways.
    fn attempt(&self, process: u64, chance: &mut Chance, act: Act) -> Result<()> {
        let read_only = chance.below(6) == 0;
        let options = match (read_only, chance.below(40)) {
            (true, _) => TransactionOptions::read_only(),
            (false, 0) => TransactionOptions::default().timeout_ms(3),
            _ => TransactionOptions::default(),
        };
        // Before the transaction begins, so that its time spans all of it.
        let seen = self.recorder.begin(process);
        let tx = self.db.begin(options)?;
        let mut client = Client { tx: &tx, recorder: &self.recorder, seen, writes: 0 };
        if let Err(error) = act(&mut client, chance, !read_only) {
            client.seen.aborted();
            return Err(error);
        }
        if chance.below(20) == 0 {
            tx.rollback();
            client.seen.aborted();
            return Ok(());
        }
        match tx.commit_now() {
            Ok(commit) => {
                let revisions = commit.records.iter().map(|one| one.revision);
                let revisions: Vec<u64> = revisions.take(client.writes).collect();
                client.seen.committed(&revisions);
                Ok(())
            }
            Err(error) => {
                client.seen.aborted();
                Err(error)
            }
        }
    }

    /// A call of its own, as most programs make.
    fn plain(&self, process: u64, chance: &mut Chance, keys: u64) {
        let key = format!("k{:02}", chance.below(keys));
        let mut seen = self.recorder.begin(process);
        if chance.below(2) == 0 {
            match self.test.get(&key).expect("a read") {
                Some(record) => seen.read("test", &key, (record.revision, token(&record))),
                None => seen.read("test", &key, Found::NOTHING),
            }
            return seen.committed(&[]);
        }
        let token = self.recorder.token();
        let document = doc! { "token": token, "group": chance.below(3) as i64, "cents": 0 };
        seen.write("test", &key, token, document.clone());
        match self.test.put(&key, document, None) {
            Ok(record) => seen.committed(&[record.revision]),
            Err(error) => {
                assert_eq!(error.code(), Code::Deadlock, "{error}");
                seen.aborted();
            }
        }
    }

    fn run(&self, name: &str, plain_keys: u64, act: Act) {
        let default = if blockdb_tests::is_debug_build() { 30 } else { 400 };
        let (seed, rounds) = (variable("BLOCKDB_SEED", 1), variable("BLOCKDB_IMAGES", default));
        std::thread::scope(|scope| {
            for process in 0..CLIENTS {
                scope.spawn(move || {
                    let mut chance = Chance(seed.wrapping_mul(1000) + process);
                    for _ in 0..rounds {
                        if plain_keys > 0 && chance.below(8) == 0 {
                            self.plain(process, &mut chance, plain_keys);
                            continue;
                        }
                        match self.attempt(process, &mut chance, act) {
                            Ok(()) => {}
                            Err(error) => {
                                let expected = [
                                    Code::Deadlock,
                                    Code::Conflict,
                                    Code::LockTimeout,
                                    Code::TransactionExpired,
                                ];
                                assert!(expected.contains(&error.code()), "{error}");
                                self.gave_way.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(self.db.database().locks.figures(), Default::default(), "all was freed");
        let history: History = self.recorder.history();
        let report = history.check();
        let stats = self.db.stats().expect("figures").transactions;
        println!("{name}, seed {seed}: {report}; {stats:?}");
        let again = format!(
            "BLOCKDB_SEED={seed} BLOCKDB_IMAGES={rounds} cargo test -p blockdb-tests --profile \
             suites --test histories {name}"
        );
        assert!(report.is_clean(), "{}\n{again}", history.explain(&report));
        assert!(report.undecided * 10 <= report.edges, "too little is decided: {report}");
        assert!(stats.committed * 2 > CLIENTS * rounds, "too little was committed: {stats:?}");
    }
}

#[test]
fn registers() {
    let stage = stage();
    stage.run("registers", 8, |client, chance, writes| {
        for _ in 0..1 + chance.below(4) {
            let key = format!("k{:02}", chance.below(8));
            match writes && chance.below(2) == 0 {
                true => {
                    client.put(&key, |token| doc! { "token": token, "group": 0, "cents": 0 })?
                }
                false => drop(client.get(&key)?),
            }
        }
        Ok(())
    });
}

#[test]
fn lists() {
    let stage = stage();
    stage.run("lists", 0, |client, chance, writes| {
        for _ in 0..1 + chance.below(3) {
            let key = format!("k{:02}", chance.below(5));
            let mut elements = match client.tx.collection("test").get(&key)? {
                None => Vec::new(),
                Some(record) => match record.document.get("list").expect("whole") {
                    Some(Value::Array(list)) => list,
                    other => panic!("{other:?}"),
                },
            };
            let numbers: Vec<i64> = elements
                .iter()
                .map(|element| if let Value::Int(number) = element { *number } else { panic!() })
                .collect();
            client.seen.read_list("test", &key, &numbers);
            if writes && chance.below(2) == 0 {
                let element = client.recorder.token();
                client.seen.append("test", &key, element);
                elements.push(element.into());
                client.tx.collection("test").put(&key, doc! { "list": elements }, None)?;
            }
        }
        Ok(())
    });
}

#[test]
fn bank() {
    const ACCOUNTS: u64 = 6;
    let stage = stage();
    for account in 0..ACCOUNTS {
        let mut seen = stage.recorder.begin(99);
        let (key, token) = (format!("k{account:02}"), stage.recorder.token());
        let document = doc! { "token": token, "cents": 100, "group": 0 };
        seen.write("test", &key, token, document.clone());
        let record = stage.test.put(&key, document, None).expect("put");
        seen.committed(&[record.revision]);
    }
    stage.run("bank", 0, |client, chance, writes| {
        let cents = |record: Option<Record>| int(&record.expect("an account").document, "cents");
        if !writes || chance.below(4) == 0 {
            let all = match chance.below(2) {
                0 => client.scan("k", "l")?,
                _ => client.find(0)?,
            };
            let sum: i64 = all.iter().map(|record| int(&record.document, "cents")).sum();
            assert_eq!((all.len() as u64, sum), (ACCOUNTS, 100 * ACCOUNTS as i64));
            return Ok(());
        }
        let (from, to) = (chance.below(ACCOUNTS), chance.below(ACCOUNTS));
        if from == to {
            return Ok(());
        }
        let (from, to) = (format!("k{from:02}"), format!("k{to:02}"));
        let amount = 1 + chance.below(20) as i64;
        let (left, right) = (cents(client.get(&from)?), cents(client.get(&to)?));
        client.put(&from, |token| doc! { "token": token, "cents": left - amount, "group": 0 })?;
        client.put(&to, |token| doc! { "token": token, "cents": right + amount, "group": 0 })
    });
}

#[test]
fn predicates() {
    let stage = stage();
    stage.test.create_index("by_group", &["group"], IndexOptions::default()).expect("an index");
    stage.run("predicates", 20, |client, chance, writes| {
        for _ in 0..1 + chance.below(3) {
            let group = chance.below(3) as i64;
            match chance.below(4) {
                0 => drop(client.find(group)?),
                1 => {
                    let from = chance.below(20);
                    let (from, to) = (format!("k{from:02}"), format!("k{:02}", from + 4));
                    client.scan(&from, &to)?;
                }
                2 => drop(client.get(&format!("k{:02}", chance.below(20)))?),
                _ if writes => {
                    let key = format!("k{:02}", chance.below(20));
                    client
                        .put(&key, |token| doc! { "token": token, "group": group, "cents": 0 })?;
                }
                _ => {}
            }
        }
        Ok(())
    });
}
