//! One process after another, carrying out steps on one machine and keeping account: before a call
//! its effects are in doubt, after its answer they are acknowledged.

use blockdb::{
    BlockInfo, BulkResult, Code, Collection, CollectionOptions, Db, Error, InsertMany, OnError,
    Record,
};

use super::Machine;
use super::history::History;
use super::images::Crash;
use super::model::{Effect, Receipt};
use super::moments::Recorder;
use super::oracle;
use super::script::{Script, Step};

mod plan;
mod transaction;

use plan::Plan;

/// Openings tried before the disk is taken for dead: one fault may hit the first.
const OPENINGS_TRIED: usize = 3;

/// What became of a step.
#[derive(Debug)]
pub enum Outcome {
    /// It was carried out, or refused as the model says.
    Done,
    /// The engine reported a failure of the disk, or what follows from one.
    Failed(Error),
    /// The database cannot be opened at present.
    Dead(Error),
}

/// A running session.
pub struct Session {
    /// Disk, clock, sizes.
    pub machine: Machine,
    /// What was acknowledged and what is in doubt.
    pub history: History,
    /// Whether a killed process is played by an orderly reopening: planned faults belong to a disk.
    pub keep_disk: bool,
    /// Whether the disk has lost its power: nothing can be read, so a failed call stays in doubt.
    pub blind: bool,
    /// Whether reads are operations, too, that can be made to fail; those of the judge never are.
    pub reads_fail: bool,
    db: Option<Db>,
    recorder: Option<Recorder>,
    openings: u64,
}

impl Session {
    /// A session that has not opened its database yet.
    pub fn new(machine: Machine, recorder: Option<Recorder>) -> Self {
        if let Some(recorder) = &recorder {
            recorder.watch(&machine.disk);
        }
        let history = History::default();
        Session {
            machine,
            history,
            keep_disk: false,
            blind: false,
            reads_fail: false,
            db: None,
            recorder,
            openings: 0,
        }
    }

    /// The open database.
    pub fn db(&self) -> Option<&Db> {
        self.db.as_ref()
    }

    /// Opens the database and runs a whole script; any failure of the engine is a violation.
    pub fn run(&mut self, script: &Script) -> Result<(), String> {
        let violation = |step: usize, what: String| {
            let shown = script.steps.get(step).map(|step| format!("{step:?}")).unwrap_or_default();
            format!("{what}\n  in step {step} of {}: {:.200}", script.name, shown)
        };
        match self.open() {
            Outcome::Done => {}
            outcome => return Err(violation(0, format!("opening: {outcome:?}"))),
        }
        for (index, step) in script.steps.iter().enumerate() {
            if let Some(recorder) = &self.recorder {
                recorder.begin_step(index);
            }
            match self.perform(step).map_err(|what| violation(index, what))? {
                Outcome::Done => {}
                outcome => return Err(violation(index, format!("without any fault: {outcome:?}"))),
            }
        }
        if let Some(recorder) = &self.recorder {
            recorder.take(&self.machine.disk, None);
            self.machine.disk.observe(None);
        }
        Ok(())
    }

    /// Opens the database, trying again if that fails.
    pub fn open(&mut self) -> Outcome {
        self.publish();
        self.machine.disk.count_reads(self.reads_fail);
        for attempt in 1.. {
            self.openings += 1;
            let machine = self.machine.with_disk(self.machine.disk.clone(), self.openings);
            match machine.open() {
                Ok(db) => {
                    self.db = Some(db);
                    break;
                }
                Err(error) if attempt >= OPENINGS_TRIED => return Outcome::Dead(error),
                Err(_) => {}
            }
        }
        self.history.exists = true;
        self.publish();
        Outcome::Done
    }

