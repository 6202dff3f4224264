//! Medians, ratios and tables, in Markdown: what is printed at the end and what docs/benchmarks.md
//! consists of. Ratios are always such that more than 1 is better for BlockDB.

use std::fmt::Write;

use crate::data;
use crate::engine::{Kind, Settings};
use crate::measure::Machine;
use crate::session::{Outcome, Session, name};
use crate::workload::{Measured, Workload};

const LOCK: &str = include_str!("../Cargo.lock");

/// The whole document.
pub fn document(session: &Session, machine: &Machine, outcomes: &[Outcome]) -> String {
    format!(
        "# Benchmarks\n\nMade by `cargo xtask bench --markdown docs/benchmarks.md`; not edited by \
         hand.\n\n{}\n{}\n{}\n{}",
        conditions(session, machine),
        speeds(&session.engines, outcomes),
        latencies(&session.engines, outcomes),
        resources(&session.engines, outcomes),
    )
}

/// Where and how the figures were made: enough to make them again.
pub fn conditions(session: &Session, machine: &Machine) -> String {
    let mut text = String::from("## Conditions\n\n");
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "- {what}: {value}");
    };
    line("processor", format!("{}, {} cores", machine.processor, machine.cores));
    line("memory", format!("{:.0} GiB, page cache warm in every run", machine.memory_gib));
    line("system", format!("Linux {}, {}", machine.kernel, machine.file_system));
    line(
        "disk",
        format!(
            "4 KiB append and fdatasync {:.0} us (p50), {:.0} us (p99)",
            machine.sync_us_p50, machine.sync_us_p99
        ),
    );
    line("data", format!("{} records, {}", grouped(session.records as f64), data::DESCRIPTION));
    line(
        "order",
        format!(
            "{} rounds per workload, engines in turn, each run a process of its own; medians, and \
             the distance of the furthest round from them; workloads without an end of their own \
             last {} s",
            session.rounds, session.seconds
        ),
    );
    line(
        "memory budget",
        format!("{} MiB of caches and write buffers for every engine", session.memory_bytes >> 20),
    );
    line(
        "duplicates",
        "BlockDB refuses a key that exists, in every write. SQLite does too; RocksDB and fjall put \
         blindly, and rocksdb+check looks before it writes"
            .to_owned(),
    );
    line(
        "checks",
        "every byte read is compared off the clock; after each run of BlockDB the database is \
         verified, off the clock"
            .to_owned(),
    );
    let settings = Settings { memory_bytes: session.memory_bytes, readers: 1 };
    for engine in &session.engines {
        line(&format!("{} {}", engine.name(), version(*engine)), engine.options(&settings));
    }
    text
}

/// Rates, or times for workloads that open a database, with the ratios.
pub fn speeds(engines: &[Kind], outcomes: &[Outcome]) -> String {
    let mut head = vec!["workload".to_owned(), "unit".to_owned()];
    head.extend(engines.iter().map(|engine| engine.name().to_owned()));
    head.extend(["BlockDB / best peer", "BlockDB / RocksDB"].map(str::to_owned));
    let rows = outcomes.iter().map(|outcome| {
        let workload = outcome.workload;
        let median = |engine: Kind| median(outcome, engine, |m| figure(workload, m));
        let mut row = vec![name(workload), unit(workload).to_owned()];
        row.extend(engines.iter().map(|engine| {
            let cell = |median| format!("{} ±{:.0} %", grouped(median), spread(outcome, *engine));
            median(*engine).map_or(String::new(), cell)
        }));
        let ours = engines.iter().find(|engine| engine.is_ours()).and_then(|ours| median(*ours));
        let better = |a: f64, b: f64| if workload.is_time() { a.min(b) } else { a.max(b) };
        let peers = engines.iter().filter(|engine| !engine.is_ours());
        let best = peers.filter_map(|peer| median(*peer)).reduce(better);
        row.push(ratio(workload, ours, best));
        row.push(ratio(workload, ours, median(Kind::Rocksdb)));
        row
    });
    format!("## Speed\n\n{}", table(head, rows))
}

