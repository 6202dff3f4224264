//! The recorder: what concurrent clients did, written down while they do it, to be judged
//! afterwards.
//!
//! One recorder for all threads, one [`Recording`] for each attempt of a transaction. Moments of
//! real time are drawn from one counter: whoever begins after another has ended has a later moment.
//! So a recording begins before the transaction's first call, and is ended after its last one has
//! answered.
//!
//! A version is known by the revision of its key, which the database assigns at commit, and by a
//! token that the workload takes from the recorder and puts into the document. The revision alone
//! will do as long as every writer was told it; with the token, reads of what was rolled back or
//! never answered are known for what they are.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{End, History, Op, Predicate, Seen, Transaction};

/// What a read found: a revision of a key, and the token of its document where that was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The revision; 0 is absence.
    pub revision: u64,
    /// The token in the document.
    pub token: Option<i64>,
}

impl Found {
    /// Nothing.
    pub const NOTHING: Found = Found { revision: 0, token: None };
}

impl From<u64> for Found {
    fn from(revision: u64) -> Self {
        Found { revision, token: None }
    }
}

impl From<(u64, i64)> for Found {
    fn from((revision, token): (u64, i64)) -> Self {
        Found { revision, token: Some(token) }
    }
}

/// Tests a key and its document.
type Matches<D> = dyn Fn(&str, &D) -> bool + Send + Sync;

/// What was done, with tokens yet to be found. Keys hold their collection.
enum Step<D> {
    Write { key: String, token: i64 },
    Read { key: String, found: Found },
    Append { key: String, element: i64 },
    ReadList { key: String, elements: Vec<i64> },
    Select { selection: Selection<D>, found: Vec<(String, Found)> },
}

struct Selection<D> {
    description: String,
    /// What precedes the keys of its collection.
    prefix: String,
    from: String,
    to: String,
    matches: Arc<Matches<D>>,
}

struct Ended<D> {
    id: u64,
    process: u64,
    steps: Vec<Step<D>>,
    /// Of the writes, in their order; 0 is unknown.
    revisions: Vec<u64>,
    end: End,
    span: (u64, u64),
}

struct Shared<D> {
    moments: AtomicU64,
    ids: AtomicU64,
    tokens: AtomicI64,
    open: AtomicUsize,
    documents: Mutex<HashMap<i64, D>>,
    ended: Mutex<Vec<Ended<D>>>,
}

impl<D> Shared<D> {
    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }
}

/// A client that panics with the lock held has written nothing by half.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records the transactions of any number of threads. `D` is what predicates are asked about: the
/// document, or what of it they need. A clone records into the same history.
pub struct Recorder<D = ()> {
    shared: Arc<Shared<D>>,
}

impl<D> Clone for Recorder<D> {
    fn clone(&self) -> Self {
        Recorder { shared: self.shared.clone() }
    }
}

impl<D: Clone + Send + Sync + 'static> Default for Recorder<D> {
    fn default() -> Self {
        Recorder::new()
    }
}

impl<D: Clone + Send + Sync + 'static> Recorder<D> {
    /// An empty one.
    pub fn new() -> Self {
        let shared = Shared {
            moments: AtomicU64::new(1),
            ids: AtomicU64::new(1),
            tokens: AtomicI64::new(1),
            open: AtomicUsize::new(0),
            documents: Mutex::new(HashMap::new()),
            ended: Mutex::new(Vec::new()),
        };
        Recorder { shared: Arc::new(shared) }
    }

    /// A number not given before, to tell a document, or an element of a list, from all others.
    pub fn token(&self) -> i64 {
        self.shared.tokens.fetch_add(1, Ordering::Relaxed)
    }

    /// Begins to record an attempt of a transaction, before its first call. A process is a client
    /// that does one thing after the other.
    pub fn begin(&self, process: u64) -> Recording<D> {
        self.shared.open.fetch_add(1, Ordering::SeqCst);
        Recording {
            id: self.shared.ids.fetch_add(1, Ordering::Relaxed),
            process,
            began: self.shared.moment(),
            steps: Vec::new(),
            shared: Some(self.shared.clone()),
        }
    }

    /// What was recorded, to be judged. All recordings must have ended: of one that is still open
    /// nothing would be known, and its writes would seem to come from nowhere.
    pub fn history(&self) -> History {
        let open = self.shared.open.load(Ordering::SeqCst);
        assert_eq!(open, 0, "recordings are still open");
        let documents = Arc::new(lock(&self.shared.documents).clone());
        let mut ended = lock(&self.shared.ended);
        ended.sort_by_key(|one| one.id);
        let tokens = Tokens::of(&ended);
        let mut history = History::default();
        for one in ended.iter() {
            let mut resolving =
                Resolving { tokens: &tokens, documents: &documents, own: HashMap::new() };
            let mut revisions = one.revisions.iter();
            let mut ops = Vec::with_capacity(one.steps.len());
            for step in &one.steps {
                match resolving.op(step, &mut revisions) {
                    Some(op) => ops.push(op),
                    None => history.unresolved += 1,
                }
            }
            history.transactions.push(Transaction {
                id: one.id,
                process: one.process,
                ops,
                end: one.end,
                span: Some(one.span),
            });
        }
        history
    }
}

