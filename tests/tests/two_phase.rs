//! Transactions over several shards: three databases in one process, everything between them lost,
//! doubled, late or crashed. Each is there whole or not at all, nobody sees one half, and its locks
//! last as long as it is undecided, over restarts too.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use blockdb::database::Database;
use blockdb::disk::simulated::{CrashMode, SimDisk};
use blockdb::document::Value;
use blockdb::host::Clock;
use blockdb::host::simulated::{Dice, SimRandom};
use blockdb::shard::two_phase::{PrepareTerms, Share, TxnId, Verdict};
use blockdb::transaction::locks::{LockFigures, Mode, lock_of};
use blockdb::{Code, Collection, Db, Durability, IndexOptions, Options, Tuning, doc};
use blockdb_tests::simulation::campaign::{Campaign, Name};
use blockdb_tests::simulation::images::Crash;
use blockdb_tests::simulation::transfers::node::account;
use blockdb_tests::simulation::transfers::{
    ACCOUNTS, BALANCE, Figures, Leg, Node, SHARDS, Shards, World,
};
use blockdb_tests::simulation::{FOLDER, Machine, mixed, oracle, replica, tiny};

fn machine(seed: u64) -> Machine {
    Machine::new(tiny(), Durability::Sync, seed)
}

fn name(seed: u64, workload: &str, step: u64) -> Name {
    Name { seed, workload: workload.to_owned(), step: Some(step), crash: None }
}

/// The numbers of a campaign's cases, or the one the environment names.
fn numbers(campaign: &Campaign, count: u64) -> Vec<u64> {
    campaign.step.map_or_else(|| (0..count).collect(), |step| vec![step])
}

/// Transfers by chance, with everything that can go wrong.
fn wander(seed: u64) -> Result<Figures, String> {
    let mut world = World::new(&machine(seed), seed)?;
    if seed.is_multiple_of(3) {
        for node in &mut world.nodes {
            node.fetch_decisions().map_err(|error| error.to_string())?;
        }
    }
    let mut run = || {
        for _ in 0..150 {
            world.step()?;
        }
        world.finish()
    };
    let outcome = run();
    outcome.map_err(|what| format!("{what}\n    {}", world.story()))?;
    Ok(world.figures)
}

#[test]
fn transfers_are_whole_or_not_there_whatever_is_lost_doubled_late_or_crashed() {
    let test = "transfers_are_whole_or_not_there_whatever_is_lost_doubled_late_or_crashed";
    Campaign::begin("two_phase", test, 600).rounds(|campaign, seed| {
        let figures = Mutex::new(Figures::default());
        let numbers = numbers(campaign, campaign.cases);
        campaign.each(&numbers, |number| {
            campaign.case(&name(seed, "transfers", *number), || {
                let found = wander(mixed(seed, *number))?;
                let mut sum = figures.lock().unwrap_or_else(PoisonError::into_inner);
                *sum = sum.plus(found);
                Ok(1)
            });
        });
        let figures = figures.into_inner().unwrap_or_else(PoisonError::into_inner);
        println!("{figures:?}");
        let seen_all = figures.is_complete() || campaign.step.is_some() || campaign.is_lost();
        assert!(seen_all, "not everything happened: {figures:?}");
    });
}

/// One life of everything: a transfer over three shards, one that is prepared while restart points
/// are made and the log is recycled, one that is aborted, one that its coordinator leaves behind.
fn life(world: &mut World, forgetful: bool) -> Result<(), String> {
    let leg = |shard, account, delta| Leg { shard, account, delta };
    let first = world.begin(vec![leg(0, 0, -20), leg(1, 1, 10), leg(2, 2, 10)]);
    world.carry_out(first, forgetful)?;
    let second = world.begin(vec![leg(1, 0, -5), leg(2, 2, 5), leg(1, 3, 7), leg(2, 1, -7)]);
    world.prepare_at(second, |_| true)?;
    for number in 0..SHARDS {
        world.work_at(number, 1)?;
    }
    world.carry_out(second, forgetful)?;
    let third = world.begin(vec![leg(2, 0, -1), leg(0, 1, 1)]);
    world.prepare_at(third, |_| true)?;
    world.give_up(third);
    world.carry_out(third, forgetful)?;
    let fourth = world.begin(vec![leg(0, 3, -9), leg(1, 2, 4), leg(2, 3, 5)]);
    world.prepare_at(fourth, |shard| shard != 1)?;
    world.crash_coordinator();
    for number in 0..SHARDS {
        world.work_at(number, 2)?;
    }
    world.finish()
}

