//! kill -9 of the real command at random moments of an import, again and again on one database.
//! Acknowledgements come through a pipe that this process keeps: every acknowledged record is
//! there afterwards, no batch is there by half, the chain verifies, and reopening is quick.
//!
//! `BLOCKDB_KILLS` sets the count (default 200), `BLOCKDB_SEED` the moments, `BLOCKDB_SOAK_SECONDS`
//! goes on for so long.

#![allow(clippy::disallowed_methods)] // This test is a user: real processes, files and clocks.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use blockdb::host::simulated::Dice;
use blockdb::{Options, VerifyOptions};

const BATCH: u64 = 20;
const WRITERS: usize = 2;

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn line(writer: usize, number: u64) -> String {
    format!("{{\"id\":\"w{writer}-{number:08}\",\"n\":{number},\"text\":\"some text to store\"}}\n")
}

/// One importing process: a feeder writes lines, a reader keeps the acknowledgements.
struct Import {
    child: Child,
    acks: mpsc::Receiver<u64>,
    feeder: std::thread::JoinHandle<()>,
    reader: std::thread::JoinHandle<()>,
}

fn import(blockdb: &Path, db: &Path, collection: &str, writer: usize, from: u64) -> Import {
    let mut child = Command::new(blockdb)
        .args(["--db", &db.to_string_lossy(), "--output", "json", "import", collection, "-"])
        .args(["--key-field", "id", "--batch", &BATCH.to_string(), "--acks"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let mut input = child.stdin.take().expect("piped");
    let feeder = std::thread::spawn(move || {
        // Ends when the killed process no longer reads.
        let mut number = from;
        while input.write_all(line(writer, number).as_bytes()).is_ok() && number < from + 2_000_000
        {
            number += 1;
        }
    });
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let (send, acks) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for text in output.lines().map_while(Result::ok) {
            if let Ok(acknowledged) = text.trim().parse::<u64>() {
                let _ = send.send(acknowledged);
            }
        }
    });
    Import { child, acks, feeder, reader }
}

impl Import {
    /// Kills the process and returns the lines acknowledged before.
    fn kill(mut self) -> u64 {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
        self.feeder.join().expect("the feeder ends");
        self.reader.join().expect("the reader ends");
        self.acks.try_iter().max().unwrap_or(0)
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let blockdb = Path::new(env!("CARGO_BIN_EXE_blockdb"));
    let kills = variable("BLOCKDB_KILLS", 200);
    let seconds = std::env::var("BLOCKDB_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let seed = variable("BLOCKDB_SEED", 1);
    println!(
        "repeat: BLOCKDB_SEED={seed} BLOCKDB_KILLS={kills} cargo test -p blockdb-cli --test kill"
    );
    let mut dice = Dice::new(seed);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let begun = Instant::now();
    let (mut acknowledged, mut slowest, mut count) = (0, Duration::ZERO, 0);
    while count < kills || seconds.is_some_and(|s| begun.elapsed() < Duration::from_secs(s)) {
        // One database is killed many times over; now and then a new one begins.
        let db = folder.path().join(format!("db{}", count / 10));
        let mut from = [0; WRITERS];
        if count % 10 != 0 {
            from = check(&db, &[0; WRITERS], &mut slowest);
        }
        // The lock admits one writer: each process imports in its turn, all are killed mid-way.
        let writer = (count % WRITERS as u64) as usize;
        let process = import(blockdb, &db, &format!("c{writer}"), writer, from[writer]);
        std::thread::sleep(Duration::from_micros(5_000 + dice.below(120_000)));
        let acked = process.kill();
        acknowledged += acked;
        if db.join("shard/0/restart").exists() {
            let mut least = from;
            least[writer] += acked;
            check(&db, &least, &mut slowest);
        } else {
            assert_eq!(acked, 0, "records were acknowledged by a database that does not exist");
        }
        count += 1;
    }
    println!(
        "{count} kills, {acknowledged} lines acknowledged, none lost; slowest reopening {slowest:?}"
    );
    assert!(acknowledged > kills, "the processes were killed before they did anything");
    assert!(slowest < Duration::from_secs(1), "reopening took {slowest:?}");
}

/// Reopens for writing, verifies, and returns how many lines of each writer are there: at least
/// `least`, in order without a hole, and only whole batches.
fn check(db: &Path, least: &[u64; WRITERS], slowest: &mut Duration) -> [u64; WRITERS] {
    let begun = Instant::now();
    let opened = Options::new().create(false).open(db).expect("a killed database opens unaided");
    *slowest = (*slowest).max(begun.elapsed());
    let mut found = [0; WRITERS];
    for (writer, found) in found.iter_mut().enumerate() {
        let collection = opened.collection(&format!("c{writer}"));
        let Ok(changes) = collection.changes(None, None) else { continue };
        for record in changes {
            let record = record.expect("a record can be read");
            assert_eq!(record.key, format!("w{writer}-{:08}", *found), "a hole or a stranger");
            *found += 1;
        }
        assert_eq!(collection.count().expect("it can be counted"), *found);
        assert_eq!(*found % BATCH, 0, "a batch is there by half");
        assert!(*found >= least[writer], "acknowledged {}, found {found}", least[writer]);
    }
    let report = opened.verify(&VerifyOptions::default(), &|_, _| {}).expect("verify runs");
    assert!(report.is_clean(), "{:?}", report.faults);
    opened.close().expect("it closes");
    found
}
