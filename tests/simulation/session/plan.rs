//! What a step does by the model: which log entries, in which batches, or which refusal.

use std::collections::BTreeSet;
use std::ops::Range;

use blockdb::document::Value;
use blockdb::{Code, Document};

use crate::simulation::model::{Effect, Entry, Model, ModelCollection};
use crate::simulation::script::{Step, TransactionWrite};

/// The collection that is made on its first write.
const DEFAULT_NAME: &str = "default";

/// The outcome of one step, as the model has it.
#[derive(Debug, Default)]
pub struct Plan {
    /// What it does, in the order of the log.
    pub effects: Vec<Effect>,
    /// How it is refused, after whatever `effects` say.
    pub refusal: Option<Code>,
    /// The batches of an `insert_many`, as they are reported.
    pub batches: Vec<Batch>,
}

/// One batch of an `insert_many`.
#[derive(Debug)]
pub struct Batch {
    /// Items dealt with once it is committed, earlier batches included.
    pub dealt_with: u64,
    /// Records it writes.
    pub written: u64,
    /// Which effects of the plan it acknowledges.
    pub effects: Range<usize>,
}

impl Plan {
    fn refused(code: Code) -> Self {
        Plan { refusal: Some(code), ..Plan::default() }
    }

    fn of_one(effect: Effect) -> Self {
        Plan { effects: vec![effect], ..Plan::default() }
    }

    /// What `step` does to a database that is as `model` says.
    pub fn of(step: &Step, model: &Model) -> Plan {
        match step {
            Step::Create { name, settings } => match model.collections.contains_key(name) {
                true => Plan::refused(Code::CollectionExists),
                false => {
                    Plan::of_one(Effect::Create { name: name.clone(), settings: settings.clone() })
                }
            },
            Step::Configure { name, settings } => configure(name, settings, model),
            Step::Drop { name, .. } => match model.collections.contains_key(name) {
                true => Plan::of_one(Effect::Drop { name: name.clone() }),
                false => Plan::refused(Code::CollectionNotFound),
            },
            Step::Insert { name, key, body } => {
                write(name, model, |plan, collection| insert(plan, name, collection, key, body))
            }
            Step::Put { name, key, body, expect } => write(name, model, |plan, collection| {
                put(plan, name, collection, (key, body), *expect);
            }),
            Step::InsertMany { name, items, batch, skip } => {
                write(name, model, |plan, collection| {
                    for chunk in items.chunks((*batch).max(1)) {
                        if plan.refusal.is_none() {
                            insert_batch(plan, name, collection, chunk, *skip);
                        }
                    }
                })
            }
            Step::Transaction { writes, rolls_back } => transaction(writes, *rolls_back, model),
            _ => Plan::default(),
        }
    }

    /// The records of a planned transaction come with this id.
    pub fn come_with(&mut self, id: &str) {
        if let Some(Effect::Transaction { parts }) = self.effects.last_mut() {
            let entries = parts.iter_mut().flat_map(|(_, entries)| entries);
            entries.for_each(|entry| entry.transaction = Some(id.to_owned()));
        }
    }
}

/// Each write as a call of its own would do it, on top of those before; what they append becomes
/// one effect. Making the default collection is no part of the transaction and stays.
fn transaction(writes: &[TransactionWrite], rolls_back: bool, model: &Model) -> Plan {
    let mut plan = Plan::default();
    let mut model = model.clone();
    let mut parts: Vec<(String, Vec<Entry>)> = Vec::new();
    for write in writes {
        let one = Plan::of(&alone(write), &model);
        for effect in one.effects {
            model.apply(&effect);
            match effect {
                Effect::Append { name, entries } => {
                    match parts.iter_mut().find(|(part, _)| *part == name) {
                        Some((_, part)) => part.extend(entries),
                        None => parts.push((name, entries)),
                    }
                }
                made => plan.effects.push(made),
            }
        }
        if one.refusal.is_some() {
            plan.refusal = one.refusal;
            return plan;
        }
    }
    if !rolls_back && !parts.is_empty() {
        plan.effects.push(Effect::Transaction { parts });
    }
    plan
}