fn world_of_life(seed: u64) -> Result<World, String> {
    World::new(&machine(seed), seed)
}

/// Operations of each node's disk at the beginning of a life and at its end.
fn operations_of_life(seed: u64) -> Result<Vec<(u64, u64)>, String> {
    let mut world = world_of_life(seed)?;
    let ops = |world: &World| world.nodes.iter().map(|node| node.machine.disk.ops()).collect();
    // The last revival has a disk of its own: what is counted ends before.
    let begun: Vec<u64> = ops(&world);
    let disks: Vec<SimDisk> = world.nodes.iter().map(|node| node.machine.disk.clone()).collect();
    life(&mut world, false)
        .map_err(|what| format!("undisturbed: {what}\n    {}", world.story()))?;
    Ok(begun.into_iter().zip(disks.iter().map(SimDisk::ops)).collect())
}

#[test]
fn a_crash_at_every_operation_of_every_shard_leaves_all_or_nothing() {
    let test = "a_crash_at_every_operation_of_every_shard_leaves_all_or_nothing";
    Campaign::begin("two_phase", test, 2_000).rounds(|campaign, seed| {
        let mut cases = Vec::new();
        campaign.case(&name(seed, "life", 0), || {
            for (node, (begun, ended)) in (0..).zip(operations_of_life(seed)?) {
                cases.extend((begun..ended).map(|op| (node, op)));
            }
            Ok(0)
        });
        let cases: Vec<(u64, (usize, u64))> = (0..).zip(cases).collect();
        let chosen: Vec<&(u64, (usize, u64))> = match campaign.step {
            Some(step) => cases.iter().filter(|(number, _)| *number == step).collect(),
            None => {
                let stride = (cases.len() as u64 / campaign.cases.max(1)).max(1) as usize;
                cases.iter().step_by(stride).collect()
            }
        };
        campaign.each(&chosen, |(number, (node, op))| {
            campaign.case(&name(seed, "life", *number), || {
                for forgetful in [false, true] {
                    let mut world = world_of_life(seed)?;
                    world.nodes[*node].machine.disk.crash_at(*op);
                    life(&mut world, forgetful).map_err(|what| {
                        format!(
                            "node {node} without power from operation {op} on, forgetful \
                             {forgetful}: {what}\n    {}",
                            world.story()
                        )
                    })?;
                }
                Ok(2)
            });
        });
    });
}

fn open_again(node: &Node, disk: SimDisk, tuning: Tuning) -> Result<Arc<Database>, String> {
    let machine = Machine { tuning, ..node.machine.with_disk(disk, 5) };
    let opened = machine.options().open_database(Path::new(FOLDER));
    opened.map_err(|error| format!("it does not open: {error}"))
}

/// The same entries, read again by a database of other sizes, with power cuts on the way.
fn replay(seed: u64) -> Result<u64, String> {
    let large = Tuning { log_segment_bytes: 64 << 10, ..Tuning::for_memory(256 << 20) };
    let mut dice = Dice::new(seed);
    let machine = Machine { tuning: large, ..machine(seed) };
    let mut world = World::new(&machine, seed)?;
    for _ in 0..100 {
        world.step().map_err(|what| format!("{what}\n    {}", world.story()))?;
    }
    for node in 0..SHARDS {
        world.revive(node)?;
    }
    for node in &world.nodes {
        let shard = node.shard();
        shard.seal_all().and_then(|()| shard.write_blocks()).map_err(|error| error.to_string())?;
        let expected = replica::committed(node.db().database())?;
        let prepared = shard.snapshot().two_phase.clone();
        let mut disk = node.machine.disk.process_crash_image();
        for cut in [true, true, false] {
            if cut {
                disk.crash_at(disk.ops() + dice.below(80));
            }
            if let Ok(again) = open_again(node, disk.clone(), tiny())
                && again.shard.settle().is_ok()
            {
                let found = replica::committed(&again)?;
                if let Some(what) = replica::differ(&expected, &found) {
                    return Err(format!("node {}: {what}", node.number));
                }
                if again.shard.snapshot().two_phase != prepared {
                    return Err(format!("node {}: another state of two-phase commit", node.number));
                }
            } else if !cut {
                return Err(format!("node {} does not open and settle", node.number));
            }
            disk = disk.crash_image(CrashMode::M3, dice.bits());
        }
    }
    Ok(1)
}

