//! The order of a session. For each workload the engines take turns, round after round, each time
//! beginning with another one, so that a slow minute of the machine falls on all alike. Every run
//! is a process of its own.

use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::engine::{Kind, Settings};
use crate::workload::{Measured, READY, Run, Start, Workload, clear};

/// What to measure.
pub struct Session {
    pub engines: Vec<Kind>,
    pub workloads: Vec<Workload>,
    pub rounds: usize,
    pub records: u64,
    pub seconds: f64,
    pub memory_bytes: usize,
    pub dir: PathBuf,
}

/// What a child process is started for, as its one argument in JSON.
#[derive(serde::Serialize, serde::Deserialize)]
pub enum Errand {
    Prepare(Run),
    Measure(Run),
}

/// All rounds of one workload, per engine.
pub struct Outcome {
    pub workload: Workload,
    pub runs: BTreeMap<Kind, Vec<Measured>>,
}

impl Session {
    /// Runs all of it; `tell` hears of every run.
    pub fn run(&self, tell: &mut dyn FnMut(&Run, usize, &Measured)) -> Result<Vec<Outcome>> {
        let mut loaded = HashSet::new();
        let mut outcomes = Vec::new();
        for &workload in &self.workloads {
            let mut runs: BTreeMap<Kind, Vec<Measured>> = BTreeMap::new();
            for round in 0..self.rounds {
                for turn in 0..self.engines.len() {
                    let engine = self.engines[(turn + round) % self.engines.len()];
                    let run = self.plan(engine, workload);
                    let what = || format!("{} on {}", name(workload), engine.name());
                    self.prepare(&run, &mut loaded).with_context(what)?;
                    let measured = measure(&run).with_context(what)?;
                    tell(&run, round, &measured);
                    runs.entry(engine).or_default().push(measured);
                    if workload.start() != Start::Loaded {
                        clear(&run.dir)?;
                    }
                }
            }
            outcomes.push(Outcome { workload, runs });
        }
        for engine in loaded {
            clear(&self.folder(engine, Start::Loaded))?;
        }
        Ok(outcomes)
    }

    fn plan(&self, engine: Kind, workload: Workload) -> Run {
        Run {
            engine,
            workload,
            dir: self.folder(engine, workload.start()),
            records: self.records,
            seconds: self.seconds,
            settings: Settings { memory_bytes: self.memory_bytes, readers: workload.readers() },
        }
    }

    fn folder(&self, engine: Kind, start: Start) -> PathBuf {
        let state = match start {
            Start::Empty => "empty",
            Start::Loaded => "loaded",
            Start::Killed => "killed",
        };
        self.dir.join(format!("{}-{state}", engine.name()))
    }

    /// Brings about what the workload starts from. Loading is done once per engine and session.
    fn prepare(&self, run: &Run, loaded: &mut HashSet<Kind>) -> Result<()> {
        let start = run.workload.start();
        if start == Start::Loaded && !loaded.insert(run.engine) {
            return Ok(());
        }
        clear(&run.dir)?;
        match start {
            Start::Empty => Ok(()),
            Start::Loaded => child(&Errand::Prepare(run.clone())).map(drop),
            Start::Killed => prepare_and_kill(run),
        }
    }
}

/// The name of a workload on the command line and in reports.
pub fn name(workload: Workload) -> String {
    clap::ValueEnum::to_possible_value(&workload)
        .map(|v| v.get_name().to_owned())
        .unwrap_or_default()
}

fn command(errand: &Errand) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("child").arg(serde_json::to_string(errand)?).stdin(Stdio::null());
    Ok(command)
}

fn child(errand: &Errand) -> Result<Vec<u8>> {
    let output = command(errand)?.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the run ended with {}", output.status);
    Ok(output.stdout)
}

fn measure(run: &Run) -> Result<Measured> {
    // What earlier runs left to be written must not be written at this one's expense.
    sync_disks(&run.dir)?;
    Ok(serde_json::from_slice(&child(&Errand::Measure(run.clone()))?)?)
}

fn sync_disks(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let status = Command::new("sync").arg("--file-system").arg(dir).status()?;
    ensure!(status.success(), "sync ended with {status}");
    Ok(())
}

fn prepare_and_kill(run: &Run) -> Result<()> {
    let mut child = command(&Errand::Prepare(run.clone()))?.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("the output of a child is piped")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    child.kill()?;
    child.wait()?;
    ensure!(line.trim() == READY, "the run died before it was killed");
    Ok(())
}
