//! Power loss before every operation, on the simulated disk: what was acknowledged is found, in
//! order and without a hole, and the log goes on; also when the power goes again while it is
//! opened, and after faults of the disk. What was refused never comes back.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use parking_lot::Mutex;

use super::*;
use crate::disk::simulated::{CrashMode, Fault, SimDisk};

fn replay_disk(
    disk: &SimDisk,
    known_end: Option<Position>,
    from: u64,
) -> Result<(Recovered, Vec<u64>)> {
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let mut frames = Vec::new();
    let recovered = crate::log::replay(&vfs, dir(), DATABASE, known_end, from, &mut |frame| {
        assert_eq!(frame.payload, payload(frame.index));
        frames.push(frame.index);
        Ok(())
    })?;
    Ok((recovered, frames))
}

fn open_disk(disk: &SimDisk, recovered: &Recovered) -> Result<LogWriter> {
    LogWriter::open(Arc::new(disk.clone()), dir(), options(4096), Some(recovered))
}

/// What the outside knows at any moment.
#[derive(Default)]
struct Truth {
    acked: AtomicU64,
    appended: AtomicU64,
    /// The oldest segment still needed.
    from: AtomicU64,
    /// Where the log stood when it was last retired: its place, and the next index.
    known: Mutex<Option<Position>>,
    base: AtomicU64,
}

impl Truth {
    /// The index after the last frame found; nothing found means that all of it was retired.
    fn next(&self, frames: &[u64]) -> u64 {
        frames.last().map_or(self.base.load(SeqCst), |last| last + 1)
    }

    fn copy(&self) -> Truth {
        let copy = |number: &AtomicU64| AtomicU64::new(number.load(SeqCst));
        Truth {
            acked: copy(&self.acked),
            appended: copy(&self.appended),
            from: copy(&self.from),
            known: Mutex::new(*self.known.lock()),
            base: copy(&self.base),
        }
    }
}

fn check_image(image: &SimDisk, truth: &Truth, label: &str) -> (Recovered, Vec<u64>) {
    let known = *truth.known.lock();
    let (recovered, frames) = replay_disk(image, known, truth.from.load(SeqCst))
        .unwrap_or_else(|error| panic!("{label}: {error}"));
    let next = truth.next(&frames);
    assert!(frames.is_sorted_by(|a, b| a + 1 == *b), "{label}: {frames:?}");
    let (acked, appended) = (truth.acked.load(SeqCst), truth.appended.load(SeqCst));
    assert!(acked <= next, "{label}: {next} of {acked}");
    assert!(next <= appended, "{label}: {next} of {appended}");
    (recovered, frames)
}

fn check_recovery(image: &SimDisk, truth: &Truth, label: &str, deep: bool) {
    let (recovered, frames) = check_image(image, truth, label);
    let next = truth.next(&frames);
    if deep {
        // The power goes again at each step of the opening.
        let seeds = AtomicU64::new(0);
        let twice = image.process_crash_image();
        let (seen, name) = (truth.copy(), label.to_owned());
        twice.observe(Some(Arc::new(move |disk, op| {
            for mode in CrashMode::HONEST {
                let seed = seeds.fetch_add(1, SeqCst);
                let image = disk.crash_image(mode, seed);
                check_recovery(&image, &seen, &format!("{name} / {mode:?} {seed} {op:?}"), false);
            }
            let killed = disk.process_crash_image();
            check_recovery(&killed, &seen, &format!("{name} / killed at {op:?}"), false);
        })));
        open_disk(&twice, &recovered).unwrap();
        twice.observe(None);
    }
    let mut log = open_disk(image, &recovered).unwrap_or_else(|e| panic!("{label}: {e}"));
    for index in next..next + 3 {
        log.append(&meta(index), &payload(index)).unwrap();
        log.write().unwrap();
    }
    log.sync().unwrap();
    let lost = image.crash_image(CrashMode::M3, 1);
    let (_, frames) = replay_disk(&lost, None, truth.from.load(SeqCst)).unwrap();
    assert_eq!(frames.last(), Some(&(next + 2)), "{label}");
    log.close().unwrap();
    let (recovered, frames) = replay_disk(image, None, truth.from.load(SeqCst)).unwrap();
    assert!(recovered.clean && frames.last() == Some(&(next + 2)), "{label}");
}