    fn publish(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.publish(&self.history);
        }
    }

    /// Carries out one step; `Err` is a violation of the contract.
    pub fn perform(&mut self, step: &Step) -> Result<Outcome, String> {
        self.machine.clock.advance_us(1_000);
        let Some(db) = self.db.clone() else { return Err("the session is over".to_owned()) };
        let outcome = match step {
            Step::Elapse { ms } => {
                self.machine.clock.advance_us(ms * 1_000);
                return Ok(Outcome::Done);
            }
            Step::Jump { seconds } => {
                self.machine.clock.advance_wall_us(seconds * 1_000_000);
                return Ok(Outcome::Done);
            }
            Step::Reopen => return self.reopen(db),
            Step::Kill if self.keep_disk => return self.reopen(db),
            Step::Kill => return self.kill(db),
            Step::Rotate { name } => internal(db.rotate(name)),
            Step::Background => internal(db.run_background()),
            Step::RestartPoint | Step::Settle => {
                let done = match step {
                    Step::Settle => db.settle(),
                    _ => db.make_restart_point(),
                };
                if done.is_ok() {
                    self.history.settle();
                }
                internal(done)
            }
            Step::Seal { name } => return self.seal(&db.collection(name)),
            _ => return self.write(&db, step),
        };
        self.publish();
        Ok(outcome)
    }

    fn write(&mut self, db: &Db, step: &Step) -> Result<Outcome, String> {
        let plan = Plan::of(step, &self.history.visible());
        if let Step::Transaction { writes, rolls_back } = step {
            return self.transaction(db, plan, writes, *rolls_back);
        }
        self.doubt(&plan);
        let answer = self.call(db, step, &plan)?;
        // Records have been acknowledged with their call or batch.
        let known = match (step, &answer) {
            (Step::InsertMany { .. }, _) => plan.batches.last().map_or(0, |last| last.effects.end),
            (Step::Insert { .. } | Step::Put { .. }, Ok(())) => plan.effects.len(),
            _ => 0,
        };
        self.conclude(db, answer, &plan, known)
    }

    /// Takes note of a call that is about to be made.
    fn doubt(&mut self, plan: &Plan) {
        if !plan.effects.is_empty() {
            self.history.doubts.push(plan.effects.clone());
            self.publish();
        }
    }

    /// Compares an answer with the plan; the first `known` effects were acknowledged with it.
    fn conclude(
        &mut self,
        db: &Db,
        answer: Result<(), Error>,
        plan: &Plan,
        known: usize,
    ) -> Result<Outcome, String> {
        let outcome = match (answer, plan.refusal) {
            (Ok(()), Some(code)) => Err(format!("expected {}, but it succeeded", code.as_str())),
            (Err(error), None) => self.failed(db, error),
            (Err(error), Some(code)) if error.code() != code => self.failed(db, error),
            // Done, or done as far as the refusal.
            _ => {
                if !plan.effects[known..].is_empty() {
                    self.history.acknowledge(&plan.effects[known..], self.machine.durability);
                }
                Ok(Outcome::Done)
            }
        };
        self.publish();
        outcome
    }

    /// Makes the call and checks its answer; records are acknowledged as their batches are.
    fn call(&mut self, db: &Db, step: &Step, plan: &Plan) -> Result<Result<(), Error>, String> {
        match step {
            Step::Create { name, settings } => {
                let options =
                    settings.iter().fold(CollectionOptions::new(), |options, (key, value)| {
                        options.set(key, value.clone())
                    });
                Ok(db.create_collection(name, options).map(drop))
            }
            Step::Configure { name, settings } => {
                Ok(db.collection(name).configure(settings).map(drop))
            }
            Step::Drop { name, purge } => Ok(db.drop_collection(name, *purge).map(drop)),
            Step::Insert { name, key, body } => {
                let answer = db.collection(name).insert((key.clone(), body.clone()));
                self.note_record(plan, answer)
            }
            Step::Put { name, key, body, expect } => {
                let answer = db.collection(name).put(key, body.clone(), *expect);
                self.note_record(plan, answer)
            }
            Step::InsertMany { name, items, batch, skip } => {
                let on_error = if *skip { OnError::Skip } else { OnError::Stop };
                let options = InsertMany { batch: *batch, on_error };
                let mut batches = Batches { session: self, plan, done: 0, fault: None };
                let answer = db.collection(name).insert_many_with(
                    items.iter().cloned(),
                    options,
                    &mut |dealt_with, result| batches.note(dealt_with, result),
                );
                match batches.fault {
                    Some(fault) => Err(fault),
                    None => Ok(answer.map(drop)),
                }
            }
            _ => Ok(Ok(())),
        }
    }

    fn note_record(
        &mut self,
        plan: &Plan,
        answer: Result<Record, Error>,
    ) -> Result<Result<(), Error>, String> {
        let record = match answer {
            Ok(record) => record,
            Err(error) => return Ok(Err(error)),
        };
        let mut effects = plan.effects.clone();
        if let Some(Effect::Append { entries, .. }) = effects.last_mut() {
            let entry = &mut entries[0];
            if (&record.key, record.revision, &record.document)
                != (&entry.key, entry.revision, &entry.body)
            {
                return Err(format!("the answer is {record:?}, expected was {entry:?}"));
            }
            entry.receipt = Some(Receipt { seq: record.seq, timestamp: Some(record.timestamp) });
        }
        self.history.acknowledge(&effects, self.machine.durability);
        Ok(Ok(()))
    }

    /// A call failed. What it did in part, if a reader sees it, has happened; the rest is in doubt.
    fn failed(&mut self, db: &Db, error: Error) -> Result<Outcome, String> {
        if self.blind {
            return Ok(Outcome::Failed(error));
        }
        let doubted = self.history.doubts.last().cloned().unwrap_or_default();
        let visible = self.history.visible();
        let states = (0..=doubted.len()).map(|count| visible.with(&doubted[..count]));
        let mut first = None;
        for (count, state) in states.enumerate() {
            match self.quietly(|_| oracle::compare(db, &state)) {
                Ok(()) => {
                    if count > 0 {
                        self.history.acknowledge(&doubted[..count], self.machine.durability);
                        self.history.doubts.push(doubted[count..].to_vec());
                    }
                    return Ok(Outcome::Failed(error));
                }
                Err(what) => first = first.or(Some(what)),
            }
        }
        Err(format!("after {error}, readers see neither the old state nor the new: {first:?}"))
    }

    fn seal(&mut self, collection: &Collection) -> Result<Outcome, String> {
        let (name, known) = (collection.name().to_owned(), self.history.visible());
        let answer = collection.seal();
        let newest = match (answer, known.collections.get(&name)) {
            (Ok(newest), Some(_)) => newest,
            (Ok(_), None) => return Err(format!("sealed {name}, which does not exist")),
            (Err(error), None) if error.code() == Code::CollectionNotFound => {
                return Ok(Outcome::Done);
            }
            (Err(error), _) => return Ok(Outcome::Failed(error)),
        };
        self.history.settle_through(&name);
        if let Some(newest) = newest {
            self.quietly(|session| session.note_blocks(collection, newest.id + 1))?;
        }
        self.publish();
        Ok(Outcome::Done)
    }

    /// Remembers the headers of a collection's first `count` blocks.
    fn note_blocks(&mut self, collection: &Collection, count: u64) -> Result<(), String> {
        let Some(known) = self.history.floor.collections.get(collection.name()) else {
            return Ok(());
        };
        let mut blocks: Vec<BlockInfo> = known.blocks.clone();
        for id in blocks.len() as u64..count {
            blocks.push(collection.block(id).map_err(|error| format!("block {id}: {error}"))?);
        }
        self.history.note_blocks(collection.name(), &blocks);
        Ok(())
    }

    fn note_all_blocks(&mut self) -> Result<(), String> {
        let Some(db) = self.db.clone() else { return Ok(()) };
        for info in db.collections("").map_err(|error| format!("collections: {error}"))? {
            self.note_blocks(&db.collection(&info.name), info.blocks)?;
        }
        self.publish();
        Ok(())
    }

    fn reopen(&mut self, db: Db) -> Result<Outcome, String> {
        let closed = db.close();
        self.db = None;
        if closed.is_ok() {
            self.history.settle();
        }
        drop(db);
        if let dead @ Outcome::Dead(_) = self.open() {
            return Ok(dead);
        }
        self.history.settle();
        self.quietly(|session| {
            session.check_all()?;
            session.note_all_blocks()
        })?;
        match closed {
            Ok(()) => Ok(Outcome::Done),
            Err(error) => Ok(Outcome::Failed(error)),
        }
    }

    fn kill(&mut self, db: Db) -> Result<Outcome, String> {
        let old = self.machine.disk.clone();
        self.machine.disk = old.process_crash_image();
        old.observe(None);
        if let Some(recorder) = &self.recorder {
            recorder.watch(&self.machine.disk);
        }
        self.db = None;
        drop(db);
        if let dead @ Outcome::Dead(_) = self.open() {
            return Ok(dead);
        }
        self.history.settle();
        self.quietly(|session| {
            session.check_all()?;
            session.note_all_blocks()
        })?;
        Ok(Outcome::Done)
    }

    /// The power comes back after a loss: the database opens unaided and shows a state its history
    /// allows, which is the truth from then on.
    pub fn reboot(&mut self, crash: Crash) -> Result<(), String> {
        let old = self.machine.disk.clone();
        self.machine.disk = crash.of(&old);
        self.blind = false;
        self.db = None;
        if let Outcome::Dead(error) = self.open() {
            return Err(format!("it does not open after {crash}: {error}"));
        }
        let Some(db) = self.db.clone() else { return Ok(()) };
        let found = oracle::find_state(&db, &self.history)
            .map_err(|what| format!("after {crash}: {what}"))?;
        oracle::verify(&db).map_err(|what| format!("after {crash}: {what}"))?;
        self.history = History { floor: found, exists: true, ..History::default() };
        self.publish();
        self.note_all_blocks()
    }

    /// Looks at the database without disturbing the count of operations.
    fn quietly<T>(&mut self, look: impl FnOnce(&mut Self) -> T) -> T {
        self.machine.disk.count_reads(false);
        let seen = look(self);
        self.machine.disk.count_reads(self.reads_fail);
        seen
    }

    /// Readers see what was acknowledged, or one call more that was in doubt when the database was
    /// opened again; then that call has happened.
    pub fn check_all(&mut self) -> Result<(), String> {
        let Some(db) = self.db.clone() else { return Ok(()) };
        let found = oracle::find_state(&db, &self.history)?;
        if !self.history.doubts.is_empty() {
            self.history.floor = found;
            self.history.after.clear();
            self.history.doubts.clear();
            self.publish();
        }
        Ok(())
    }

    /// Readers of the running process see exactly what was acknowledged.
    pub fn check_reads(&self) -> Result<(), String> {
        match &self.db {
            Some(db) => oracle::compare(db, &self.history.visible()),
            None => Ok(()),
        }
    }

    /// Ends the session without closing the database: its disk stays as it is.
    pub fn abandon(mut self) -> (Machine, History) {
        let disk = self.machine.disk.process_crash_image();
        self.machine.disk.observe(None);
        self.db = None;
        (Machine { disk, ..self.machine.clone() }, std::mem::take(&mut self.history))
    }
}

