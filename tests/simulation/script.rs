//! What a session does, step by step, and the small vocabulary in which scripts are written.

use blockdb::document::Value;
use blockdb::{Document, Durability, Tuning, doc};

use blockdb::host::simulated::Dice;

/// One call, or one act of the surroundings.
#[derive(Clone, Debug)]
pub enum Step {
    /// `create_collection`.
    Create {
        /// Its name.
        name: String,
        /// Its settings.
        settings: Vec<(String, Value)>,
    },
    /// `configure`.
    Configure {
        /// Whose settings.
        name: String,
        /// The changes.
        settings: Vec<(String, Value)>,
    },
    /// `drop_collection`.
    Drop {
        /// Which.
        name: String,
        /// Whether its bodies go at once.
        purge: bool,
    },
    /// `insert`.
    Insert {
        /// Where.
        name: String,
        /// The key.
        key: String,
        /// The document.
        body: Document,
    },
    /// `insert_many`, refused items stop it or are skipped.
    InsertMany {
        /// Where.
        name: String,
        /// Keys and documents.
        items: Vec<(String, Document)>,
        /// Items committed together.
        batch: usize,
        /// Whether refused items are left out.
        skip: bool,
    },
    /// `put`.
    Put {
        /// Where.
        name: String,
        /// The key.
        key: String,
        /// The document.
        body: Document,
        /// The revision it must be at.
        expect: Option<u64>,
    },
    /// `begin`, several writes, and `commit` or `rollback`; a refused write rolls it back.
    Transaction {
        /// In the order of the calls.
        writes: Vec<TransactionWrite>,
        /// Whether it is given up although nothing was refused.
        rolls_back: bool,
    },
    /// `seal`.
    Seal {
        /// What.
        name: String,
    },
    /// A fresh memtable, the old one to be flushed.
    Rotate {
        /// Whose.
        name: String,
    },
    /// All background work that is due.
    Background,
    /// A restart point, and the log behind it recycled.
    RestartPoint,
    /// `settle`.
    Settle,
    /// Time passes.
    Elapse {
        /// How much.
        ms: u64,
    },
    /// The wall clock jumps, back or forth.
    Jump {
        /// How far.
        seconds: i64,
    },
    /// `close`, and open again.
    Reopen,
    /// The process is killed and the database opened again.
    Kill,
}

/// One call within a transaction.
#[derive(Clone, Debug)]
pub struct TransactionWrite {
    /// Where.
    pub name: String,
    /// The key.
    pub key: String,
    /// The document.
    pub body: Document,
    /// Whether it is a `put`, of whatever revision comes next, and not an `insert`.
    pub put: bool,
}

/// A workload.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its name, by which a failure is repeated.
    pub name: &'static str,
    /// Durability of the database.
    pub durability: Durability,
    /// Sizes.
    pub tuning: Tuning,
    /// What is done.
    pub steps: Vec<Step>,
}

/// Writes scripts: documents and keys follow from the seed.
#[derive(Debug)]
pub struct Writer {
    /// Where all chance comes from.
    pub dice: Dice,
    steps: Vec<Step>,
}

impl Writer {
    /// An empty script.
    pub fn new(seed: u64) -> Self {
        Writer { dice: Dice::new(seed), steps: Vec::new() }
    }

    /// The finished script.
    pub fn finish(self, name: &'static str, durability: Durability) -> Script {
        Script { name, durability, tuning: super::tiny(), steps: self.steps }
    }

    /// Adds a step.
    pub fn step(&mut self, step: Step) -> &mut Self {
        self.steps.push(step);
        self
    }

    /// Creates a collection with small blocks.
    pub fn create(&mut self, name: &str, revisions: bool) -> &mut Self {
        let block_records = 4 + self.dice.below(5) as i64;
        let settings = vec![
            ("block_records".to_owned(), Value::Int(block_records)),
            ("revisions".to_owned(), Value::Bool(revisions)),
        ];
        self.step(Step::Create { name: name.to_owned(), settings })
    }