/// Latencies of single durable calls.
pub fn latencies(engines: &[Kind], outcomes: &[Outcome]) -> String {
    let mut head = vec!["workload".to_owned()];
    head.extend(engines.iter().map(|engine| format!("{} p50 / p99 us", engine.name())));
    let timed = outcomes.iter().filter(|outcome| {
        outcome.runs.values().flatten().any(|measured| measured.latency_us.is_some())
    });
    let rows = timed.map(|outcome| {
        let mut row = vec![name(outcome.workload)];
        for engine in engines {
            let p50 = median(outcome, *engine, |m| m.latency_us.map_or(0.0, |l| l.p50));
            let p99 = median(outcome, *engine, |m| m.latency_us.map_or(0.0, |l| l.p99));
            let cell =
                p50.zip(p99).map(|(p50, p99)| format!("{} / {}", grouped(p50), grouped(p99)));
            row.push(cell.unwrap_or_default());
        }
        row
    });
    format!("## Latency of a durable call\n\n{}", table(head, rows))
}

/// Work left in the background, space, bytes written and memory, per workload and engine.
pub fn resources(engines: &[Kind], outcomes: &[Outcome]) -> String {
    let head = [
        "workload",
        "engine",
        "background after the clock, s",
        "on disk, MB",
        "written, MB",
        "peak memory, MB",
    ];
    let mut rows = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| !outcome.workload.is_time()) {
        for engine in engines {
            let of = |figure: fn(&Measured) -> f64| {
                median(outcome, *engine, figure).map_or(String::new(), tenths)
            };
            rows.push(vec![
                name(outcome.workload),
                engine.name().to_owned(),
                of(|m| m.background_seconds),
                of(|m| m.disk_bytes as f64 / 1e6),
                of(|m| m.written_bytes as f64 / 1e6),
                of(|m| m.memory_peak_bytes as f64 / 1e6),
            ]);
        }
    }
    let head = head.map(str::to_owned).to_vec();
    format!("## Space, writing and memory\n\n{}", table(head, rows.into_iter()))
}

/// The figure a workload is about.
pub fn figure(workload: Workload, measured: &Measured) -> f64 {
    match workload.is_time() {
        true => measured.seconds * 1e3,
        false => measured.records as f64 / measured.seconds,
    }
}

/// Its unit.
pub fn unit(workload: Workload) -> &'static str {
    if workload.is_time() { "ms" } else { "records/s" }
}

fn ratio(workload: Workload, ours: Option<f64>, peer: Option<f64>) -> String {
    let ratio =
        |(ours, peer): (f64, f64)| if workload.is_time() { peer / ours } else { ours / peer };
    ours.zip(peer).map(ratio).map_or(String::new(), |ratio| format!("{ratio:.2}"))
}

fn figures(outcome: &Outcome, engine: Kind, figure: impl Fn(&Measured) -> f64) -> Vec<f64> {
    let runs = outcome.runs.get(&engine).map_or(&[][..], Vec::as_slice);
    let mut figures: Vec<f64> = runs.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures
}

fn median(outcome: &Outcome, engine: Kind, figure: impl Fn(&Measured) -> f64) -> Option<f64> {
    let figures = figures(outcome, engine, figure);
    let upper = figures.get(figures.len() / 2)?;
    let lower = figures.get((figures.len() - 1) / 2)?;
    Some((upper + lower) / 2.0)
}

/// How far the furthest round lies from the median, in percent of it.
fn spread(outcome: &Outcome, engine: Kind) -> f64 {
    let of = |m: &Measured| figure(outcome.workload, m);
    let Some(median) = median(outcome, engine, of) else { return 0.0 };
    let distances = figures(outcome, engine, of).into_iter().map(|f| (f - median).abs());
    distances.fold(0.0, f64::max) / median * 100.0
}

/// The engine's own version: after the `+` where a package wraps an engine of another number.
fn version(engine: Kind) -> String {
    if engine == Kind::Sqlite {
        return rusqlite::version().to_owned();
    }
    let entry = format!("name = \"{}\"\nversion = \"", engine.package());
    let rest = LOCK.split_once(&entry).map(|(_, rest)| rest);
    let version = rest.and_then(|rest| rest.split('"').next()).unwrap_or("");
    version.rsplit('+').next().unwrap_or("").to_owned()
}

/// A number as people read it: thousands set apart, three digits at least when it is small.
pub fn grouped(number: f64) -> String {
    if number < 100.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn tenths(number: f64) -> String {
    format!("{number:.1}")
}

/// Columns are padded, so that the text reads well without a renderer too.
fn table(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = rows[0].len();
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (place, row) in rows.iter().enumerate() {
        for (cell, &width) in row.iter().zip(&widths) {
            let _ = match place {
                0 => write!(text, "| {cell:<width$} "),
                _ => write!(text, "| {cell:>width$} "),
            };
        }
        text.push_str("|\n");
        if place == 0 {
            for width in &widths {
                let _ = write!(text, "|{:-<width$}:", "-", width = width + 1);
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests;
