//! What a crash leaves of a disk: a killed process or lost power, in one of its modes.

use std::fmt;
use std::str::FromStr;

use blockdb::disk::simulated::{CrashMode, SimDisk};

use super::mixed;

/// One way of crashing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// `None` if only the process is gone: then every written byte is seen.
    pub power: Option<CrashMode>,
    /// Which of the many ways the power takes with it what was not synced.
    pub seed: u64,
}

/// The order in which images of one moment are made; the lossier ones twice.
const CYCLE: [Option<CrashMode>; 8] = [
    Some(CrashMode::M3),
    Some(CrashMode::M1),
    None,
    Some(CrashMode::M2),
    Some(CrashMode::M0),
    Some(CrashMode::M3),
    Some(CrashMode::M1),
    Some(CrashMode::M2),
];

impl Crash {
    /// `count` crashes of a moment, beginning anywhere in the cycle of modes.
    pub fn plan(seed: u64, moment: u64, count: u64) -> impl Iterator<Item = Crash> {
        (0..count).map(move |index| {
            let power = CYCLE[((moment + index) % CYCLE.len() as u64) as usize];
            Crash { power, seed: mixed(mixed(seed, moment), index) }
        })
    }

    /// The disk after it.
    pub fn of(&self, disk: &SimDisk) -> SimDisk {
        match self.power {
            None => disk.process_crash_image(),
            Some(mode) => disk.crash_image(mode, self.seed),
        }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.power {
            None => write!(f, "kill:{}", self.seed),
            Some(mode) => write!(f, "{mode:?}:{}", self.seed),
        }
    }
}

impl FromStr for Crash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("a crash is kill:SEED or M0:SEED to M3:SEED, found {text:?}");
        let (mode, seed) = text.split_once(':').ok_or_else(wrong)?;
        let seed = seed.parse().map_err(|_| wrong())?;
        if mode == "kill" {
            return Ok(Crash { power: None, seed });
        }
        let modes = CrashMode::HONEST.into_iter();
        let power =
            modes.into_iter().find(|known| format!("{known:?}") == mode).ok_or_else(wrong)?;
        Ok(Crash { power: Some(power), seed })
    }
}
