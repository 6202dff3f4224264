//! The workloads, and how one of them is run on one engine: in a process of its own, so that memory
//! and bytes written belong to that run alone. Checks of what was read happen off the clock.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::data::{self, Item, Numbers, Order, checksum};
use crate::engine::{Engine, Kind, Settings};
use crate::measure;

/// Hot reads go to this share of all records, the newest.
const HOT_PERCENT: u64 = 10;
const SCAN_RECORDS: usize = 100;
/// How many records a database holds that is killed, and opened again on the clock.
const KILLED_PERCENT: u64 = 10;
const PREPARE_BATCH: u64 = 1_000;

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// One writer, every record durable before the next
    #[value(name = "write-1")]
    Write1,
    /// Eight writers, every record durable before its writer's next
    #[value(name = "write-8")]
    Write8,
    /// One writer, durable batches of 100
    #[value(name = "batch-100")]
    Batch100,
    /// One writer, durable batches of 1,000
    #[value(name = "batch-1000")]
    Batch1000,
    /// All records loaded, keys growing
    IngestTime,
    /// All records loaded, keys scattered
    IngestRandom,
    /// Point reads of the newest tenth, one thread
    #[value(name = "get-1")]
    Get1,
    /// Point reads of the newest tenth, two threads
    #[value(name = "get-2")]
    Get2,
    /// Point reads of all records, one thread
    GetAny,
    /// Every record in the order of keys, again and again
    ScanAll,
    /// 100 records from a random key on
    #[value(name = "scan-100")]
    Scan100,
    /// Opening a database that was closed, and one read
    Reopen,
    /// Opening a database whose process was killed, and one read
    ReopenKilled,
}

/// What has to be in the folder before a workload starts.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    Empty,
    /// All records, loaded, finished and closed; workloads leave it as it was.
    Loaded,
    /// A tenth of the records in durable batches, then SIGKILL.
    Killed,
}

impl Workload {
    pub fn start(self) -> Start {
        match self {
            Self::Get1 | Self::Get2 | Self::GetAny | Self::ScanAll | Self::Scan100 => Start::Loaded,
            Self::Reopen => Start::Loaded,
            Self::ReopenKilled => Start::Killed,
            _ => Start::Empty,
        }
    }

    pub fn readers(self) -> usize {
        if self == Self::Get2 { 2 } else { 1 }
    }

    /// Whether the figure is a time to keep small, and not a rate to make large.
    pub fn is_time(self) -> bool {
        matches!(self, Self::Reopen | Self::ReopenKilled)
    }
}

/// One run: which workload on which engine, and how much of it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Run {
    pub engine: Kind,
    pub workload: Workload,
    pub dir: PathBuf,
    pub records: u64,
    /// How long a workload goes on that is not over by itself.
    pub seconds: f64,
    pub settings: Settings,
}

/// What came of it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Measured {
    /// Records written or read, or 1 for opening.
    pub records: u64,
    pub seconds: f64,
    /// What the engine still had to do after the clock had stopped.
    pub background_seconds: f64,
    /// Of single durable calls, where a workload consists of them.
    pub latency_us: Option<Latency>,
    pub disk_bytes: u64,
    pub written_bytes: u64,
    pub memory_peak_bytes: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
}

/// What a workload counts while the clock runs.
#[derive(Default)]
struct Tally {
    records: u64,
    seconds: f64,
    latencies: Vec<u32>,
}

impl Run {
    /// Runs the workload in this process. The database is closed, measured and verified afterwards.
    pub fn measure(&self) -> Result<Measured> {
        let opening = Instant::now();
        let engine = self.engine.open(&self.dir, &self.settings)?;
        let tally = self.work(&*engine, opening)?;
        let stopped = Instant::now();
        if self.workload.start() == Start::Empty {
            engine.finish()?;
        }
        let background_seconds = stopped.elapsed().as_secs_f64();
        engine.close()?;
        self.measured(tally, background_seconds)
    }

    fn measured(&self, mut tally: Tally, background_seconds: f64) -> Result<Measured> {
        tally.latencies.sort_unstable();
        let percentile = |percent| measure::percentile_us(&tally.latencies, percent);
        let latency = Latency { p50: percentile(50), p99: percentile(99) };
        let measured = Measured {
            records: tally.records,
            seconds: tally.seconds,
            background_seconds,
            latency_us: (!tally.latencies.is_empty()).then_some(latency),
            disk_bytes: measure::disk_bytes(&self.dir)?,
            written_bytes: measure::written_bytes()?,
            memory_peak_bytes: measure::memory_peak_bytes()?,
        };
        self.engine.verify(&self.dir, &self.settings)?;
        Ok(measured)
    }

