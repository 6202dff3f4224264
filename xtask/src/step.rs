//! One step of a task: a command of a known name, run in the root of the tree, timed, and printed
//! in the form in which a person can repeat it. A step never goes on after its command has failed.

use anyhow::{Context, bail};
use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{terminal, workspace};

/// A command with a name.
pub struct Step {
    name: String,
    program: OsString,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Step {
    /// A step that runs cargo.
    pub fn cargo<const N: usize>(name: &str, args: [&str; N]) -> Self {
        Self {
            name: name.to_owned(),
            program: "cargo".into(),
            args: args.map(str::to_owned).to_vec(),
            env: Vec::new(),
        }
    }

    /// Runs another program in cargo's place.
    pub fn program(mut self, program: impl Into<OsString>) -> Self {
        self.program = program.into();
        self
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args(mut self, args: impl IntoIterator<Item = String>) -> Self {
        self.args.extend(args);
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Announces the step, runs it and says how long it took.
    pub fn run(&self) -> anyhow::Result<(String, Duration)> {
        terminal::begin(&self.name, &self.line());
        let started = Instant::now();
        self.quietly()?;
        let took = started.elapsed();
        terminal::done(&self.name, took);
        Ok((self.name.clone(), took))
    }

    /// Runs it with nothing printed around it, for commands whose output is the point.
    pub fn quietly(&self) -> anyhow::Result<()> {
        let status = self.command().status().with_context(|| self.line())?;
        if !status.success() {
            bail!("{}, {status}; to repeat it:\n  {}", self.name, self.line());
        }
        Ok(())
    }

    /// The command itself, to be run by the caller.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.env.iter().map(|(k, v)| (k, v)));
        command.current_dir(workspace::root());
        // `cargo run` tells this program about its own crate; inherited, that would make build
        // scripts that watch these variables run again each time.
        for (name, _) in std::env::vars_os() {
            let of_xtask = name.to_str().is_some_and(|name| {
                ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|p| name.starts_with(p))
            });
            if of_xtask {
                command.env_remove(name);
            }
        }
        command
    }

    /// The command as one types it into a shell.
    pub fn line(&self) -> String {
        let env = self.env.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let program = std::iter::once(self.program.to_string_lossy().into_owned());
        env.chain(program).chain(self.args.iter().map(|a| quoted(a))).collect::<Vec<_>>().join(" ")
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_survives_the_shell() {
        let step = Step::cargo("doc", ["doc"]).env("RUSTDOCFLAGS", "-D warnings").arg("it's");
        assert_eq!(step.line(), r"RUSTDOCFLAGS='-D warnings' cargo doc 'it'\''s'");
    }
}