fn workload(seed: u64, fault: Option<(u64, Fault)>, images: u64) -> u64 {
    let disk = SimDisk::new();
    disk.write_file("db/x", b"");
    let truth = Arc::new(Truth::default());
    let count = Arc::new(AtomicU64::new(0));
    let (seen, counter) = (truth.clone(), count.clone());
    disk.observe(Some(Arc::new(move |disk, op| {
        for mode in CrashMode::HONEST {
            for image_seed in 0..images {
                let n = counter.fetch_add(1, SeqCst);
                let image = disk.crash_image(mode, seed * 1_000_003 + n + image_seed);
                let label = format!("workload {seed} {fault:?} {mode:?} {n} before {op:?}");
                check_recovery(&image, &seen, &label, n % 61 == 0);
            }
        }
        check_recovery(&disk.process_crash_image(), &seen, &format!("killed {op:?}"), false);
    })));
    if let Some((at, fault)) = fault {
        disk.fail_at(at, fault);
    }
    let mut dice = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut roll = |below: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % below
    };
    let mut next = 0;
    let mut log: Option<LogWriter> = None;
    for step in 0..70 {
        let Some(writer) = &mut log else {
            let known = *truth.known.lock();
            let (recovered, frames) = replay_disk(&disk, known, truth.from.load(SeqCst)).unwrap();
            next = truth.next(&frames);
            log = open_disk(&disk, &recovered).ok();
            if log.is_none() {
                disk.clear_faults();
            } else {
                truth.acked.store(next, SeqCst);
                truth.appended.store(next, SeqCst);
            }
            continue;
        };
        let result = match roll(20) {
            0 => {
                let log = log.take().unwrap();
                let _ = log.close();
                continue;
            }
            1 => {
                log = None;
                continue;
            }
            2..=4 => {
                let known = writer.synced_end();
                let current = writer.current_generation();
                *truth.known.lock() = Some(known);
                truth.base.store(next, SeqCst);
                let before = current.saturating_sub(1).max(1).max(truth.from.load(SeqCst));
                truth.from.store(before, SeqCst);
                writer.retire(before)
            }
            _ => {
                let frames = 1 + roll(if step % 9 == 0 { 40 } else { 9 });
                let was = next;
                for index in next..next + frames {
                    writer.append(&meta(index), &payload(index)).unwrap();
                }
                truth.appended.store(next + frames, SeqCst);
                let wrote = writer.write();
                match wrote {
                    Ok(()) => {
                        next += frames;
                        if roll(4) > 0 {
                            writer.sync().inspect(|()| {
                                truth.acked.store(next, SeqCst);
                            })
                        } else if roll(2) == 0 {
                            let handle = writer.sync_handle();
                            handle.sync().map(|end| {
                                writer.note_synced(end);
                                truth.acked.store(next, SeqCst);
                            })
                        } else {
                            Ok(())
                        }
                    }
                    Err(error) => {
                        next = was;
                        if !writer.poisoned() {
                            truth.appended.store(was, SeqCst);
                        }
                        Err(error)
                    }
                }
            }
        };
        if let Err(error) = result {
            if log.as_ref().unwrap().poisoned() {
                // A fault like this ends the process, not the system: the cache lives on.
                check_recovery(&disk.process_crash_image(), &truth, "poisoned", true);
                disk.clear_faults();
                log = None;
                continue;
            }
            assert!(matches!(error.code(), Code::StorageFull | Code::StorageFailed), "{error}");
            disk.clear_faults();
        }
    }
    count.load(SeqCst)
}

/// How many workloads each test runs: more by command, in the variable SEEDS.
fn seeds(usual: u64) -> std::ops::RangeInclusive<u64> {
    1..=std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

#[test]
fn power_loss_before_any_operation_loses_nothing_acknowledged() {
    let images: u64 = seeds(2).map(|seed| workload(seed, None, 2)).sum();
    assert!(images > 2000, "{images}");
}

#[test]
fn faults_and_then_power_loss_lose_nothing_acknowledged() {
    let faults = [
        Fault::NoSpace,
        Fault::ShortWrite,
        Fault::SyncErrorThenClean,
        Fault::Once(std::io::ErrorKind::Other),
        Fault::Once(std::io::ErrorKind::StorageFull),
    ];
    for seed in seeds(2) {
        for (number, fault) in faults.into_iter().enumerate() {
            let at = 10 + seed * 7 + number as u64;
            assert!(workload(1000 + seed, Some((at, fault)), 1) > 100);
        }
    }
}
