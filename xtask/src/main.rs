//! The one door of the project: `cargo xtask demo|test|lint|bench|soak|golden`.
//!
//! Every step prints its name, how long it took, and the plain cargo command that repeats it, so
//! that nothing here has to be known by heart. It works on a fresh machine with a Rust toolchain
//! and a C compiler. It never changes a tracked file, except the new folder of `golden --write`.

// The engine reaches the system through traits alone; this program is not the engine, it is the
// hand that starts it, so the lints that guard those traits do not apply.
#![allow(clippy::disallowed_methods)]

mod bugs;
mod checks;
mod soak;
mod step;
mod terminal;
mod tools;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

use crate::checks::Part;
use crate::step::Step;

/// Everything that is done with BlockDB's source tree.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Door {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The main job of BlockDB, end to end, on a temporary database
    Demo {
        /// Passed on to `blockdb demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// All checks and tests: what CI runs
    Test {
        /// Only these parts, in the order of a full run
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Part>,
    },
    /// Formatting, clippy with warnings denied, licences and sources of the dependencies
    Lint,
    /// BlockDB against RocksDB, fjall and SQLite (see tests/benchmarks; the first build takes long)
    Bench {
        /// Passed on to the benchmark; `--help` lists what it takes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// One suite of tests/ with large counts, or `bugs`: is every seeded defect caught?
    Soak(soak::Arguments),
    /// Open the golden folders of every released format, or write one for the present format
    Golden {
        /// Write tests/golden/NAME with this build; refused if it exists
        #[arg(long, value_name = "NAME")]
        write: Option<String>,
    },
}

fn main() -> ExitCode {
    match run(Door::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::failed(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Demo { args } => Step::cargo("demo", ["run", "--release", "-p", "blockdb-cli", "--"])
            .arg("demo")
            .args(args)
            .quietly(),
        Task::Test { only } => checks::run(&only),
        Task::Lint => checks::run(&[Part::Fmt, Part::Clippy, Part::Deny]),
        Task::Bench { args } => {
            let manifest = "tests/benchmarks/Cargo.toml";
            Step::cargo("bench", ["run", "--release", "--manifest-path", manifest])
                .arg("--")
                .args(args)
                .quietly()
        }
        Task::Soak(arguments) => soak::run(&arguments),
        Task::Golden { write } => golden(write.as_deref()),
    }
}

/// The suite `golden` opens every folder of tests/golden and compares what it reads with the
/// description beside it; with BLOCKDB_GOLDEN_WRITE it makes a new folder instead.
fn golden(write: Option<&str>) -> anyhow::Result<()> {
    let step = checks::suite("golden");
    let Some(name) = write else { return step.run().map(drop) };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    anyhow::ensure!(
        name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain),
        "the name of a golden folder is made of A-Z a-z 0-9 . _ -, not {name:?}"
    );
    let folder = workspace::root().join("tests/golden").join(name);
    anyhow::ensure!(!folder.exists(), "{} exists: golden folders never change", folder.display());
    step.env("BLOCKDB_GOLDEN_WRITE", name).run().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_line_is_well_formed() {
        Door::command().debug_assert();
    }

    #[test]
    fn what_follows_a_command_is_passed_on_untouched() {
        let door = Door::parse_from(["xtask", "bench", "--rounds", "3", "--markdown"]);
        let Task::Bench { args } = door.task else { panic!("not a bench") };
        assert_eq!(args, ["--rounds", "3", "--markdown"]);
    }
}
