//! Secondary indexes, BlockDB beside SQLite: loading with none and with three indexes, building one
//! on what is there, and two questions by index, both on the same documents in one run.
//!
//! ```console
//! $ cargo run --release --manifest-path tests/benchmarks/Cargo.toml --bin indexes [RECORDS]
//! ```

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use blockdb::{Collection, CollectionOptions, Db, Document, IndexOptions, doc};
use rusqlite::{Connection, params};

const USERS: u64 = 10_000;
const QUESTIONS: u64 = 2_000;
const PAD: &str = "some words that make the document as long as documents are in practice, about two \
                   hundred bytes and a few more, none of which is indexed";

fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn fields(number: u64) -> (String, String, i64, i64) {
    let user = format!("u{:05}", scattered(number) % USERS);
    let state = ["new", "paid", "sent", "done"][(scattered(number) % 4) as usize];
    (user, state.to_owned(), (scattered(number) % 1_000_000) as i64, number as i64)
}

fn document(number: u64) -> Document {
    let (user, state, cents, order) = fields(number);
    doc! { "user": user, "state": state, "cents": cents, "order": order, "pad": PAD }
}

const INDEXES: [(&str, &[&str]); 3] =
    [("by_user", &["user"]), ("by_state", &["state", "cents"]), ("by_order", &["order"])];

fn load(db: &Db, name: &str, records: u64, indexes: bool) -> Result<(Collection, f64)> {
    let collection = db.create_collection(name, CollectionOptions::new())?;
    for (index, fields) in INDEXES.iter().filter(|_| indexes) {
        collection.create_index(index, fields, IndexOptions::default())?;
    }
    let started = Instant::now();
    let items = (0..records).map(|number| (format!("{number:016x}"), document(number)));
    collection.insert_many(items)?;
    db.settle()?;
    Ok((collection, started.elapsed().as_secs_f64()))
}

fn load_sqlite(path: &std::path::Path, records: u64, indexes: bool) -> Result<(Connection, f64)> {
    let mut sqlite = Connection::open(path)?;
    sqlite.pragma_update(None, "journal_mode", "WAL")?;
    sqlite.pragma_update(None, "synchronous", "FULL")?;
    sqlite.pragma_update(None, "cache_size", -(256 << 10))?;
    sqlite.execute_batch(
        "CREATE TABLE t (key TEXT PRIMARY KEY, user TEXT, state TEXT, cents INTEGER, ord INTEGER, \
         pad TEXT)",
    )?;
    if indexes {
        sqlite.execute_batch(
            "CREATE INDEX by_user ON t(user); CREATE INDEX by_state ON t(state, cents); \
             CREATE INDEX by_order ON t(ord)",
        )?;
    }
    let started = Instant::now();
    let mut number = 0;
    while number < records {
        let transaction = sqlite.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            for _ in 0..1000.min(records - number) {
                let (user, state, cents, order) = fields(number);
                insert.execute(params![format!("{number:016x}"), user, state, cents, order, PAD])?;
                number += 1;
            }
        }
        transaction.commit()?;
    }
    sqlite.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok((sqlite, started.elapsed().as_secs_f64()))
}

/// Mean microseconds of a question, asked again and again for different users.
fn ask(mut question: impl FnMut(&str) -> Result<usize>) -> Result<f64> {
    let user = |number: u64| format!("u{:05}", scattered(number) % USERS);
    for number in 0..QUESTIONS / 10 {
        question(&user(number))?;
    }
    let started = Instant::now();
    let mut found = 0;
    for number in 0..QUESTIONS {
        found += question(&user(number))?;
    }
    ensure!(found > 0, "nothing was found");
    Ok(started.elapsed().as_secs_f64() * 1e6 / QUESTIONS as f64)
}

fn main() -> Result<()> {
    let records = match std::env::args().nth(1) {
        Some(word) => word.parse().context("the number of records")?,
        None => 1_000_000,
    };
    let folder = tempfile::tempdir_in(std::env::current_exe()?.parent().context("a folder")?)?;
    let db = Db::open(folder.path().join("blockdb"))?;
    let (plain, plain_seconds) = load(&db, "plain", records, false)?;
    let (indexed, indexed_seconds) = load(&db, "indexed", records, true)?;
    let (_, sqlite_plain) = load_sqlite(&folder.path().join("plain.sqlite"), records, false)?;
    let (sqlite, sqlite_indexed) =
        load_sqlite(&folder.path().join("indexed.sqlite"), records, true)?;
    let started = Instant::now();
    plain.create_index("by_user", &["user"], IndexOptions::default())?;
    let build_seconds = started.elapsed().as_secs_f64();

    let all = ask(|user| Ok(indexed.find(doc! { "user": user })?.all()?.len()))?;
    let newest = ask(|user| {
        Ok(indexed.find(doc! { "user": user })?.sort("-$seq")?.limit(50).all()?.len())
    })?;
    let explain = indexed.find(doc! { "user": "u00042" })?.sort("-$seq")?.limit(50).explain()?;
    let mut statement =
        sqlite.prepare("SELECT key, state, cents, ord, pad FROM t WHERE user = ?1")?;
    let sqlite_all = ask(|user| {
        let rows = statement.query_map([user], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(4)?))
        })?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?.len())
    })?;

    let rate = |seconds: f64| format!("{:.0}", records as f64 / seconds);
    println!("| {records} records | BlockDB | SQLite |\n|---|---|---|");
    println!(
        "| loaded plain, records/s | {} | {} |",
        rate(plain_seconds),
        rate(sqlite_plain)
    );
    println!(
        "| loaded with three indexes, records/s | {} | {} |",
        rate(indexed_seconds),
        rate(sqlite_indexed)
    );
    println!("| share of the plain rate | {:.2} | {:.2} |", plain_seconds / indexed_seconds,
        sqlite_plain / sqlite_indexed);
    println!("| one index built on all, s | {build_seconds:.2} | |");
    println!("| all of one user (~{}), us | {all:.0} | {sqlite_all:.0} |", records / USERS);
    println!("| newest 50 of one user, us | {newest:.0} | |");
    println!(
        "\nThe newest 50 of one user read {} entries of {:?} and {} records.",
        explain.entries_read, explain.index, explain.records_read
    );
    let report = db.verify(&Default::default(), &|_, _| {})?;
    ensure!(report.is_clean(), "{:?}", report.faults);
    db.close()?;
    Ok(())
}
