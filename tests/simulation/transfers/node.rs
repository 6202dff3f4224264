//! One shard with its accounts: a database of its own on a simulated disk.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use blockdb::disk::simulated::SimDisk;
use blockdb::document::Value;
use blockdb::ledger::Slot;
use blockdb::proof::{Hash, LeafKind};
use blockdb::shard::Shard;
use blockdb::shard::entry::{BatchBuilder, NewRecord};
use blockdb::shard::read::KeyRange;
use blockdb::shard::state::View;
use blockdb::shard::two_phase::{Decider, PrepareTerms, PreparedInfo, TxnId};
use blockdb::transaction::locks::{Mode, lock_of};
use blockdb::{Code, CollectionOptions, Db, Document, Error, IndexOptions, Result, doc};

use super::super::Machine;
use super::super::images::Crash;
use super::{ACCOUNTS, BALANCE, PATIENCE_US};

/// One change of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Where.
    pub shard: u32,
    /// Which.
    pub account: u64,
    /// By how much.
    pub delta: i64,
}

/// The running shards by number, so that one can ask another.
#[derive(Clone, Debug, Default)]
pub struct Shards(Arc<Mutex<BTreeMap<u32, Arc<Shard>>>>);

type Running<'a> = MutexGuard<'a, BTreeMap<u32, Arc<Shard>>>;

impl Shards {
    fn with(&self) -> Running<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard of that number, if it runs.
    pub fn get(&self, number: u32) -> Option<Arc<Shard>> {
        self.with().get(&number).cloned()
    }
}

/// Has a reader's transaction decided by its home and resolves it here.
#[derive(Debug)]
struct AskHome {
    shards: Weak<Mutex<BTreeMap<u32, Arc<Shard>>>>,
}

impl Decider for AskHome {
    fn fetch(&self, met: &PreparedInfo) {
        let Some(shards) = self.shards.upgrade().map(Shards) else { return };
        let (home, own) = (shards.get(met.terms.home), shards.get(met.terms.own));
        let (Some(home), Some(own)) = (home, own) else { return };
        let waits_us = own.env.host.clock.wall_us() - met.since_us;
        let decided = match home.decision(met.terms.txn) {
            None if waits_us < PATIENCE_US => return,
            None => home.decide_for_prepared(met),
            Some(decided) => Ok(decided),
        };
        if let Ok((verdict, decided_us)) = decided {
            // A reader that could not have it resolved waits, and says so.
            let _ = own.resolve(met.terms.txn, verdict, decided_us);
        }
    }
}

/// How somebody looks at all accounts of a shard.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    /// Key by key.
    Get,
    /// All keys at one snapshot.
    GetMany,
    /// By key, forth.
    Scan,
    /// By key, back, in two ranges.
    Ranges,
    /// By the index on balances.
    Find,
    /// By sequence number.
    Changes,
}

impl Look {
    /// All ways.
    pub const ALL: [Look; 6] =
        [Look::Get, Look::GetMany, Look::Scan, Look::Ranges, Look::Find, Look::Changes];
}

/// One shard.
pub struct Node {
    /// As which participant it is addressed.
    pub number: u32,
    /// Its disk and clock.
    pub machine: Machine,
    shards: Shards,
    db: Option<Db>,
    openings: u64,
    /// Whether readers have decisions fetched.
    pub fetches: bool,
    /// How long an evaluation waits for locks.
    pub patience_ms: u64,
}

/// The key of an account.
pub fn account(number: u64) -> String {
    format!("a-{number}")
}

/// The key of the record each transfer leaves at each of its shards.
pub fn trace_of(txn: TxnId) -> String {
    format!("t-{txn}")
}

fn balance_of(document: &Document) -> Result<i64> {
    match document.get("balance")? {
        Some(Value::Int(balance)) => Ok(balance),
        found => Err(Error::invalid(format!("a balance is {found:?}"))),
    }
}

impl Node {
    /// A shard whose accounts are filled.
    pub fn new(number: u32, machine: Machine, shards: &Shards) -> Result<Self> {
        let shards = shards.clone();
        let mut node =
            Node { number, machine, shards, db: None, openings: 0, fetches: false, patience_ms: 0 };
        node.open()?;
        let db = node.db();
        let options = || CollectionOptions::new().revisions(true).block_records(5);
        let accounts = db.create_collection("accounts", options())?;
        db.create_collection("transfers", CollectionOptions::new().block_records(7))?;
        for number in 0..ACCOUNTS {
            accounts.insert((account(number), doc! { "balance": BALANCE }))?;
        }
        accounts.create_index("by_balance", &["balance"], IndexOptions::default())?;
        Ok(node)
    }

    /// The open database.
    ///
    /// # Panics
    /// If it could not be opened, which ends a case before.
    pub fn db(&self) -> &Db {
        self.db.as_ref().expect("a node is open")
    }

    /// Its shard.
    pub fn shard(&self) -> &Arc<Shard> {
        &self.db().database().shard
    }

    fn open(&mut self) -> Result<()> {
        self.openings += 1;
        let machine = self.machine.with_disk(self.machine.disk.clone(), self.openings);
        let db = machine.open()?;
        let shard = db.database().shard.clone();
        let decider = AskHome { shards: Arc::downgrade(&self.shards.0) };
        shard.attach_decider(self.fetches.then(|| Arc::new(decider) as Arc<dyn Decider>));
        self.shards.with().insert(self.number, shard);
        self.db = Some(db);
        Ok(())
    }

    /// Lets readers have decisions fetched from here on.
    pub fn fetch_decisions(&mut self) -> Result<()> {
        self.fetches = true;
        self.close()?;
        self.open()
    }

    fn close(&mut self) -> Result<()> {
        let closed = self.db().close();
        self.shards.with().remove(&self.number);
        self.db = None;
        closed
    }