    fn work(&self, engine: &dyn Engine, opening: Instant) -> Result<Tally> {
        match self.workload {
            Workload::Write1 => self.write(engine, 1),
            Workload::Write8 => self.write(engine, 8),
            Workload::Batch100 => self.write_batches(engine, 100),
            Workload::Batch1000 => self.write_batches(engine, 1_000),
            Workload::IngestTime => self.ingest(engine, Order::Time),
            Workload::IngestRandom => self.ingest(engine, Order::Random),
            Workload::Get1 => self.get(engine, 1, self.records * HOT_PERCENT / 100),
            Workload::Get2 => self.get(engine, 2, self.records * HOT_PERCENT / 100),
            Workload::GetAny => self.get(engine, 1, self.records),
            Workload::ScanAll => self.scan_all(engine),
            Workload::Scan100 => self.scan_ranges(engine),
            Workload::Reopen | Workload::ReopenKilled => self.reopen(engine, opening),
        }
    }

    fn over(&self, started: Instant) -> bool {
        started.elapsed().as_secs_f64() >= self.seconds
    }

    fn write(&self, engine: &dyn Engine, threads: usize) -> Result<Tally> {
        let next = AtomicU64::new(0);
        let started = Instant::now();
        let latencies = in_threads(threads, || {
            let mut latencies = Vec::new();
            while !self.over(started) {
                let item = data::item(Order::Time, next.fetch_add(1, Ordering::Relaxed));
                let called = Instant::now();
                engine.put_durable(&item)?;
                latencies.push(measure::nanos(called.elapsed()));
            }
            Ok(latencies)
        })?
        .concat();
        let records = latencies.len() as u64;
        Ok(Tally { records, seconds: started.elapsed().as_secs_f64(), latencies })
    }

    fn write_batches(&self, engine: &dyn Engine, size: u64) -> Result<Tally> {
        let mut tally = Tally::default();
        let started = Instant::now();
        while !self.over(started) {
            let batch = batch(tally.records, size);
            let called = Instant::now();
            engine.put_batch_durable(&batch)?;
            tally.latencies.push(measure::nanos(called.elapsed()));
            tally.records += size;
        }
        tally.seconds = started.elapsed().as_secs_f64();
        Ok(tally)
    }

