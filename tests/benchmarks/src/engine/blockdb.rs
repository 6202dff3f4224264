//! BlockDB through its public Rust interface, with default settings and everything switched on: the
//! duplicate check, SHA-256, the Merkle log, blocks. Loading counts until every record is durable,
//! sealed, in the ledger and in the tiles.

use anyhow::{Context, Result, bail, ensure};
use blockdb::{Collection, CollectionOptions, Db, Document, Options, Value, VerifyOptions, doc};
use std::path::Path;

use super::{Engine, Reader, Settings, mib};
use crate::data::{Item, Key};

const COLLECTION: &str = "bench";
const FIELD: &str = "v";

pub struct Blockdb {
    db: Db,
    bench: Collection,
}

pub fn options(settings: &Settings) -> String {
    format!(
        "memory_mb {}, all else default: durability sync, duplicate check, SHA-256, Merkle log, \
         blocks; a record is a document with one binary field; ingest by insert_many, which syncs \
         every batch of 1,000, then seal, so that the clock stops when all is sealed, in the \
         ledger and in the tiles",
        mib(settings.memory_bytes)
    )
}

fn open(dir: &Path, settings: &Settings) -> Result<Db> {
    Ok(Options::new().memory_mb(mib(settings.memory_bytes) as u64).open(dir)?)
}

impl Blockdb {
    pub fn open(dir: &Path, settings: &Settings) -> Result<Self> {
        let db = open(dir, settings)?;
        let options = CollectionOptions::new().if_not_exists(true);
        let bench = db.create_collection(COLLECTION, options)?;
        Ok(Self { db, bench })
    }
}

/// Opens the folder once more and re-hashes all of it.
pub fn verify(dir: &Path, settings: &Settings) -> Result<()> {
    let db = open(dir, settings)?;
    let report = db.verify(&VerifyOptions::default(), &|_, _| {})?;
    ensure!(report.is_clean(), "verify found faults: {:?}", report.faults);
    Ok(db.close()?)
}

fn record(item: &Item) -> (String, Document) {
    let key = item.key.iter().copied().map(char::from).collect();
    (key, doc! { FIELD: Value::Binary(item.value.to_vec()) })
}

fn text(key: &[u8]) -> Result<&str> {
    std::str::from_utf8(key).context("keys of the benchmark are ASCII")
}

fn visit_field(document: &Document, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
    match document.get(FIELD)? {
        Some(Value::Binary(bytes)) => visit(&bytes),
        other => bail!("the field came back as {other:?}"),
    }
    Ok(())
}

impl Engine for Blockdb {
    fn put_durable(&self, item: &Item) -> Result<()> {
        self.bench.insert(record(item))?;
        Ok(())
    }

    fn put_batch_durable(&self, items: &[Item]) -> Result<()> {
        self.bench.insert_many(items.iter().map(record))?;
        Ok(())
    }

    fn ingest(&self, items: &mut dyn Iterator<Item = Item>) -> Result<()> {
        self.bench.insert_many(items.map(|item| record(&item)))?;
        self.bench.seal()?;
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(BlockdbReader(&self.bench)))
    }

    fn finish(&self) -> Result<()> {
        Ok(self.db.settle()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.db.close()?)
    }
}

struct BlockdbReader<'a>(&'a Collection);

impl Reader for BlockdbReader<'_> {
    fn get(&mut self, key: &Key, visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let Some(record) = self.0.get(text(key)?)? else { return Ok(false) };
        visit_field(&record.document, visit)?;
        Ok(true)
    }

    fn scan(&mut self, start: &[u8], limit: usize, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut scan = match start.is_empty() {
            true => self.0.scan(..),
            false => self.0.scan(text(start)?..),
        };
        if limit < usize::MAX {
            scan = scan.limit(limit as u64);
        }
        for record in scan {
            visit_field(&record?.document, visit)?;
        }
        Ok(())
    }
}