    /// Inserts one record under `key`.
    pub fn insert(&mut self, name: &str, key: &str) -> &mut Self {
        let body = document(&mut self.dice);
        self.step(Step::Insert { name: name.to_owned(), key: key.to_owned(), body })
    }

    /// Inserts records `from..to` of a series, one by one.
    pub fn insert_each(&mut self, name: &str, from: u64, to: u64) -> &mut Self {
        for number in from..to {
            let key = series_key(number);
            self.insert(name, &key);
        }
        self
    }

    /// Inserts records `from..to` of a series as one batch.
    pub fn insert_batch(&mut self, name: &str, from: u64, to: u64) -> &mut Self {
        let items: Vec<_> =
            (from..to).map(|number| (series_key(number), document(&mut self.dice))).collect();
        let batch = items.len().max(1);
        self.step(Step::InsertMany { name: name.to_owned(), items, batch, skip: false })
    }

    /// Puts the next revision of a record of a series.
    pub fn put(&mut self, name: &str, number: u64) -> &mut Self {
        let body = document(&mut self.dice);
        let key = series_key(number);
        self.step(Step::Put { name: name.to_owned(), key, body, expect: None })
    }

    /// Commits a transaction of some `Writer::writes`.
    pub fn transaction(&mut self, writes: &str) -> &mut Self {
        let writes = self.writes(writes);
        self.step(Step::Transaction { writes, rolls_back: false })
    }

    /// Gives up a transaction of some `Writer::writes`.
    pub fn rolled_back(&mut self, writes: &str) -> &mut Self {
        let writes = self.writes(writes);
        self.step(Step::Transaction { writes, rolls_back: true })
    }

    /// Writes as words: `a+x` inserts key `x` into `a`, `a=x` puts it.
    ///
    /// # Panics
    /// If a word is neither: scripts are written by hand.
    fn writes(&mut self, words: &str) -> Vec<TransactionWrite> {
        let write = |word: &str| {
            let sign = word.find(['+', '=']).expect("a write is name+key or name=key");
            let (name, key) = (word[..sign].to_owned(), word[sign + 1..].to_owned());
            let put = word[sign..].starts_with('=');
            TransactionWrite { name, key, body: document(&mut self.dice), put }
        };
        words.split_whitespace().map(write).collect()
    }

    /// Seals.
    pub fn seal(&mut self, name: &str) -> &mut Self {
        self.step(Step::Seal { name: name.to_owned() })
    }

    /// Flushes what is in memory.
    pub fn flush(&mut self, name: &str) -> &mut Self {
        self.step(Step::Rotate { name: name.to_owned() }).step(Step::Background)
    }

    /// Changes one setting.
    pub fn configure(&mut self, name: &str, key: &str, value: impl Into<Value>) -> &mut Self {
        let settings = vec![(key.to_owned(), value.into())];
        self.step(Step::Configure { name: name.to_owned(), settings })
    }

    /// Drops a collection.
    pub fn drop_collection(&mut self, name: &str, purge: bool) -> &mut Self {
        self.step(Step::Drop { name: name.to_owned(), purge })
    }
}

/// The key of a series' record: neither in the order of insertion nor in that of the numbers.
pub fn series_key(number: u64) -> String {
    format!("k-{:02x}-{number}", number.wrapping_mul(151) % 251)
}

/// A document of a few bytes to a few hundred, some of it compressible.
pub fn document(dice: &mut Dice) -> Document {
    let words = match dice.below(12) {
        0 => 60,
        1..4 => 20,
        _ => dice.below(8),
    };
    let text: String = (0..words).map(|_| format!("{:x} ", dice.below(1 << 20))).collect();
    doc! { "n": dice.below(1 << 40) as i64, "text": text, "pad": "x".repeat(dice.below(40) as usize) }
}
