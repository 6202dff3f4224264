//! What commands print: data on stdout, everything else on stderr. With `json`, one object a line.
//! Otherwise aligned tables on a terminal, and elsewhere one row a line with tabs between columns,
//! without headings, for other programs. Colours are never used, so `NO_COLOR` always holds.

use std::fmt::Write as _;
use std::io::{BufWriter, IsTerminal, Stdout, Write};

use blockdb::Record;
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::HumanBytes;
use serde::Serialize;
use serde_json::Value;

use crate::exit::Outcome;

/// Rows under one heading; a long listing repeats it, so that memory stays bounded.
const TABLE_ROWS_MAX: usize = 100;
/// Characters of a document in a row on a terminal, which cuts it to its width anyway.
const DOCUMENT_CHARS_MAX: usize = 400;
const WRITE_BYTES: usize = 64 << 10;
const RECORD_HEADINGS: [&str; 5] = ["key", "seq", "revision", "timestamp", "document"];

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned on a terminal, tab-separated in a pipe
    Table,
    /// One JSON object per line
    Json,
}

/// Standard output in the chosen format.
pub struct Output {
    format: Format,
    terminal: bool,
    out: BufWriter<Stdout>,
}

impl Output {
    /// Standard output, buffered.
    pub fn new(format: Format) -> Self {
        let stdout = std::io::stdout();
        let terminal = stdout.is_terminal();
        Output { format, terminal, out: BufWriter::with_capacity(WRITE_BYTES, stdout) }
    }

    /// The chosen format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether JSON was asked for.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Hands everything to the system now.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }

