//! What `lint` and `test` run, in order of cost: a mistake in formatting is told before anything is
//! built for minutes. The first step that fails ends the run.

use clap::ValueEnum;

use crate::step::Step;
use crate::{terminal, tools};

/// A part of `cargo xtask test` that can be run alone.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// fmt, clippy and deny
    Lint,
    /// The house format
    Fmt,
    /// Clippy on all targets, warnings denied
    Clippy,
    /// Licences, sources and duplicates of the dependencies
    Deny,
    /// Unit and integration tests of every crate but tests/
    Unit,
    /// The examples in the documentation
    Doctest,
    /// The documentation itself, warnings denied
    Doc,
    /// The suites of tests/: crash, kill, tamper, model and their like
    Suites,
}

const ORDER: [Part; 7] =
    [Part::Fmt, Part::Clippy, Part::Deny, Part::Unit, Part::Doctest, Part::Doc, Part::Suites];

/// The crate of the suites, and the profile it is built with: counts are what finds bugs, so it is
/// optimised, but it is linked often, so the link is kept short.
pub const SUITES: [&str; 5] = ["-p", "blockdb-tests", "--profile", "suites", "--locked"];

/// Runs the chosen parts, or all of them, and closes with a table.
pub fn run(only: &[Part]) -> anyhow::Result<()> {
    let mut finished = Vec::new();
    for part in ORDER {
        if chosen(part, only) {
            finished.push(step(part)?.run()?);
        }
    }
    for (name, took) in &finished {
        terminal::row(true, &format!("{name:<10} {}", terminal::seconds(*took)));
    }
    Ok(())
}

fn chosen(part: Part, only: &[Part]) -> bool {
    let lint = matches!(part, Part::Fmt | Part::Clippy | Part::Deny);
    only.is_empty() || only.contains(&part) || (lint && only.contains(&Part::Lint))
}

fn step(part: Part) -> anyhow::Result<Step> {
    Ok(match part {
        Part::Lint | Part::Fmt => Step::cargo("fmt", ["fmt", "--all", "--check"]),
        Part::Clippy => {
            let what =
                ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
            Step::cargo("clippy", what)
        }
        Part::Deny => Step::cargo("deny", ["--locked", "check", "bans", "licenses", "sources"])
            .program(tools::cargo_deny()?),
        Part::Unit => {
            let what = ["test", "--workspace", "--exclude", "blockdb-tests", "--locked"];
            Step::cargo("unit", what).args(["--lib", "--bins", "--tests"].map(str::to_owned))
        }
        Part::Doctest => Step::cargo("doctest", ["test", "--workspace", "--locked", "--doc"]),
        Part::Doc => Step::cargo("doc", ["doc", "--workspace", "--no-deps", "--locked"])
            .env("RUSTDOCFLAGS", "-D warnings"),
        Part::Suites => Step::cargo("suites", ["test"])
            .args(SUITES.map(str::to_owned))
            .args(["--lib", "--bins", "--tests"].map(str::to_owned)),
    })
}

/// One suite of tests/, with everything it prints.
pub fn suite(name: &str) -> Step {
    let mut package = SUITES.map(str::to_owned);
    if name == "kill" {
        // It needs the real command, which cargo hands to the tests of its own package alone.
        package[1] = "blockdb-cli".to_owned();
    }
    Step::cargo(name, ["test"])
        .args(package)
        .args(["--test", name, "--", "--nocapture"].map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lint_stands_for_its_three_parts() {
        let names = |only: &[Part]| ORDER.iter().filter(|part| chosen(**part, only)).count();
        assert_eq!((names(&[]), names(&[Part::Lint]), names(&[Part::Unit])), (7, 3, 1));
    }
}
