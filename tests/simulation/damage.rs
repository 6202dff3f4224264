//! One wrong byte in the log of a killed process. Whatever was synced before the last group is never
//! taken for a torn tail: either the byte did not matter, or the opening says `corrupt` and names
//! the file. Of the last group alone the engine may believe that it was never finished.

use std::path::Path;

use blockdb::Code;
use blockdb::host::simulated::Dice;

use super::model::Model;
use super::moments::Moment;
use super::{FOLDER, Machine, oracle};

/// Flips bits of one byte of a log file and judges what opening makes of it.
pub fn flip_in_log(machine: &Machine, moment: &Moment, chance: u64) -> Result<u64, String> {
    let mut dice = Dice::new(chance);
    let disk = moment.disk.process_crash_image();
    let folder = Path::new(FOLDER).join("log");
    let segments: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|path| {
            path.starts_with(&folder) && path.extension().is_some_and(|end| end == "log")
        })
        .collect();
    let Some(path) = segments.get(dice.below(segments.len() as u64) as usize) else { return Ok(0) };
    let bytes = disk.read_file(path);
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
    let offset = match dice.chance(9, 10) {
        true => dice.below(used),
        false => dice.below(bytes.len() as u64),
    };
    let mask = [0x01, 0x80, 0xff][dice.below(3) as usize];
    disk.flip(path, offset, mask);
    let what = format!("{mask:#04x} at byte {offset} of {used} of {}", path.display());
    let machine = machine.with_disk(disk, chance).with_own_clock(chance);

    let db = match machine.open() {
        Ok(db) => db,
        Err(error) => {
            return named(&error, path).map(|()| 1).map_err(|why| format!("{what}: {why}"));
        }
    };
    let whole = without_blocks(&moment.history.visible());
    let shorter = without_blocks(&moment.history.before_last);
    oracle::compare(&db, &whole)
        .or_else(|first| oracle::compare(&db, &shorter).map_err(|_| first))
        .and_then(|()| oracle::verify(&db))
        .map(|()| 1)
        .map_err(|why| format!("{what} went unnoticed: {why}"))
}

/// The error is about damage, or about a version that this one does not know, and names the file.
fn named(error: &blockdb::Error, path: &Path) -> Result<(), String> {
    let told = matches!(error.code(), Code::Corrupt | Code::Unsupported);
    let detail = error.to_string();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match told && detail.contains(name) {
        true => Ok(()),
        false => Err(format!("the error does not name the file: {detail}")),
    }
}

/// With the last group the seal of known blocks may be gone.
fn without_blocks(model: &Model) -> Model {
    let mut model = model.clone();
    let names: Vec<String> = model.collections.keys().cloned().collect();
    for name in names {
        model.collection_mut(&name).blocks.clear();
    }
    model
}
