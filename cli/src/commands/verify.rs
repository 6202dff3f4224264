//! `verify`: re-hashes everything and compares it with what is stored. It writes nothing. Faults
//! are data and go to stdout; that there are any is an error and exit status 3.

use std::io::IsTerminal;

use blockdb::{Code, Error, Fault, VerifyOptions, VerifyReport};
use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::{Output, printable};

const HEADINGS: [&str; 6] = ["collection", "blocks", "leaves", "records", "bytes", "root"];

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb verify
  blockdb --output json verify packages

Every body, leaf, block and tile is hashed again; chain, tree and tables are compared with the
ledger. Nothing is written, and a running writer is not disturbed. Each fault names file, byte,
block and record; what was not checked is listed. Exit status: 0 clean, 3 faults.")]
pub struct Verify {
    /// Name of a collection; without it, everything
    name: Option<String>,
}

impl Verify {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let db = cli.open_to_read()?;
        let options = VerifyOptions { collection: self.name.clone(), ..Default::default() };
        let progress = progress_bar();
        let report = db.verify(&options, &|done, total| {
            progress.set_length(total);
            progress.set_position(done);
        });
        progress.finish_and_clear();
        let report = report?;
        match output.is_json() {
            true => output.object(&report)?,
            false => print(output, &report)?,
        }
        match report.faults.first() {
            None => Ok(()),
            Some(first) => Err(violation(&report, first).into()),
        }
    }
}

fn print(output: &mut Output, report: &VerifyReport) -> std::io::Result<()> {
    output.list(&report.collections, &HEADINGS, |each| {
        vec![
            each.name.clone(),
            each.blocks.to_string(),
            each.leaves.to_string(),
            each.records.to_string(),
            each.bytes.to_string(),
            each.root.clone(),
        ]
    })?;
    for fault in &report.faults {
        output.line(&format!("fault: {}", describe(fault)))?;
    }
    for what in &report.not_checked {
        output.line(&format!("not checked: {what}"))?;
    }
    let leaves: u64 = report.collections.iter().map(|each| each.leaves).sum();
    let bytes: u64 = report.collections.iter().map(|each| each.bytes).sum();
    output.line(&format!(
        "{}: {} leaves and {} of documents in {} collections re-hashed in {:.2} s, {}",
        if report.is_clean() { "clean" } else { "NOT CLEAN" },
        HumanCount(leaves),
        HumanBytes(bytes),
        report.collections.len(),
        report.seconds,
        match report.faults.len() {
            0 => "no fault".to_owned(),
            1 => "1 fault".to_owned(),
            count => format!("{count} faults"),
        }
    ))
}

/// A fault in a sentence: where, then what.
pub fn describe(fault: &Fault) -> String {
    let mut place = fault.file.display().to_string();
    if let Some(offset) = fault.offset {
        place += &format!(" at byte {offset}");
    }
    if let Some(collection) = &fault.collection {
        place += &format!(", collection {collection:?}");
    }
    if let Some(block) = fault.block {
        place += &format!(", block {block}");
    }
    if let Some(seq) = fault.seq {
        place += &format!(", seq {seq}");
    }
    printable(&format!("{place}: {}", fault.what))
}

fn violation(report: &VerifyReport, first: &Fault) -> Error {
    let detail = match report.faults.len() {
        1 => format!("verify found a fault: {}", describe(first)),
        count => format!("verify found {count} faults, the first: {}", describe(first)),
    };
    Error::new(Code::IntegrityViolation, detail)
}

fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:30} {human_pos} of {human_len} leaves, {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    ProgressBar::new(0).with_style(style)
}
