//! What transactions cost: eight threads that commit four inserts over two collections at once,
//! beside eight threads of `insert_many` of four, both durable, in interleaved rounds; and the
//! processor time of an uncontended transaction of one insert beside a plain insert, without a disk
//! to wait for.
//!
//! ```console
//! $ cargo run --release --manifest-path tests/benchmarks/Cargo.toml --bin transactions [SECONDS]
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use blockdb::{Db, Document, Durability, Options, doc};

const THREADS: u64 = 8;
const ROUNDS: usize = 3;
const CALLS: u64 = 200_000;

fn document(number: u64) -> Document {
    doc! { "n": number as i64, "pad": "a document as small as those of transfers are in practice" }
}

/// Runs `call` on eight threads for so long; returns how many records it wrote a second.
fn rate(seconds: u64, call: impl Fn(u64, u64) -> blockdb::Result<u64> + Sync) -> Result<f64> {
    let (written, call) = (AtomicU64::new(0), &call);
    let started = Instant::now();
    let until = started + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let written = &written;
                scope.spawn(move || {
                    for round in 0.. {
                        if Instant::now() >= until {
                            break;
                        }
                        written.fetch_add(call(thread, round)?, Ordering::Relaxed);
                    }
                    Ok::<(), blockdb::Error>(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        anyhow::Ok(())
    })?;
    Ok(written.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
}

/// Nanoseconds this thread has been on a processor.
fn thread_ns() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().context("schedstat has fields")?.parse()?)
}

fn key(kind: &str, round: usize, thread: u64, number: u64, at: u64) -> String {
    format!("{kind}{round}-{thread}-{number:08}-{at}")
}

fn main() -> Result<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(4), |word| word.parse())?;
    let folder = tempfile::tempdir_in(".")?;
    let db = Db::open(folder.path().join("durable"))?;
    let names = ["orders", "events"];
    for name in names {
        db.create_collection(name, Default::default())?;
    }
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let many = rate(seconds, |thread, number| {
            let items = (0..4).map(|at| (key("m", round, thread, number, at), document(number)));
            db.collection(names[(number % 2) as usize]).insert_many(items).map(|done| done.inserted)
        })?;
        let transactions = rate(seconds, |thread, number| {
            db.transaction(|tx| {
                for at in 0..4 {
                    let key = key("t", round, thread, number, at);
                    tx.collection(names[(at % 2) as usize]).insert((&*key, document(number)))?;
                }
                Ok(4)
            })
        })?;
        println!(
            "round {round}: insert_many of 4 {many:.0} records/s, transactions of 4 over two \
             collections {transactions:.0} records/s, ratio {:.2}",
            transactions / many
        );
        ratios.push(transactions / many);
    }
    ratios.sort_by(f64::total_cmp);
    println!("8 threads, durable: transactions reach {:.2} of insert_many (aim 0.5)", ratios[1]);
    db.close()?;

    let options = Options::new().durability(Durability::None);
    let db = options.open(folder.path().join("fast"))?;
    let events = db.create_collection("events", Default::default())?;
    let mut extras = Vec::new();
    for round in 0..ROUNDS {
        let begun = thread_ns()?;
        for number in 0..CALLS {
            events.insert((&*key("i", round, 0, number, 0), document(number)))?;
        }
        let plain = (thread_ns()? - begun) as f64 / CALLS as f64 / 1000.0;
        let begun = thread_ns()?;
        for number in 0..CALLS {
            db.transaction(|tx| {
                tx.collection("events").insert((&*key("x", round, 0, number, 0), document(number)))
            })?;
        }
        let transaction = (thread_ns()? - begun) as f64 / CALLS as f64 / 1000.0;
        println!(
            "round {round}: insert {plain:.2} us, transaction of one insert {transaction:.2} us of \
             processor time"
        );
        extras.push(transaction - plain);
    }
    extras.sort_by(f64::total_cmp);
    println!("one thread, no disk: a transaction costs {:.2} us more (aim 2)", extras[1]);
    db.close()?;
    Ok(())
}