#[test]
fn the_same_entries_give_the_same_leaves_and_the_same_open_transactions() {
    let test = "the_same_entries_give_the_same_leaves_and_the_same_open_transactions";
    Campaign::begin("two_phase", test, 60).rounds(|campaign, seed| {
        campaign.each(&numbers(campaign, campaign.cases), |number| {
            let case = name(seed, "replay", *number);
            campaign.case(&case, || replay(mixed(seed, *number)));
        });
    });
}

/// One shard, and a transfer that it shares with another, as whose home it is addressed.
fn alone(seed: u64) -> (Node, PrepareTerms, [Leg; 2]) {
    let node = Node::new(0, machine(seed), &Shards::default()).expect("a node");
    let txn = TxnId::new(node.machine.clock.wall_us(), &SimRandom::new(seed));
    let terms = PrepareTerms { txn, attempt: 1, home: 0, own: 0, participants: vec![0, 1] };
    let legs = [0, 1].map(|account| Leg { shard: 0, account, delta: 5 });
    (node, terms, legs)
}

fn shares(digest: [u8; 32]) -> Vec<Share> {
    (0..2).map(|shard| Share { shard, digest: Some(digest) }).collect()
}

#[test]
fn what_is_prepared_outlives_the_log_that_held_it() {
    let (mut node, terms, legs) = alone(11);
    let digest = node.prepare(&terms, &legs).expect("prepared");
    let segments = |node: &Node| {
        let files = node.machine.disk.files().into_iter();
        let names = files.filter(|path| path.to_string_lossy().contains("/wal_"));
        names.map(|path| path.display().to_string()).collect::<Vec<_>>()
    };
    let before = segments(&node);
    let others = node.db().create_collection("others", Default::default()).expect("created");
    for number in 0..600 {
        others.insert((format!("o-{number}"), doc! { "pad": "x".repeat(100) })).expect("free");
        node.db().run_background().expect("it works");
    }
    node.db().settle().expect("it settles");
    assert!(before.iter().all(|old| !segments(&node).contains(old)), "the log was not recycled");
    for crash in [None, Some(CrashMode::M3)] {
        node.crash(Crash { power: crash, seed: 3 }).expect("it opens");
        assert_eq!(node.shard().prepared()[0].digest, digest);
        let refused = node.db().collection("accounts").put(&account(1), doc! {}, None);
        assert_eq!(refused.expect_err("locked").code(), Code::LockTimeout);
    }
    let (verdict, time_us) =
        node.shard().decide(terms.txn, Verdict::Commit, 1, shares(digest)).expect("complete");
    assert_eq!(verdict, Verdict::Commit);
    let landed = node.shard().resolve(terms.txn, verdict, time_us).expect("decided");
    assert_eq!(node.shard().resolve(terms.txn, verdict, time_us).expect("again"), landed);
    let record = node.db().collection("accounts").get(&account(0)).expect("free").expect("there");
    assert_eq!((record.revision, record.seq), (2, landed.first_seqs[0]));
    assert_eq!(record.transaction, Some(terms.txn.to_string()));
    node.shard().acknowledge(terms.txn).expect("all have resolved");
    assert_eq!(node.db().database().locks.figures(), LockFigures::default());
    node.reopen().expect("it opens");
    assert_eq!(node.shard().decision(terms.txn), Some((Verdict::Commit, time_us)));
    oracle::verify(node.db()).expect("clean");
}

#[test]
fn a_resolve_is_not_older_than_its_decision_nor_than_its_shard() {
    let (node, terms, legs) = alone(12);
    let last_us = node.shard().snapshot().last_time_us;
    let terms = PrepareTerms { home: 1, ..terms };
    for (number, decided_us) in [(1, last_us + 60_000_000), (2, last_us - 60_000_000)] {
        let txn = TxnId::new(node.machine.clock.wall_us(), &SimRandom::new(number));
        let terms = PrepareTerms { txn, ..terms.clone() };
        node.prepare(&terms, &legs).expect("prepared");
        let landed = node.shard().resolve(txn, Verdict::Commit, decided_us).expect("prepared");
        assert_eq!(landed.time_us, last_us + 60_000_000);
        assert_eq!(node.shard().snapshot().last_time_us, landed.time_us);
    }
    let later = node.db().collection("others");
    node.db().create_collection("others", Default::default()).expect("created");
    let record = later.insert(("k", doc! {})).expect("free");
    assert_eq!(record.timestamp.micros(), last_us + 60_000_000);
}