fn alone(write: &TransactionWrite) -> Step {
    let TransactionWrite { name, key, body, put } = write.clone();
    match put {
        true => Step::Put { name, key, body, expect: None },
        false => Step::Insert { name, key, body },
    }
}

/// A write to `name`, which must exist or is made.
fn write(name: &str, model: &Model, act: impl FnOnce(&mut Plan, &ModelCollection)) -> Plan {
    let mut plan = Plan::default();
    match model.collections.get(name) {
        Some(collection) => act(&mut plan, collection),
        None if name == DEFAULT_NAME => {
            let create = Effect::Create { name: name.to_owned(), settings: Vec::new() };
            let made = model.with([&create]);
            plan.effects.push(create);
            act(&mut plan, &made.collections[name]);
        }
        None => return Plan::refused(Code::CollectionNotFound),
    }
    plan
}

fn configure(name: &str, settings: &[(String, Value)], model: &Model) -> Plan {
    let Some(collection) = model.collections.get(name) else {
        return Plan::refused(Code::CollectionNotFound);
    };
    let effect = Effect::Configure { name: name.to_owned(), settings: settings.to_vec() };
    let after = model.with([&effect]);
    if collection.revisions() && !after.collections[name].revisions() {
        return Plan::refused(Code::Unsupported);
    }
    match collection.changed_by(settings) {
        true => Plan::of_one(effect),
        false => Plan::default(),
    }
}

fn append(name: &str, entries: Vec<Entry>) -> Effect {
    Effect::Append { name: name.to_owned(), entries }
}

fn entry(key: &str, revision: u64, body: &Document) -> Entry {
    Entry { key: key.to_owned(), revision, body: body.clone(), receipt: None, transaction: None }
}

fn insert(plan: &mut Plan, name: &str, collection: &ModelCollection, key: &str, body: &Document) {
    match collection.newest(key) {
        Some(_) => plan.refusal = Some(Code::DuplicateKey),
        None => plan.effects.push(append(name, vec![entry(key, 1, body)])),
    }
}

fn put(
    plan: &mut Plan,
    name: &str,
    collection: &ModelCollection,
    (key, body): (&str, &Document),
    expect: Option<u64>,
) {
    let newest = collection.newest(key).map_or(0, |entry| entry.revision);
    if !collection.revisions() {
        plan.refusal = Some(Code::Unsupported);
    } else if expect.is_some_and(|expect| expect != newest) {
        plan.refusal = Some(Code::PreconditionFailed);
    } else {
        plan.effects.push(append(name, vec![entry(key, newest + 1, body)]));
    }
}

fn insert_batch(
    plan: &mut Plan,
    name: &str,
    collection: &ModelCollection,
    chunk: &[(String, Document)],
    skip: bool,
) {
    let earlier: BTreeSet<&String> = plan
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Append { entries, .. } => Some(entries.iter().map(|entry| &entry.key)),
            _ => None,
        })
        .flatten()
        .collect();
    let mut seen = BTreeSet::new();
    let mut entries = Vec::new();
    for (key, body) in chunk {
        let refused =
            !seen.insert(key) || earlier.contains(key) || collection.newest(key).is_some();
        match (refused, skip) {
            (false, _) => entries.push(entry(key, 1, body)),
            (true, true) => {}
            (true, false) => {
                plan.refusal = Some(Code::DuplicateKey);
                return;
            }
        }
    }
    let begin = plan.batches.last().map_or(0, |batch| batch.effects.end);
    let written = entries.len() as u64;
    if written > 0 {
        plan.effects.push(append(name, entries));
    }
    let dealt_with = plan.batches.last().map_or(0, |batch| batch.dealt_with) + chunk.len() as u64;
    plan.batches.push(Batch { dealt_with, written, effects: begin..plan.effects.len() });
}
