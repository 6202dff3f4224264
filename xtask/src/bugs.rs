//! The test of the tests. Each defect of core/bugs.txt is built into the engine in turn, and the
//! suite named beside it must fail; the engine as it is must pass first, or a failure would say
//! nothing.
//!
//! A defect that does not compile, or whose suite hangs, counts as missed: only a test that ran and
//! said no has caught it. Builds go to a folder of their own, where a change of BLOCKDB_BUG
//! rebuilds the engine and the suites and nothing else.

use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::checks::SUITES;
use crate::step::Step;
use crate::{terminal, workspace};

const BUGS: &str = include_str!("../../core/bugs.txt");
/// No suite of CI takes a tenth of this; one that does is waiting for something.
const SUITE_TIME_MAX: Duration = Duration::from_secs(900);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// One line of core/bugs.txt.
struct Bug {
    name: &'static str,
    suite: &'static str,
    what: &'static str,
}

/// What a suite said about a defect.
enum Verdict {
    /// The first test that failed.
    Caught(String),
    Passed,
    TimedOut,
    NotBuilt,
}

/// Builds and judges the chosen defects, or all, and closes with a table.
pub fn run(only: &[String], seconds: Option<u64>, seed: Option<u64>) -> anyhow::Result<()> {
    let bugs = select(only)?;
    let logs = workspace::target().join("bugs").join("output");
    fs::create_dir_all(&logs)?;
    let env: BTreeMap<&str, String> = [("BLOCKDB_SOAK_SECONDS", seconds), ("BLOCKDB_SEED", seed)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.to_string())))
        .collect();

    let mut suites: Vec<&str> = bugs.iter().map(|bug| bug.suite).collect();
    suites.sort_unstable();
    suites.dedup();
    for suite in suites {
        let log = logs.join(format!("none-{suite}.txt"));
        if !matches!(judge("", suite, &env, &log)?, Verdict::Passed) {
            bail!("the suite {suite} fails without any defect, see {}", log.display());
        }
    }

    let mut missed = Vec::new();
    let mut rows = Vec::new();
    for bug in &bugs {
        let started = Instant::now();
        let log = logs.join(format!("{}.txt", bug.name));
        let verdict = judge(bug.name, bug.suite, &env, &log)?;
        let caught = matches!(verdict, Verdict::Caught(_));
        let verdict = match verdict {
            Verdict::Caught(test) => format!("caught by {}::{test}", bug.suite),
            Verdict::Passed => format!("MISSED: {} passes", bug.suite),
            Verdict::TimedOut => format!("MISSED: {} hangs", bug.suite),
            Verdict::NotBuilt => "MISSED: does not build".to_owned(),
        };
        if !caught {
            missed.push(bug.name);
        }
        let took = terminal::seconds(started.elapsed());
        rows.push((
            caught,
            format!("{:<20} {took:>9}  {verdict}\n{:>9}{}", bug.name, "", bug.what),
        ));
    }
    for (caught, row) in &rows {
        terminal::row(*caught, row);
    }
    if !missed.is_empty() {
        bail!("{} of {} not caught: {}", missed.len(), bugs.len(), missed.join(", "));
    }
    Ok(())
}

fn select(only: &[String]) -> anyhow::Result<Vec<Bug>> {
    let all = parse(BUGS)?;
    for name in only {
        anyhow::ensure!(all.iter().any(|bug| bug.name == name), "core/bugs.txt has no {name}");
    }
    let wanted = |bug: &Bug| only.is_empty() || only.iter().any(|name| name == bug.name);
    Ok(all.into_iter().filter(wanted).collect())
}

fn parse(text: &'static str) -> anyhow::Result<Vec<Bug>> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let bug = |line: &'static str| {
        let (name, rest) = line.split_once(' ')?;
        let (suite, what) = rest.trim_start().split_once(' ')?;
        Some(Bug { name, suite, what: what.trim_start() })
    };
    lines.map(|line| bug(line).with_context(|| format!("core/bugs.txt: {line}"))).collect()
}

fn judge(
    bug: &str,
    suite: &str,
    env: &BTreeMap<&str, String>,
    log: &Path,
) -> anyhow::Result<Verdict> {
    let build = Step::cargo("build", ["test", "--no-run", "--message-format", "json"])
        .args(SUITES.map(str::to_owned))
        .args(["--test", suite, "--target-dir"].map(str::to_owned))
        .arg(workspace::target().join("bugs").to_string_lossy())
        .env("BLOCKDB_BUG", bug);
    terminal::begin(if bug.is_empty() { "no defect" } else { bug }, &build.line());
    let built = build.command().stderr(Stdio::inherit()).output()?;
    if !built.status.success() {
        return Ok(Verdict::NotBuilt);
    }
    let program = program_of(suite, &built.stdout)
        .with_context(|| format!("cargo names no program of the suite {suite}"))?;

    let output = File::create(log)?;
    let mut child = Command::new(program)
        .current_dir(workspace::root().join("tests"))
        .envs(env)
        .env("BLOCKDB_BUG", bug)
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > SUITE_TIME_MAX {
            child.kill()?;
            child.wait()?;
            return Ok(Verdict::TimedOut);
        }
        std::thread::sleep(POLL_INTERVAL);
    };
    Ok(if status.success() { Verdict::Passed } else { Verdict::Caught(first_failure(log)?) })
}

/// The suite's program, from cargo's messages (one JSON object a line).
fn program_of(suite: &str, messages: &[u8]) -> Option<PathBuf> {
    let lines = messages.split(|byte| *byte == b'\n');
    let artifacts = lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    let mut programs = artifacts.filter(|message| message["target"]["name"] == suite);
    programs.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// The name of the first test that failed, as libtest prints it; a suite that died tells none.
fn first_failure(log: &Path) -> anyhow::Result<String> {
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    let failed =
        |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
    Ok(text.lines().find_map(failed).unwrap_or_else(|| "(no test named; it died)".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_has_a_name_a_suite_and_a_sentence() {
        let bugs = parse(BUGS).unwrap();
        assert_eq!(bugs.len(), 19);
        for bug in bugs {
            assert!(bug.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", bug.name);
            assert!(!bug.suite.is_empty() && bug.what.split(' ').count() > 3, "{}", bug.name);
        }
    }

    #[test]
    fn the_program_of_a_suite_is_found_among_cargos_messages() {
        let messages =
            br#"{"reason":"compiler-artifact","target":{"name":"blockdb"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"crash"},"executable":"target/crash-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(program_of("crash", messages), Some(PathBuf::from("target/crash-1")));
        assert_eq!(program_of("kill", messages), None);
    }
}