fn internal(done: Result<(), Error>) -> Outcome {
    match done {
        Ok(()) => Outcome::Done,
        Err(error) if error.code() == Code::CollectionNotFound => Outcome::Done,
        Err(error) => Outcome::Failed(error),
    }
}

/// Follows the batches of an `insert_many`.
struct Batches<'a> {
    session: &'a mut Session,
    plan: &'a Plan,
    done: usize,
    fault: Option<String>,
}

impl Batches<'_> {
    /// One more batch was dealt with: `result` sums up all so far.
    fn note(&mut self, dealt_with: u64, result: &BulkResult) {
        let Some(expected) = self.plan.batches.get(self.done) else {
            self.fault = Some(format!("{dealt_with} items dealt with, more than there are"));
            return;
        };
        self.done += 1;
        let so_far: u64 = self.plan.batches[..self.done].iter().map(|batch| batch.written).sum();
        let rejected = expected.dealt_with - so_far;
        if (dealt_with, result.inserted, result.rejected) != (expected.dealt_with, so_far, rejected)
        {
            self.fault = Some(format!(
                "after {dealt_with} items {result:?}, expected were {} items, {so_far} inserted",
                expected.dealt_with
            ));
            return;
        }
        let mut effects = self.plan.effects[expected.effects.clone()].to_vec();
        if effects.is_empty() {
            return;
        }
        if let (Some(Effect::Append { entries, .. }), Some(last_seq)) =
            (effects.last_mut(), result.last_seq)
        {
            let first_seq = (last_seq + 1).saturating_sub(entries.len() as u64);
            for (entry, seq) in entries.iter_mut().zip(first_seq..) {
                entry.receipt = Some(Receipt { seq, timestamp: None });
            }
        }
        let session = &mut *self.session;
        session.history.acknowledge(&effects, session.machine.durability);
        let rest = &self.plan.effects[expected.effects.end..];
        if !rest.is_empty() {
            session.history.doubts.push(rest.to_vec());
        }
        session.publish();
    }
}