    /// One line of text, as it is.
    pub fn line(&mut self, text: &str) -> std::io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.out.write_all(bytes)
    }

    /// A result that is one object: as JSON, or as a list of its fields.
    pub fn object(&mut self, object: &impl Serialize) -> std::io::Result<()> {
        let value = serde_json::to_value(object)?;
        if self.is_json() {
            return writeln!(self.out, "{value}");
        }
        let mut rows = Vec::new();
        flatten("", &value, self.terminal, &mut rows);
        self.rows(&[], rows)
    }

    /// A result that is a list: each as JSON, or as a row of the columns given.
    pub fn list<T: Serialize>(
        &mut self,
        items: &[T],
        headings: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> std::io::Result<()> {
        if !self.is_json() {
            return self.rows(headings, items.iter().map(row).collect());
        }
        for item in items {
            writeln!(self.out, "{}", serde_json::to_string(item)?)?;
        }
        Ok(())
    }

    /// Rows of text, whole: what is longer than a line of the terminal goes on in the next.
    pub fn rows(&mut self, headings: &[&str], rows: Vec<Vec<String>>) -> std::io::Result<()> {
        self.arranged(headings, rows, ContentArrangement::Disabled)
    }

    /// With a dynamic arrangement a row is cut to one line of the terminal.
    fn arranged(
        &mut self,
        headings: &[&str],
        rows: Vec<Vec<String>>,
        arrangement: ContentArrangement,
    ) -> std::io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if !self.terminal {
            for row in rows {
                let cells: Vec<String> = row.iter().map(|cell| printable(cell)).collect();
                writeln!(self.out, "{}", cells.join("\t"))?;
            }
            return Ok(());
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(arrangement);
        if !headings.is_empty() {
            table.set_header(headings);
        }
        for row in rows {
            let mut cells = comfy_table::Row::from(row.iter().map(|cell| printable(cell)));
            cells.max_height(1);
            table.add_row(cells);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        writeln!(self.out, "{}", table.trim_fmt())
    }

    /// One record: as JSON, or on a terminal its place and its document with indentation.
    pub fn record(&mut self, record: &Record) -> Outcome {
        if self.is_json() || !self.terminal {
            return self.records(std::iter::once(Ok(record.clone()))).map(drop);
        }
        let mut pairs = vec![
            pair("key", &record.key),
            pair("seq", &record.seq),
            pair("revision", &record.revision),
            pair("timestamp", &record.timestamp),
        ];
        pairs.extend(record.schema.map(|schema| pair("schema", &schema)));
        pairs.extend(record.transaction.as_ref().map(|id| pair("transaction", id)));
        pairs.extend(record.actor.as_ref().map(|actor| pair("actor", actor)));
        self.rows(&[], pairs)?;
        let document: Value =
            serde_json::to_value(&record.document).map_err(std::io::Error::from)?;
        writeln!(self.out, "{document:#}")?;
        Ok(())
    }

    /// Records as they come; returns how many.
    pub fn records(
        &mut self,
        records: impl Iterator<Item = blockdb::Result<Record>>,
    ) -> Outcome<u64> {
        let mut count = 0;
        let mut rows = Vec::new();
        for record in records {
            let record = record?;
            count += 1;
            if self.is_json() {
                writeln!(self.out, "{}", record.to_json())?;
                continue;
            }
            rows.push(record_row(&record, self.terminal));
            if !self.terminal || rows.len() == TABLE_ROWS_MAX {
                self.record_rows(std::mem::take(&mut rows))?;
            }
        }
        self.record_rows(rows)?;
        Ok(count)
    }

    fn record_rows(&mut self, rows: Vec<Vec<String>>) -> std::io::Result<()> {
        self.arranged(&RECORD_HEADINGS, rows, ContentArrangement::Dynamic)
    }
}

fn pair(name: &str, value: &impl ToString) -> Vec<String> {
    vec![name.to_owned(), value.to_string()]
}

fn record_row(record: &Record, terminal: bool) -> Vec<String> {
    let mut document = record.document.to_json();
    if terminal && let Some((end, _)) = document.char_indices().nth(DOCUMENT_CHARS_MAX) {
        document.truncate(end);
    }
    vec![
        record.key.clone(),
        record.seq.to_string(),
        record.revision.to_string(),
        record.timestamp.to_string(),
        document,
    ]
}

/// The fields of an object as rows of name and value; fields of fields get dotted names.
fn flatten(name: &str, value: &Value, human: bool, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(&format!("{name}{dot}{field}"), value, human, rows);
            }
        }
        Value::Null if human => rows.push(pair(name, &"-")),
        Value::Null => rows.push(pair(name, &"")),
        Value::String(text) => rows.push(pair(name, text)),
        Value::Number(number) if human && name.contains("bytes") => {
            let bytes = HumanBytes(number.as_u64().unwrap_or_default());
            rows.push(pair(name, &format!("{number} ({bytes})")));
        }
        other => rows.push(pair(name, other)),
    }
}

/// Text in which nothing can move the cursor, end a line or a column: control characters are
/// written as escapes.
pub fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match char.is_control() {
            true => write!(shown, "{}", char.escape_default()).expect("a String takes all"),
            false => shown.push(char),
        }
    }
    shown
}

/// A remark for the user on stderr: a sentence, or with `json` an object.
pub fn note(format: Format, sentence: &str) {
    // A remark that cannot be made must not stop the work.
    let _ = match format {
        Format::Json => {
            writeln!(std::io::stderr(), "{}", serde_json::json!({ "note": sentence }))
        }
        Format::Table => writeln!(std::io::stderr(), "note: {}", printable(sentence)),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_key_never_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\tc\n"), "a\\u{1b}[2Jb\\tc\\n");
        assert_eq!(printable("Zürich 東京"), "Zürich 東京");
    }

    #[test]
    fn an_object_is_shown_as_dotted_fields_in_its_own_order() {
        let value = serde_json::json!({ "b": 1, "a": { "log_bytes": 2048, "c": null } });
        let mut rows = Vec::new();
        flatten("", &value, true, &mut rows);
        assert_eq!(rows, [["b", "1"], ["a.log_bytes", "2048 (2.00 KiB)"], ["a.c", "-"]]);
    }
}
