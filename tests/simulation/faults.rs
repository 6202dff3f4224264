//! Errors instead of crashes: one operation fails, once or for good, or space runs out, or a sync
//! fails and the next one lies. A call may fail then, with a sensible code; readers go on; nothing
//! acknowledged is lost; and nothing that was reported as failed is there by surprise.

use std::io::ErrorKind;

use blockdb::Code;
use blockdb::disk::simulated::{Fault, OpKind};
use blockdb::host::simulated::Dice;

use super::images::Crash;
use super::oracle::{self, Depth};
use super::script::{Script, Step};
use super::session::{Outcome, Session};
use super::{Machine, mixed};

/// Steps tried after the first failure: what follows from it must hold too.
const FAILED_STEPS_MAX: usize = 4;

/// What can go wrong with an operation of that kind. A folder whose sync failed is not taken for
/// clean: file systems that lose a change of a folder stop altogether.
pub fn kinds(op: OpKind) -> Vec<Fault> {
    let mut kinds = vec![Fault::Once(ErrorKind::Other), Fault::ForGood(ErrorKind::Other)];
    match op {
        OpKind::Write => kinds.extend([Fault::ShortWrite, Fault::NoSpace]),
        OpKind::Create | OpKind::CreateDir | OpKind::SetLen => kinds.push(Fault::NoSpace),
        OpKind::SyncData => kinds.push(Fault::SyncErrorThenClean),
        _ => {}
    }
    kinds
}

/// The operations a script makes without any fault; with `reads`, openings, readings and listings
/// are operations as well.
pub fn operations(script: &Script, seed: u64, reads: bool) -> Result<Vec<OpKind>, String> {
    let mut session = session(script, seed);
    session.reads_fail = reads;
    session.machine.disk.record_trace(true);
    session.run(script)?;
    let trace = session.machine.disk.trace();
    let mut kinds = vec![OpKind::Unlink; session.machine.disk.ops() as usize];
    for op in trace {
        if let Some(kind) = kinds.get_mut(op.index as usize) {
            *kind = op.kind;
        }
    }
    Ok(kinds)
}

fn session(script: &Script, seed: u64) -> Session {
    let machine = Machine::new(script.tuning.clone(), script.durability, seed);
    let mut session = Session::new(machine, None);
    session.keep_disk = true;
    session
}

/// Runs `script` with `fault` at operation `at`, then judges `images` crashes of what is left.
/// With `reads`, operations are counted as [`operations`] does then.
pub fn run(
    script: &Script,
    seed: u64,
    (at, fault): (u64, Fault),
    reads: bool,
    images: u64,
) -> Result<u64, String> {
    let mut session = session(script, seed);
    session.reads_fail = reads;
    session.machine.disk.fail_at(at, fault);
    let failed = steps(&mut session, script, fault)?;
    // Reads go on, whatever happened to writing.
    session.machine.disk.count_reads(false);
    session.check_reads().map_err(|what| format!("reading after {failed} failed calls: {what}"))?;
    let (machine, history) = session.abandon();
    for crash in Crash::plan(mixed(seed, at), at, images) {
        let machine =
            machine.with_disk(crash.of(&machine.disk), crash.seed).with_own_clock(crash.seed);
        let depth = if crash.seed.is_multiple_of(4) { Depth::Life } else { Depth::State };
        oracle::judge(&machine, &history, depth)
            .map_err(|what| format!("after {crash}: {what}"))?;
    }
    Ok(images)
}

fn steps(session: &mut Session, script: &Script, fault: Fault) -> Result<usize, String> {
    let mut failed = 0;
    let mut space_is_back = false;
    match session.open() {
        Outcome::Done => {}
        Outcome::Dead(error) if fault == Fault::NoSpace => {
            check_code(&error)?;
            session.machine.disk.clear_faults();
            space_is_back = true;
            if let Outcome::Dead(error) = session.open() {
                return Err(format!("with space again, it does not open: {error}"));
            }
        }
        Outcome::Dead(error) | Outcome::Failed(error) => {
            check_code(&error)?;
            return Ok(1);
        }
    }
    for (index, step) in script.steps.iter().enumerate() {
        let place = |what: String| format!("{what}\n  in step {index}: {step:.200?}");
        match session.perform(step).map_err(place)? {
            Outcome::Done => {}
            Outcome::Failed(error) | Outcome::Dead(error) if space_is_back => {
                return Err(place(format!("with space again, writing does not resume: {error}")));
            }
            Outcome::Failed(error) => {
                check_code(&error).map_err(place)?;
                failed += 1;
                if failed >= FAILED_STEPS_MAX {
                    match fault {
                        Fault::NoSpace => {
                            session.machine.disk.clear_faults();
                            space_is_back = true;
                        }
                        _ => break,
                    }
                }
            }
            Outcome::Dead(error) => {
                check_code(&error).map_err(place)?;
                failed += 1;
                if fault != Fault::NoSpace {
                    break;
                }
                session.machine.disk.clear_faults();
                space_is_back = true;
                if let Outcome::Dead(error) = session.open() {
                    return Err(place(format!("with space again, it does not open: {error}")));
                }
                session.check_all()?;
            }
        }
    }
    Ok(failed)
}

/// A failing disk is not damage and not a defect.
fn check_code(error: &blockdb::Error) -> Result<(), String> {
    match error.code() {
        Code::StorageFailed | Code::StorageFull => Ok(()),
        _ => Err(format!("the disk failed and the code is not storage_failed: {error}")),
    }
}

/// Runs `script` with a sync failing at operation `at`, restarts the process at once on the same
/// machine, whose page cache shows what the disk never got, goes on, and then loses power.
pub fn restart(script: &Script, seed: u64, at: u64, images: u64) -> Result<u64, String> {
    let mut session = session(script, seed);
    session.machine.disk.fail_at(at, Fault::SyncErrorThenClean);
    if let Outcome::Dead(error) = session.open() {
        return Err(format!("a second try to open fails: {error}"));
    }
    let mut left = usize::MAX;
    let mut dice = Dice::new(mixed(seed, at));
    for (index, step) in script.steps.iter().enumerate() {
        let place = |what: String| format!("{what}\n  in step {index}: {step:.200?}");
        match session.perform(step).map_err(place)? {
            Outcome::Done => {}
            Outcome::Dead(error) => return Err(place(format!("it does not open again: {error}"))),
            Outcome::Failed(_) => {
                if let Outcome::Dead(error) = session.perform(&Step::Reopen).map_err(place)? {
                    return Err(place(format!("it does not open again: {error}")));
                }
                left = dice.below(6) as usize + 1;
            }
        }
        left -= 1;
        if left == 0 {
            break;
        }
    }
    let (machine, history) = session.abandon();
    for crash in Crash::plan(mixed(seed, at), at, images) {
        let machine =
            machine.with_disk(crash.of(&machine.disk), crash.seed).with_own_clock(crash.seed);
        oracle::judge(&machine, &history, Depth::State)
            .map_err(|what| format!("after {crash}: {what}"))?;
    }
    Ok(images)
}