/// One attempt of a transaction, while it runs. One that is dropped without an end counts as never
/// answered.
pub struct Recording<D: Clone + Send + Sync + 'static = ()> {
    id: u64,
    process: u64,
    began: u64,
    steps: Vec<Step<D>>,
    /// Taken at its end.
    shared: Option<Arc<Shared<D>>>,
}

/// No collection has a slash in its name.
fn full(collection: &str, key: &str) -> String {
    format!("{collection}/{key}")
}

impl<D: Clone + Send + Sync + 'static> Recording<D> {
    /// Its name in reports.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// It wrote a document with a token of its own. The revision is told at the end.
    pub fn write(&mut self, collection: &str, key: &str, token: i64, document: D) {
        assert!(token > 0, "tokens are positive");
        if let Some(shared) = &self.shared {
            lock(&shared.documents).insert(token, document);
        }
        self.steps.push(Step::Write { key: full(collection, key), token });
    }

    /// It read a key and found a revision, or a revision and the token in its document; an insert
    /// that was refused since the key exists has read too.
    pub fn read(&mut self, collection: &str, key: &str, found: impl Into<Found>) {
        self.steps.push(Step::Read { key: full(collection, key), found: found.into() });
    }

    /// It appended an element to a list; no other append to it has the same.
    pub fn append(&mut self, collection: &str, key: &str, element: i64) {
        self.steps.push(Step::Append { key: full(collection, key), element });
    }

    /// It read a list; an absent one is empty.
    pub fn read_list(&mut self, collection: &str, key: &str, elements: &[i64]) {
        let elements = elements.to_vec();
        self.steps.push(Step::ReadList { key: full(collection, key), elements });
    }

    /// It read all records of a collection that match, and these were found. The description says
    /// what is asked for, values and all: one description is one predicate.
    pub fn predicate(
        &mut self,
        collection: &str,
        description: &str,
        found: Vec<(String, Found)>,
        matches: impl Fn(&str, &D) -> bool + Send + Sync + 'static,
    ) {
        // What comes after all keys of the collection: the character after the slash.
        let (from, to) = (full(collection, ""), format!("{collection}0"));
        self.select(collection, format!("{collection}: {description}"), from..to, found, matches);
    }

    /// It read all records with keys in a range, and these were found.
    pub fn scan(&mut self, collection: &str, keys: Range<&str>, found: Vec<(String, Found)>) {
        let description = format!("{collection}/{}..{}", keys.start, keys.end);
        let keys = full(collection, keys.start)..full(collection, keys.end);
        self.select(collection, description, keys, found, |_, _| true);
    }

    fn select(
        &mut self,
        collection: &str,
        description: String,
        keys: Range<String>,
        found: Vec<(String, Found)>,
        matches: impl Fn(&str, &D) -> bool + Send + Sync + 'static,
    ) {
        let prefix = full(collection, "");
        let Range { start: from, end: to } = keys;
        let matches = Arc::new(matches);
        let selection = Selection { description, prefix, from, to, matches };
        let found = found.into_iter().map(|(key, found)| (full(collection, &key), found));
        self.steps.push(Step::Select { selection, found: found.collect() });
    }

    /// The commit was acknowledged; the revisions are those of its writes in their order, 0 or left
    /// out where they were not told.
    pub fn committed(mut self, revisions: &[u64]) {
        let writes = self.steps.iter().filter(|step| matches!(step, Step::Write { .. })).count();
        assert!(revisions.len() <= writes, "{} revisions of {writes} writes", revisions.len());
        self.end(End::Committed, revisions);
    }

    /// It was refused or rolled back: nothing of it may ever be seen.
    pub fn aborted(mut self) {
        self.end(End::Aborted, &[]);
    }

    /// No answer came, or none that tells: it happened wholly or not at all, now or later.
    pub fn unknown(mut self) {
        self.end(End::Unknown, &[]);
    }

    fn end(&mut self, end: End, revisions: &[u64]) {
        let Some(shared) = self.shared.take() else { return };
        let (revisions, steps) = (revisions.to_vec(), std::mem::take(&mut self.steps));
        let (id, process, span) = (self.id, self.process, (self.began, shared.moment()));
        lock(&shared.ended).push(Ended { id, process, steps, revisions, end, span });
        shared.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<D: Clone + Send + Sync + 'static> Drop for Recording<D> {
    fn drop(&mut self) {
        self.end(End::Unknown, &[]);
    }
}