#[test]
fn acts_on_a_collection_with_something_prepared_are_refused_and_name_it() {
    let (node, terms, legs) = alone(13);
    node.prepare(&terms, &legs).expect("prepared");
    let accounts = node.db().collection("accounts");
    let refusals = [
        accounts.set_schema(&doc! { "type": "object" }).map(drop),
        accounts.create_index("another", &["x"], IndexOptions::default()).map(drop),
        accounts.drop_index("by_balance"),
        accounts.configure(&[("block_records".to_owned(), Value::Int(9))]).map(drop),
        node.db().drop_collection("accounts", false).map(drop),
    ];
    for refusal in refusals {
        let error = refusal.expect_err("something is prepared");
        assert_eq!(error.code(), Code::Conflict);
        assert!(error.detail().contains(&terms.txn.to_string()), "{error}");
    }
    let (verdict, time_us) =
        node.shard().decide(terms.txn, Verdict::Abort, 1, Vec::new()).expect("home");
    node.shard().resolve(terms.txn, verdict, time_us).expect("decided");
    accounts.drop_index("by_balance").expect("nothing is prepared any more");
}

#[test]
fn a_unique_index_is_not_ready_while_something_is_prepared() {
    let (node, terms, legs) = alone(14);
    let transfers = node.db().collection("transfers");
    let building = IndexOptions { unique: true, background: true, ..IndexOptions::default() };
    transfers.create_index("one", &["legs"], building).expect("it begins");
    transfers.insert(("other", doc! { "legs": 2 })).expect("no double yet");
    node.prepare(&terms, &legs).expect("evaluated without the index's locks");
    let state = || transfers.indexes().expect("listed")[0].state.clone();
    for _ in 0..3 {
        node.db().settle().expect("it settles");
        assert_eq!(state(), "building");
    }
    let digest = node.shard().prepared()[0].digest;
    let (verdict, time_us) =
        node.shard().decide(terms.txn, Verdict::Commit, 1, shares(digest)).expect("complete");
    node.shard().resolve(terms.txn, verdict, time_us).expect("decided");
    node.db().settle().expect("it settles");
    assert_eq!(state(), "failed");
}

#[test]
fn steps_are_durable_in_mode_interval_too() {
    let machine = Machine { durability: Durability::Interval(60_000), ..machine(15) };
    let mut node = Node::new(0, machine, &Shards::default()).expect("a node");
    let txn = TxnId::new(node.machine.clock.wall_us(), &SimRandom::new(15));
    let terms = PrepareTerms { txn, attempt: 1, home: 0, own: 0, participants: vec![0, 1] };
    let digest = node.prepare(&terms, &[Leg { shard: 0, account: 0, delta: 5 }]).expect("free");
    node.crash(Crash { power: Some(CrashMode::M0), seed: 1 }).expect("it opens");
    assert_eq!(node.shard().prepared().len(), 1);
    node.shard().decide(txn, Verdict::Commit, 1, shares(digest)).expect("complete");
    node.crash(Crash { power: Some(CrashMode::M0), seed: 2 }).expect("it opens");
    let (verdict, time_us) = node.shard().decision(txn).expect("decided");
    node.shard().resolve(txn, verdict, time_us).expect("decided");
    node.crash(Crash { power: Some(CrashMode::M0), seed: 3 }).expect("it opens");
    assert!(node.shows(txn).expect("readable"));
}

#[test]
fn a_read_only_opening_does_not_wait_for_anybody() {
    let (mut node, terms, legs) = alone(16);
    node.prepare(&terms, &legs).expect("prepared");
    node.reopen().expect("it opens");
    let disk = node.machine.disk.process_crash_image();
    let reader = node.machine.with_disk(disk, 1).open_read_only().expect("it opens");
    let error = reader.collection("accounts").get(&account(0)).expect_err("undecided");
    assert_eq!(error.code(), Code::LockTimeout);
    assert!(reader.collection("accounts").get(&account(3)).expect("free").is_some());
    oracle::verify(&reader).expect("clean");
}

