//! SQLite in WAL mode, one table without rowid, so that a key leads to its value in one tree.
//!
//! One connection writes, behind a lock: SQLite has one writer at a time, and waiting for a lock is
//! faster than its busy handler. Each reading thread has a connection of its own.

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Engine, Reader, Settings, mib};
use crate::data::{Item, Key};

const INGEST_BATCH: usize = 10_000;
const INSERT: &str = "INSERT INTO bench (key, value) VALUES (?1, ?2)";
const GET: &str = "SELECT value FROM bench WHERE key = ?1";
const SCAN: &str = "SELECT value FROM bench WHERE key >= ?1 ORDER BY key LIMIT ?2";

pub struct Sqlite {
    path: PathBuf,
    writer: Mutex<Connection>,
    cache_bytes: usize,
}

pub fn options(settings: &Settings) -> String {
    format!(
        "journal_mode=WAL, cache_size {} MiB (shared out among readers), WITHOUT ROWID, \
         primary key = duplicate check; durable writes with synchronous=FULL, one connection \
         writes; ingest in transactions of {INGEST_BATCH} with synchronous=NORMAL, then \
         wal_checkpoint(TRUNCATE)",
        mib(settings.memory_bytes)
    )
}

impl Sqlite {
    pub fn open(dir: &Path, settings: &Settings) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join("bench.sqlite");
        let writer = connect(&path, settings.memory_bytes)?;
        writer.execute_batch(
            "CREATE TABLE IF NOT EXISTS bench (key BLOB PRIMARY KEY, value BLOB NOT NULL) \
             WITHOUT ROWID",
        )?;
        let cache_bytes = settings.memory_bytes / settings.readers.max(1);
        Ok(Self { path, writer: Mutex::new(writer), cache_bytes })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(path: &Path, cache_bytes: usize) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // A negative size counts KiB and not pages.
    connection.pragma_update(None, "cache_size", -((cache_bytes >> 10) as i64))?;
    Ok(connection)
}

fn checkpoint(connection: &Connection) -> Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

fn insert(transaction: &Transaction<'_>, item: &Item) -> Result<()> {
    transaction.prepare_cached(INSERT)?.execute(params![&item.key[..], &item.value[..]])?;
    Ok(())
}

impl Engine for Sqlite {
    fn put_durable(&self, item: &Item) -> Result<()> {
        let writer = self.writer();
        writer.prepare_cached(INSERT)?.execute(params![&item.key[..], &item.value[..]])?;
        Ok(())
    }

    fn put_batch_durable(&self, items: &[Item]) -> Result<()> {
        let mut writer = self.writer();
        let transaction = writer.transaction()?;
        for item in items {
            insert(&transaction, item)?;
        }
        Ok(transaction.commit()?)
    }

    fn ingest(&self, items: &mut dyn Iterator<Item = Item>) -> Result<()> {
        let mut writer = self.writer();
        writer.pragma_update(None, "synchronous", "NORMAL")?;
        let mut items = items.peekable();
        while items.peek().is_some() {
            let transaction = writer.transaction()?;
            for item in items.by_ref().take(INGEST_BATCH) {
                insert(&transaction, &item)?;
            }
            transaction.commit()?;
        }
        checkpoint(&writer)?;
        Ok(writer.pragma_update(None, "synchronous", "FULL")?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(SqliteReader(connect(&self.path, self.cache_bytes)?)))
    }

    fn finish(&self) -> Result<()> {
        checkpoint(&self.writer())
    }

    fn close(self: Box<Self>) -> Result<()> {
        let writer = self.writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        writer.close().map_err(|(_, error)| error.into())
    }
}

struct SqliteReader(Connection);

impl Reader for SqliteReader {
    fn get(&mut self, key: &Key, visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let mut statement = self.0.prepare_cached(GET)?;
        let found = statement.query_row([&key[..]], |row| {
            visit(row.get_ref(0)?.as_blob()?);
            Ok(())
        });
        Ok(found.optional()?.is_some())
    }

    fn scan(&mut self, start: &[u8], limit: usize, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.0.prepare_cached(SCAN)?;
        let mut rows = statement.query(params![start, limit])?;
        while let Some(row) = rows.next()? {
            visit(row.get_ref(0)?.as_blob()?);
        }
        Ok(())
    }
}