/// The token of each revision of each key, told by writers, and by readers who looked.
#[derive(Default)]
struct Tokens {
    known: HashMap<(String, u64), i64>,
    /// Writes that may be revisions nobody told.
    spare: HashMap<String, Vec<i64>>,
}

impl Tokens {
    fn of<D>(ended: &[Ended<D>]) -> Self {
        let mut known: HashMap<(String, u64), i64> = HashMap::new();
        let mut note = |key: &String, revision: u64, token: i64| {
            if revision > 0 {
                known.entry((key.clone(), revision)).or_insert(token);
            }
        };
        // Inside a transaction the revisions of its own writes are not final.
        let mut seen = Vec::new();
        for one in ended {
            let mut revisions = one.revisions.iter();
            for step in &one.steps {
                match step {
                    Step::Write { key, token } => {
                        note(key, revisions.next().copied().unwrap_or(0), *token);
                    }
                    Step::Read { key, found } => seen.push((one, key, found)),
                    Step::Select { found, .. } => {
                        seen.extend(found.iter().map(|(key, found)| (one, key, found)));
                    }
                    _ => {}
                }
            }
        }
        for (one, key, found) in seen {
            let own = |token: i64| one.steps.iter().any(|step| step.writes(key, token));
            if let Some(token) = found.token.filter(|token| !own(*token)) {
                note(key, found.revision, token);
            }
        }
        let placed: HashSet<(&str, i64)> =
            known.iter().map(|((key, _), token)| (key.as_str(), *token)).collect();
        let mut spare: HashMap<String, Vec<i64>> = HashMap::new();
        for step in ended.iter().filter(|one| one.end != End::Aborted).flat_map(|one| &one.steps) {
            if let Step::Write { key, token } = step
                && !placed.contains(&(key.as_str(), *token))
            {
                spare.entry(key.clone()).or_default().push(*token);
            }
        }
        Tokens { known, spare }
    }
}

impl<D> Step<D> {
    fn writes(&self, wanted: &str, token: i64) -> bool {
        matches!(self, Step::Write { key, token: own } if key == wanted && *own == token)
    }
}

/// Turns the steps of one transaction to what the judge knows.
struct Resolving<'a, D> {
    tokens: &'a Tokens,
    documents: &'a Arc<HashMap<i64, D>>,
    /// What it wrote so far.
    own: HashMap<&'a str, i64>,
}

impl<'a, D: Send + Sync + 'static> Resolving<'a, D> {
    /// The operation; `None` if it read what several writes may have been.
    fn op<'r>(
        &mut self,
        step: &'a Step<D>,
        revisions: &mut impl Iterator<Item = &'r u64>,
    ) -> Option<Op> {
        Some(match step {
            Step::Write { key, token } => {
                self.own.insert(key, *token);
                let version = revisions.next().copied().filter(|revision| *revision > 0);
                Op::Write { key: key.clone(), value: *token, version }
            }
            Step::Read { key, found } => {
                Op::Read { key: key.clone(), seen: self.seen(key, found)? }
            }
            Step::Append { key, element } => Op::Append { key: key.clone(), element: *element },
            Step::ReadList { key, elements } => {
                Op::ReadList { key: key.clone(), elements: elements.clone() }
            }
            Step::Select { selection, found } => {
                let mut matched = Vec::with_capacity(found.len());
                for (key, found) in found {
                    matched.extend(self.seen(key, found)?.map(|seen| (key.clone(), seen)));
                }
                let predicate = selection.predicate(self.documents);
                Op::ReadWhere { predicate, matched, unmatched: Vec::new() }
            }
        })
    }

    /// What was seen; the outer `None` if that cannot be told.
    fn seen(&self, key: &str, found: &Found) -> Option<Option<Seen>> {
        let version = found.revision;
        if let (0, None) = (version, found.token) {
            return Some(None);
        }
        let known = || self.tokens.known.get(&(key.to_owned(), version)).copied();
        let own = || self.own.get(key).copied();
        let value = match found.token.or_else(known).or_else(own) {
            Some(value) => value,
            None => match self.tokens.spare.get(key).map_or(&[][..], Vec::as_slice) {
                // Nobody wrote it, and tokens are positive.
                [] => 0_i64.saturating_sub_unsigned(version),
                [only] => *only,
                _ => return None,
            },
        };
        Some(Some(Seen { value, version }))
    }
}

impl<D: Send + Sync + 'static> Selection<D> {
    fn predicate(&self, documents: &Arc<HashMap<i64, D>>) -> Predicate {
        let (documents, matches) = (documents.clone(), self.matches.clone());
        let prefix = self.prefix.len();
        let test = move |key: &str, token: i64| {
            let document = documents.get(&token);
            document.is_some_and(|document| matches(key.get(prefix..).unwrap_or(key), document))
        };
        Predicate::new(self.description.clone(), self.from.clone(), Some(self.to.clone()), test)
    }
}