/// Tells readers that the writers are gone, whichever way.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Three real databases with threads of their own.
struct Threads {
    nodes: Vec<Db>,
    _dir: tempfile::TempDir,
}

impl Threads {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let open = |number: u32| {
            let path = dir.path().join(number.to_string());
            let options = Options::new().durability(Durability::None);
            let db = options.open(path).expect("it opens");
            let settings = blockdb::CollectionOptions::new().revisions(true);
            let accounts = db.create_collection("accounts", settings).expect("created");
            for number in 0..ACCOUNTS {
                accounts.insert((account(number), doc! { "balance": BALANCE })).expect("new");
            }
            db
        };
        let nodes = (0..SHARDS).map(open).collect();
        Threads { nodes, _dir: dir }
    }

    fn accounts(&self, shard: u32) -> Collection {
        self.nodes[shard as usize].collection("accounts")
    }

    /// Evaluates `change` of some accounts at each shard under their locks, and commits: decides, calls
    /// `told`, and resolves in the order of `dice`.
    fn transfer(
        &self,
        legs: &[Leg],
        change: impl Fn(i64, &Leg) -> i64,
        dice: &mut Dice,
        told: impl FnOnce(),
    ) {
        use blockdb::proof::LeafKind;
        use blockdb::shard::entry::{BatchBuilder, NewRecord};
        let clock = blockdb::host::real::RealClock::new();
        let txn = TxnId::new(clock.wall_us(), &SimRandom::new(dice.bits()));
        let mut participants: Vec<u32> = legs.iter().map(|leg| leg.shard).collect();
        participants.sort_unstable();
        participants.dedup();
        let home = participants[dice.below(participants.len() as u64) as usize];
        let mut owners = Vec::new();
        for shard in &participants {
            let database = self.nodes[*shard as usize].database();
            let id = database.shard.snapshot().by_name("accounts").expect("there").core.id;
            let mut owner = database.locks.begin();
            let own = legs.iter().filter(|leg| leg.shard == *shard);
            let locks = own.map(|leg| lock_of(id, account(leg.account).as_bytes())).collect();
            let deadline = database.locks.deadline_in_ms(60_000);
            owner.lock_all(locks, Mode::Exclusive, deadline).expect("nobody waits in a cycle");
            owners.push(owner);
        }
        let mut digests = Vec::new();
        for (shard, owner) in participants.iter().zip(owners) {
            let database = self.nodes[*shard as usize].database();
            let core = database.shard.snapshot().by_name("accounts").expect("there").core.clone();
            let _gate = core.gate.read();
            let view = database.shard.snapshot().by_name("accounts").expect("there").clone();
            let mut batch = BatchBuilder::new(Some(txn.0));
            batch.part(core.id);
            for leg in legs.iter().filter(|leg| leg.shard == *shard) {
                let key = account(leg.account);
                let newest = core.newest(key.as_bytes(), view.end_seq).expect("readable");
                let newest = newest.expect("an account");
                let record = self.accounts(*shard).get(&key).expect("locked").expect("there");
                let Ok(Some(Value::Int(balance))) = record.document.get("balance") else {
                    panic!("no balance in {record:?}")
                };
                let body = doc! { "balance": change(balance, leg) };
                batch.record(&NewRecord {
                    kind: LeafKind::Record,
                    key: Some(key.as_bytes()),
                    revision: newest.rank + 1,
                    prev_seq: Some(newest.seq),
                    schema: 0,
                    actor: None,
                    body: body.as_bytes(),
                    salt: [1; 16],
                    commitment: None,
                });
            }
            let terms = PrepareTerms {
                txn,
                attempt: 1,
                home,
                own: *shard,
                participants: participants.clone(),
            };
            let prepared = database.shard.prepare(terms, batch.finish(), Box::new(owner));
            let digest = Some(prepared.expect("prepared"));
            digests.push(Share { shard: *shard, digest });
        }
        let home = &self.nodes[home as usize].database().shard;
        let (verdict, time_us) =
            home.decide(txn, Verdict::Commit, 1, digests).expect("all are prepared");
        told();
        let from = dice.below(3) as usize;
        for number in 0..participants.len() {
            let shard = participants[(from + number) % participants.len()];
            (0..dice.below(20)).for_each(|_| std::thread::yield_now());
            let shard = &self.nodes[shard as usize].database().shard;
            shard.resolve(txn, verdict, time_us).expect("decided");
        }
        home.acknowledge(txn).expect("all have resolved");
    }

    fn finish(self) {
        for db in &self.nodes {
            assert_eq!(db.database().locks.figures(), LockFigures::default());
            assert!(!db.database().shard.has_prepared());
            oracle::verify(db).expect("clean");
        }
    }
}

