//! Suites with large counts, by command: `cargo xtask soak crash --seconds 3600`. The suites read
//! BLOCKDB_SOAK_SECONDS (how long to go on) and BLOCKDB_SEED (where to begin), and print the seed
//! of whatever fails. `bugs` turns the question round and tests the tests.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{bugs, checks};

/// What to soak, for how long, from which seed.
#[derive(clap::Args)]
pub struct Arguments {
    /// A suite of tests/ (crash, kill, model, …), or `bugs`
    suite: String,
    /// How long to go on; the suites' own counts apply if left out for `bugs`
    #[arg(long)]
    seconds: Option<u64>,
    /// Where to begin; taken from the clock, and printed, if left out
    #[arg(long)]
    seed: Option<u64>,
    /// With `bugs`: only these defects
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

const SECONDS_DEFAULT: u64 = 600;

/// Runs the suite, or all defects.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.suite == "bugs" {
        return bugs::run(&arguments.only, arguments.seconds, arguments.seed);
    }
    anyhow::ensure!(arguments.only.is_empty(), "--only goes with `bugs`");
    checks::suite(&arguments.suite)
        .env("BLOCKDB_SOAK_SECONDS", arguments.seconds.unwrap_or(SECONDS_DEFAULT).to_string())
        .env("BLOCKDB_SEED", arguments.seed.unwrap_or_else(seed_from_clock).to_string())
        .run()
        .map(drop)
}

/// A fresh seed each time, small enough to be read out aloud.
fn seed_from_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_micros() as u64)
        % 1_000_000_000
}
