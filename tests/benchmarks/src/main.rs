//! BlockDB against the engines a user would pick instead: RocksDB, fjall and SQLite, on the same
//! records, in the same session, with the same memory and the same durability.
//!
//! `cargo xtask bench` runs it. It measures the engines it is given, prints Markdown on stdout and
//! its progress on stderr, and writes nothing but databases below `--dir` and the files asked for.

mod data;
mod engine;
mod measure;
mod report;
mod session;
mod workload;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::{Kind, Settings};
use session::{Errand, Outcome, Session, name};
use workload::{Run, Workload};

/// Measures BlockDB and its peers in turn.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    errand: Option<Hidden>,
    /// Which engines; all if left out
    #[arg(long, value_enum, value_delimiter = ',')]
    engines: Vec<Kind>,
    /// Which workloads; all if left out
    #[arg(long, value_enum, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// How many records are loaded, scanned and read
    #[arg(long, default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1_000..))]
    records: u64,
    /// How long a workload lasts that has no end of its own
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How often every engine runs every workload
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// Caches and write buffers of each engine, MiB
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..65_536))]
    memory_mb: u32,
    /// Where the databases are made; beside the program if left out
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Write the whole document, as in docs/benchmarks.md
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write every round of every run
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only list workloads, engines and their options
    #[arg(long)]
    list: bool,
}

#[derive(Subcommand)]
enum Hidden {
    /// One run, in a process of its own
    #[command(hide = true)]
    Child { errand: String },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(Hidden::Child { errand }) = &arguments.errand {
        return match serde_json::from_str(errand)? {
            Errand::Prepare(run) => run.prepare(),
            Errand::Measure(run) => {
                println!("{}", serde_json::to_string(&run.measure()?)?);
                Ok(())
            }
        };
    }
    if arguments.list {
        return list(arguments.memory_mb);
    }
    compare(&arguments)
}

fn list(memory_mb: u32) -> Result<()> {
    println!("Workloads");
    for workload in Workload::value_variants() {
        let help = workload.to_possible_value().and_then(|v| v.get_help().map(|h| h.to_string()));
        println!("  {:<14} {}", name(*workload), help.unwrap_or_default());
    }
    println!("Engines");
    let settings = Settings { memory_bytes: (memory_mb as usize) << 20, readers: 1 };
    for engine in Kind::value_variants() {
        println!("  {:<14} {}", engine.name(), engine.options(&settings));
    }
    Ok(())
}

fn compare(arguments: &Arguments) -> Result<()> {
    let session = session(arguments)?;
    std::fs::create_dir_all(&session.dir)?;
    let machine = measure::Machine::measure(&session.dir)?;
    let outcomes = session.run(&mut tell);
    workload::clear(&session.dir)?;
    let outcomes = outcomes?;

    let document = report::document(&session, &machine, &outcomes);
    println!("{document}");
    if let Some(path) = &arguments.markdown {
        std::fs::write(path, &document).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &arguments.json {
        let json = json(&machine, &outcomes)?;
        std::fs::write(path, json).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn session(arguments: &Arguments) -> Result<Session> {
    let beside = || -> Result<PathBuf> {
        let program = std::env::current_exe()?;
        Ok(program.parent().context("a program lies in a folder")?.to_owned())
    };
    let dir = arguments.dir.clone().map_or_else(beside, Ok)?;
    Ok(Session {
        engines: all_if_empty(&arguments.engines),
        workloads: all_if_empty(&arguments.workloads),
        rounds: usize::from(arguments.rounds),
        records: arguments.records,
        seconds: arguments.seconds,
        memory_bytes: (arguments.memory_mb as usize) << 20,
        // A folder of its own, because it is removed at the end.
        dir: dir.join(format!("blockdb-bench-{}", std::process::id())),
    })
}

fn all_if_empty<T: ValueEnum + Copy>(chosen: &[T]) -> Vec<T> {
    if chosen.is_empty() { T::value_variants().to_vec() } else { chosen.to_vec() }
}

fn tell(run: &Run, round: usize, measured: &workload::Measured) {
    let figure = report::grouped(report::figure(run.workload, measured));
    let unit = report::unit(run.workload);
    let (workload, engine) = (name(run.workload), run.engine.name());
    eprintln!("round {}  {workload:<14} {engine:<14} {figure:>12} {unit}", round + 1);
}

fn json(machine: &measure::Machine, outcomes: &[Outcome]) -> Result<String> {
    let mut runs = Vec::new();
    for outcome in outcomes {
        for (engine, rounds) in &outcome.runs {
            runs.push(serde_json::json!({
                "workload": name(outcome.workload), "engine": engine.name(), "rounds": rounds,
            }));
        }
    }
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let all = serde_json::json!({ "unix_seconds": seconds, "machine": machine, "runs": runs });
    Ok(serde_json::to_string_pretty(&all)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
