//! What the machine says about a run: bytes written, memory, space on disk, and how fast its disk
//! makes a write durable. Linux only, as the figures come from /proc.

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

const SYNCS: usize = 200;
/// st_blocks counts in these, whatever the block size of the file system (stat(2)).
const STAT_BLOCK_BYTES: u64 = 512;

/// Bytes this process has caused to be written to storage, background threads included.
pub fn written_bytes() -> Result<u64> {
    field("/proc/self/io", "write_bytes:")
}

/// The most memory this process has ever held.
pub fn memory_peak_bytes() -> Result<u64> {
    Ok(field("/proc/self/status", "VmHWM:")? * 1024)
}

fn field(file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| file.to_owned())?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    let number = rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("{file} has no {name}"))
}

/// Space that a folder takes on disk.
pub fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += match metadata.is_dir() {
            true => disk_bytes(&entry.path())?,
            false => metadata.blocks() * STAT_BLOCK_BYTES,
        };
    }
    Ok(total)
}

/// The machine, for the head of a report. It names no host and no path.
#[derive(serde::Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    pub file_system: String,
    /// The middle and the 99th percentile of appending 4 KiB and fdatasync.
    pub sync_us_p50: f64,
    pub sync_us_p99: f64,
}

impl Machine {
    /// Looks at this machine, with the file system that holds `dir`.
    pub fn measure(dir: &Path) -> Result<Self> {
        let processors = fs::read_to_string("/proc/cpuinfo")?;
        let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
        let syncs = sync_latencies(dir)?;
        Ok(Self {
            processor: model.unwrap_or("unknown").trim_start_matches([' ', '\t', ':']).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: field("/proc/meminfo", "MemTotal:")? as f64 / f64::from(1 << 20),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system: file_system(dir)?,
            sync_us_p50: percentile_us(&syncs, 50),
            sync_us_p99: percentile_us(&syncs, 99),
        })
    }
}

/// The type of the file system at `dir`: of the mount with the longest path above it.
fn file_system(dir: &Path) -> Result<String> {
    let dir = dir.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut above: Vec<(usize, &str)> = Vec::new();
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        if let (Some(point), Some(kind)) = (words.next(), words.next())
            && dir.starts_with(point)
        {
            above.push((point.len(), kind));
        }
    }
    Ok(above.iter().max_by_key(|(len, _)| *len).map_or("unknown", |(_, kind)| kind).to_owned())
}

fn sync_latencies(dir: &Path) -> Result<Vec<u32>> {
    let path = dir.join("sync-latency");
    let mut file = File::create(&path)?;
    let mut latencies = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        latencies.push(nanos(started.elapsed()));
    }
    fs::remove_file(&path)?;
    latencies.sort_unstable();
    Ok(latencies)
}

/// A latency in the size it is kept; four seconds and more are all the same.
pub fn nanos(took: Duration) -> u32 {
    u32::try_from(took.as_nanos()).unwrap_or(u32::MAX)
}

/// Of sorted latencies, in microseconds.
pub fn percentile_us(sorted: &[u32], percent: usize) -> f64 {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).map_or(0.0, |nanos| f64::from(*nanos) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_latencies_stay_inside() {
        assert_eq!(percentile_us(&[], 50), 0.0);
        assert_eq!(percentile_us(&[2_000], 99), 2.0);
        assert_eq!(percentile_us(&[1_000, 2_000, 3_000, 4_000], 50), 3.0);
    }

    #[test]
    fn written_files_take_space_and_count_as_written() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("inner")).unwrap();
        let mut file = File::create(dir.path().join("inner/file")).unwrap();
        file.write_all(&vec![1; 100_000]).unwrap();
        file.sync_all().unwrap();
        assert!(disk_bytes(dir.path()).unwrap() >= 100_000);
        assert!(memory_peak_bytes().unwrap() > 0);
        assert!(Machine::measure(dir.path()).unwrap().sync_us_p50 > 0.0);
    }
}