fn balance(collection: &Collection, number: u64, look: u64) -> i64 {
    let key = account(number);
    let record = match look % 3 {
        0 => collection.get(&key).expect("in time"),
        1 => collection.scan_prefix(&key).first().expect("in time"),
        _ => {
            let found = collection.find(doc! { "$key": key }).expect("in time");
            found.first().expect("in time")
        }
    };
    match record.expect("an account").document.get("balance") {
        Ok(Some(Value::Int(balance))) => balance,
        found => panic!("a balance is {found:?}"),
    }
}

#[test]
fn a_plain_reader_never_sees_an_answered_transaction_at_one_shard_and_not_at_another() {
    let threads = Threads::new();
    let (answered, over) = (AtomicI64::new(BALANCE), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (threads, answered, over) = (&threads, &answered, &over);
            scope.spawn(move || {
                let mut dice = Dice::new(reader);
                let mut newest = BALANCE;
                while !over.load(Ordering::Acquire) {
                    let known = answered.load(Ordering::Acquire);
                    let accounts = threads.accounts(dice.below(u64::from(SHARDS)) as u32);
                    let found = balance(&accounts, 0, dice.bits());
                    assert!(found >= known, "answered {known}, and {found} is read");
                    assert!(found >= newest, "read {newest} elsewhere, and {found} here");
                    newest = found;
                }
            });
        }
        let _over = Over(&over);
        let mut dice = Dice::new(5);
        let legs: Vec<Leg> = (0..SHARDS).map(|shard| Leg { shard, account: 0, delta: 1 }).collect();
        let count = if blockdb_tests::is_debug_build() { 200 } else { 2_000 };
        for _ in 0..count {
            let told = || {
                answered.fetch_add(1, Ordering::AcqRel);
            };
            threads.transfer(&legs, |balance, leg| balance + leg.delta, &mut dice, told);
        }
    });
    threads.finish();
}

#[test]
fn a_reader_with_shared_locks_at_all_shards_sees_the_whole_sum() {
    let threads = Threads::new();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (threads, over) = (&threads, &over);
        let _over = Over(over);
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                scope.spawn(move || {
                    let mut dice = Dice::new(writer);
                    for _ in 0..300 {
                        let from = dice.below(u64::from(SHARDS)) as u32;
                        let leg = |shard, delta, account| Leg { shard, account, delta };
                        let delta = dice.below(9) as i64;
                        let legs = [
                            leg(from, -delta, dice.below(ACCOUNTS)),
                            leg((from + 1) % SHARDS, delta, dice.below(ACCOUNTS)),
                        ];
                        threads.transfer(&legs, |old, leg| old + leg.delta, &mut dice, || {});
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            while !over.load(Ordering::Acquire) {
                let mut owners = Vec::new();
                for db in &threads.nodes {
                    let database = db.database();
                    let state = database.shard.snapshot();
                    let id = state.by_name("accounts").expect("there").core.id;
                    let locks = (0..ACCOUNTS).map(|n| lock_of(id, account(n).as_bytes()));
                    let mut owner = database.locks.begin();
                    let deadline = database.locks.deadline_in_ms(60_000);
                    owner.lock_all(locks.collect(), Mode::Shared, deadline).expect("in order");
                    owners.push(owner);
                }
                let sum: i64 = (0..SHARDS)
                    .flat_map(|shard| (0..ACCOUNTS).map(move |number| (shard, number)))
                    .map(|(shard, number)| balance(&threads.accounts(shard), number, number))
                    .sum();
                assert_eq!(sum, i64::from(SHARDS) * ACCOUNTS as i64 * BALANCE);
            }
        });
        writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
    });
    threads.finish();
}
