//! A database on a simulated disk: everything it touches follows from one seed.
//!
//! ```text
//!   Script ──steps──▶ Session ──calls──▶ Db on SimDisk ──before every operation──▶ Moment
//!                        │                                                           │
//!                        └── History: what was acknowledged, what is in doubt ───────┤
//!                                                                                    ▼
//!                     oracle: open what a crash left at that moment, compare with the History
//! ```
//!
//! A [`Session`](session::Session) carries out steps, one after the other and on one thread, and keeps
//! beside the engine a plain [`Model`](model::Model) of what must be there. A
//! [`Moment`](moments::Moment) is the disk as it was before one operation, with the history of that
//! instant; any number of crash images can be made of it. The [`oracle`] is the only judge: A ⊆ R
//! ⊆ A ∪ U, R a prefix of the commit order, every batch and every transaction whole, the chain
//! verified, no known header changed, and a second opening that changes no byte.

pub mod campaign;
pub mod damage;
pub mod faults;
pub mod history;
pub mod images;
pub mod model;
pub mod moments;
pub mod oracle;
pub mod replica;
pub mod script;
pub mod scripts;
pub mod session;
pub mod transfers;
pub mod walk;

use std::path::Path;
use std::sync::Arc;

use blockdb::disk::simulated::SimDisk;
use blockdb::host::simulated::{Dice, SimClock};
use blockdb::host::{Clock, Host};
use blockdb::{Db, Durability, Options, Result, Tuning};

/// Where every simulated database lies.
pub const FOLDER: &str = "/db";

/// 2026-01-01 in microseconds since the epoch: where simulated clocks begin.
const START_US: i64 = 1_767_225_600_000_000;

/// The surroundings of one simulated process.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its disk.
    pub disk: SimDisk,
    /// Its clock, which the session moves.
    pub clock: SimClock,
    /// Sizes.
    pub tuning: Tuning,
    /// When an acknowledged write is on disk.
    pub durability: Durability,
    /// What salts and ids follow from; another one for each opening.
    pub seed: u64,
}

impl Machine {
    /// A machine with an empty disk.
    pub fn new(tuning: Tuning, durability: Durability, seed: u64) -> Self {
        let (disk, clock) = (SimDisk::new(), SimClock::new(START_US));
        Machine { disk, clock, tuning, durability, seed }
    }

    /// The same machine with another disk in it, and salts of its own.
    pub fn with_disk(&self, disk: SimDisk, salt: u64) -> Self {
        Machine { disk, seed: mixed(self.seed, salt), ..self.clone() }
    }

    /// The same machine with a clock that nobody else moves, and that may have jumped.
    pub fn with_own_clock(&self, chance: u64) -> Self {
        let jumps_us = [0, -3_600_000_000, 60_000_000, 315_360_000_000_000];
        let jump_us = jumps_us[(chance % 4) as usize];
        Machine { clock: SimClock::new(self.clock.wall_us() + jump_us), ..self.clone() }
    }

    /// How this machine opens its database.
    pub fn options(&self) -> Options {
        let host = Host::simulated(Arc::new(self.disk.clone()), self.clock.clone(), self.seed);
        Options::new().host(host).tuning(self.tuning.clone()).durability(self.durability)
    }

    /// Opens the database for writing, making it if it is missing.
    pub fn open(&self) -> Result<Db> {
        self.options().open(Path::new(FOLDER))
    }

    /// Opens the database for reading alone.
    pub fn open_read_only(&self) -> Result<Db> {
        self.options().read_only(true).open(Path::new(FOLDER))
    }

    /// Every file with its bytes, the lock left out: it is held while open and empty otherwise.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let paths = self.disk.files().into_iter().filter(|path| !path.ends_with("LOCK"));
        paths.map(|path| (path.display().to_string(), self.disk.read_file(path))).collect()
    }
}

/// Sizes so small that everything happens within a few hundred records: log segments of 8 KiB,
/// ledger segments of 4 KiB, memtables of 16 KiB, tables of a few frames.
pub fn tiny() -> Tuning {
    Tuning {
        file_handles_max: 24,
        log_bytes_max: 48 << 10,
        log_segment_bytes: 8 << 10,
        ledger_segment_bytes: 4 << 10,
        frame_bytes: 512,
        table_bytes_max: 4 << 10,
        flush_bytes_max: 16 << 10,
        close_flush_entries_min: 24,
        ..Tuning::for_memory(4 << 20)
    }
}

/// Two numbers made into one that follows from both.
pub fn mixed(left: u64, right: u64) -> u64 {
    Dice::new(left ^ Dice::new(right).bits().rotate_left(17)).bits()
}

/// A number that stands for a word.
pub fn number_of(word: &str) -> u64 {
    word.bytes().fold(7, |number, byte| mixed(number, u64::from(byte)))
}