    fn ingest(&self, engine: &dyn Engine, order: Order) -> Result<Tally> {
        let started = Instant::now();
        engine.ingest(&mut (0..self.records).map(|index| data::item(order, index)))?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Tally { records: self.records, seconds, ..Tally::default() })
    }

    /// Point reads of random records among the newest `hot`, each of which is read once before the
    /// clock starts.
    fn get(&self, engine: &dyn Engine, threads: usize, hot: u64) -> Result<Tally> {
        let first = self.records - hot;
        let mut reader = engine.reader()?;
        reader.scan(&data::key(Order::Time, first), usize::MAX, &mut |value| {
            std::hint::black_box(checksum(value));
        })?;
        for index in Numbers::new(0, hot).take(hot as usize) {
            let found = reader.get(&data::key(Order::Time, first + index), &mut |_| ())?;
            ensure!(found, "record {} is missing", first + index);
        }
        drop(reader);

        let seed = AtomicU64::new(1);
        let started = Instant::now();
        let counts = in_threads(threads, || {
            let seed = seed.fetch_add(1, Ordering::Relaxed);
            let mut reader = engine.reader()?;
            let (mut reads, mut sum) = (0_u64, 0_u64);
            for index in Numbers::new(seed, hot) {
                let key = data::key(Order::Time, first + index);
                let visit = &mut |value: &[u8]| sum = sum.wrapping_add(checksum(value));
                ensure!(reader.get(&key, visit)?, "record {} is missing", first + index);
                reads += 1;
                if reads.is_multiple_of(64) && self.over(started) {
                    break;
                }
            }
            Ok((seed, reads, sum))
        })?;
        let seconds = started.elapsed().as_secs_f64();
        for (seed, reads, sum) in &counts {
            let indexes = Numbers::new(*seed, hot).take(*reads as usize);
            ensure!(*sum == expected(indexes.map(|index| first + index)), "wrong values were read");
        }
        let records = counts.iter().map(|(_, reads, _)| reads).sum();
        Ok(Tally { records, seconds, ..Tally::default() })
    }

    fn scan_all(&self, engine: &dyn Engine) -> Result<Tally> {
        let expected = (self.records, expected(0..self.records));
        let mut reader = engine.reader()?;
        let mut pass = || -> Result<()> {
            let (mut records, mut sum) = (0_u64, 0_u64);
            reader.scan(b"", usize::MAX, &mut |value| {
                records += 1;
                sum = sum.wrapping_add(checksum(value));
            })?;
            ensure!(
                (records, sum) == expected,
                "the scan read {records} records, not all or wrong"
            );
            Ok(())
        };
        pass()?;
        let mut tally = Tally::default();
        let started = Instant::now();
        while tally.records == 0 || !self.over(started) {
            pass()?;
            tally.records += self.records;
        }
        tally.seconds = started.elapsed().as_secs_f64();
        Ok(tally)
    }

    fn scan_ranges(&self, engine: &dyn Engine) -> Result<Tally> {
        let starts = self.records.saturating_sub(SCAN_RECORDS as u64) + 1;
        let mut reader = engine.reader()?;
        reader.scan(b"", usize::MAX, &mut |_| ())?;
        let (mut scans, mut records, mut sum) = (0_usize, 0_u64, 0_u64);
        let started = Instant::now();
        for index in Numbers::new(1, starts) {
            reader.scan(&data::key(Order::Time, index), SCAN_RECORDS, &mut |value| {
                records += 1;
                sum = sum.wrapping_add(checksum(value));
            })?;
            scans += 1;
            if self.over(started) {
                break;
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        let ranges = Numbers::new(1, starts).take(scans);
        let read = ranges.flat_map(|first| first..self.records.min(first + SCAN_RECORDS as u64));
        ensure!(sum == expected(read), "wrong values were read");
        Ok(Tally { records, seconds, ..Tally::default() })
    }

    /// Ends what began with opening the engine: the first answer tells that it is ready.
    fn reopen(&self, engine: &dyn Engine, opening: Instant) -> Result<Tally> {
        let mut sum = 0;
        let key = data::key(Order::Time, 0);
        let found = engine.reader()?.get(&key, &mut |value| sum = checksum(value))?;
        let seconds = opening.elapsed().as_secs_f64();
        ensure!(found && sum == checksum(&data::value(0)), "the first record is gone");
        if self.workload == Workload::ReopenKilled {
            let last = self.killed_records() - 1;
            let found = engine.reader()?.get(&data::key(Order::Time, last), &mut |_| ())?;
            ensure!(found, "a durable record was lost when the process was killed");
        }
        Ok(Tally { records: 1, seconds, ..Tally::default() })
    }

    fn killed_records(&self) -> u64 {
        (self.records * KILLED_PERCENT / 100).next_multiple_of(PREPARE_BATCH)
    }

    /// Makes what the workload starts from. After `Start::Killed` the engine is still open: the
    /// process is expected to be killed by whoever reads the line it prints.
    pub fn prepare(&self) -> Result<()> {
        let engine = self.engine.open(&self.dir, &self.settings)?;
        match self.workload.start() {
            Start::Empty => {}
            Start::Loaded => {
                self.ingest(&*engine, Order::Time)?;
                engine.finish()?;
            }
            Start::Killed => {
                for first in (0..self.killed_records()).step_by(PREPARE_BATCH as usize) {
                    engine.put_batch_durable(&batch(first, PREPARE_BATCH))?;
                }
                println!("{READY}");
                std::thread::sleep(Duration::from_secs(60));
            }
        }
        engine.close()
    }
}

/// What a process prints when it may be killed.
pub const READY: &str = "ready to be killed";

fn batch(first: u64, size: u64) -> Vec<Item> {
    (first..first + size).map(|index| data::item(Order::Time, index)).collect()
}

fn expected(indexes: impl Iterator<Item = u64>) -> u64 {
    indexes.fold(0, |sum, index| sum.wrapping_add(checksum(&data::value(index))))
}

/// Runs the same work in some threads at once; the first error ends in an error.
fn in_threads<T: Send>(threads: usize, work: impl Fn() -> Result<T> + Sync) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().ok().context("a thread of the benchmark panicked")?)
            .collect()
    })
}

/// Removes a folder, if it is there.
pub fn clear(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