    /// An orderly restart.
    pub fn reopen(&mut self) -> Result<()> {
        self.close()?;
        self.open()
    }

    /// What `crash` leaves is opened again.
    pub fn crash(&mut self, crash: Crash) -> Result<()> {
        let old = self.machine.disk.clone();
        self.replace_disk(crash.of(&old))
    }

    fn replace_disk(&mut self, disk: SimDisk) -> Result<()> {
        self.machine.disk = disk;
        self.shards.with().remove(&self.number);
        self.db = None;
        self.open()
    }

    fn views(&self) -> Result<[View; 2]> {
        let state = self.shard().snapshot();
        Ok([state.by_name("accounts")?.clone(), state.by_name("transfers")?.clone()])
    }

    /// Evaluates this shard's part of a transfer under its locks and prepares it.
    pub fn prepare(&self, terms: &PrepareTerms, legs: &[Leg]) -> Result<Hash> {
        let (shard, locks) = (self.shard(), &self.db().database().locks);
        // The message came again: its locks are held already.
        if let Some(there) = shard.snapshot().two_phase.get(terms.txn)
            && there.terms == *terms
        {
            return Ok(there.digest);
        }
        let [accounts, transfers] = self.views()?;
        let trace = trace_of(terms.txn);
        let mut owner = locks.begin();
        let deadline = locks.deadline_in_ms(self.patience_ms);
        let mut wanted = vec![lock_of(transfers.core.id, trace.as_bytes())];
        wanted.extend(
            legs.iter().map(|leg| lock_of(accounts.core.id, account(leg.account).as_bytes())),
        );
        owner.lock_all(wanted, Mode::Exclusive, deadline)?;
        // Read, and let go once it is prepared.
        owner.lock(lock_of(transfers.core.id, b"rules"), Mode::Shared, deadline)?;
        let mut cores = [&accounts.core, &transfers.core];
        cores.sort_by_key(|core| core.id);
        let _gates = cores.map(|core| core.gate.read());
        let [accounts, transfers] = self.views()?;
        let mut batch = BatchBuilder::new(Some(terms.txn.0));
        batch.part(accounts.core.id);
        for leg in legs {
            let key = account(leg.account);
            let newest = accounts.core.newest(key.as_bytes(), accounts.end_seq)?;
            let newest = newest.ok_or_else(|| Error::new(Code::NotFound, key.clone()))?;
            let Slot::Live { body, .. } = accounts.core.read(newest.seq)?.slot else {
                return Err(Error::new(Code::NotFound, key));
            };
            let balance = balance_of(&Document::from_canonical(body)?)? + leg.delta;
            let body = doc! { "balance": balance };
            let record = record(&key, body.as_bytes(), self.salt());
            let (revision, prev_seq) = (newest.rank + 1, Some(newest.seq));
            batch.record(&NewRecord { revision, prev_seq, ..record });
        }
        batch.part(transfers.core.id);
        let legs = doc! { "legs": legs.len() as i64 };
        batch.record(&record(&trace, legs.as_bytes(), self.salt()));
        shard.prepare(terms.clone(), batch.finish(), Box::new(owner))
    }

    fn salt(&self) -> [u8; 16] {
        let mut salt = [0; 16];
        self.shard().env.host.random.fill(&mut salt);
        salt
    }

    /// The sum of all balances, by plain reads.
    pub fn sum(&self, look: Look) -> Result<i64> {
        let accounts = self.db().collection("accounts");
        let keys: Vec<String> = (0..ACCOUNTS).map(account).collect();
        let records = match look {
            Look::Get => keys.iter().filter_map(|key| accounts.get(key).transpose()).collect(),
            Look::GetMany => {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                accounts.get_many(&keys).map(|found| found.into_iter().flatten().collect())
            }
            Look::Scan => accounts.scan(..).all(),
            Look::Ranges => {
                let middle = account(ACCOUNTS / 2).into_bytes();
                let low = (Bound::Unbounded, Bound::Excluded(middle.clone()));
                let high = (Bound::Included(middle), Bound::Unbounded);
                let range =
                    |(lower, upper)| accounts.scan_range(KeyRange { lower, upper, reverse: true });
                range(low).all().and_then(|mut found| {
                    found.extend(range(high).all()?);
                    Ok(found)
                })
            }
            Look::Find => accounts.find(doc! { "balance": { "$gt": -1_000_000 } })?.all(),
            Look::Changes => {
                let mut newest = BTreeMap::new();
                for record in accounts.changes(None, None)? {
                    let record = record?;
                    newest.insert(record.key.clone(), record);
                }
                Ok(newest.into_values().collect())
            }
        }?;
        if records.len() as u64 != ACCOUNTS || accounts.count()? != ACCOUNTS {
            return Err(Error::invalid(format!("{look:?} finds {} accounts", records.len())));
        }
        records.iter().map(|record| balance_of(&record.document)).sum()
    }

    /// All balances, by account.
    pub fn balances(&self) -> Result<Vec<i64>> {
        let records = self.db().collection("accounts").scan(..).all()?;
        records.iter().map(|record| balance_of(&record.document)).collect()
    }

    /// Whether a transfer is there.
    pub fn shows(&self, txn: TxnId) -> Result<bool> {
        Ok(self.db().collection("transfers").get(&trace_of(txn))?.is_some())
    }
}

fn record<'a>(key: &'a str, body: &'a [u8], salt: [u8; 16]) -> NewRecord<'a> {
    NewRecord {
        kind: LeafKind::Record,
        key: Some(key.as_bytes()),
        revision: 1,
        prev_seq: None,
        schema: 0,
        actor: None,
        body,
        salt,
        commitment: None,
    }
}
