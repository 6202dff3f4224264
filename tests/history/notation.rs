//! Histories as text, in the manner of the literature: one word for each operation, in the order in
//! which they happened.
//!
//! | word | meaning |
//! |---|---|
//! | `w1(x=5)` | T1 writes 5 to register x, as the version after the last one written so far |
//! | `w1(x=5@3)`, `w1(x=5@?)` | the same, as version 3; as a version nobody told |
//! | `r1(x=5)`, `r1(x=5@3)`, `r1(x)` | T1 reads 5; reads it as version 3; finds nothing |
//! | `p1(x+5)`, `l1(x=4,5)`, `l1(x=)` | T1 appends 5 to list x; reads it whole; finds it empty |
//! | `q1(a..n 0..9: x=5, y=6)` | T1 selects keys from a to before n, values 0 to 9: x and y |
//! | `q1(a..n 0..9: x=5; z=77)` | the same, and looked at z, which did not match |
//! | `c1`, `a1`, `u1` | T1 commits, aborts, is never answered |
//!
//! A transaction begins with its first operation and ends with its last word; each word is a moment
//! of real time.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::{End, History, Op, Predicate, Report, Seen, Transaction};

/// What is wrong with a text.
pub type Fault = String;

impl History {
    /// Reads a history.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let words = words(text)?;
        let versions = Numbers::of(&words)?;
        let mut open: BTreeMap<u64, Transaction> = BTreeMap::new();
        let mut transactions = Vec::new();
        for (moment, word) in (1..).zip(&words) {
            let transaction = open.entry(word.id).or_insert_with(|| Transaction {
                id: word.id,
                process: word.id,
                ops: Vec::new(),
                end: End::Unknown,
                span: Some((moment, moment)),
            });
            match word.end()? {
                Some(end) => {
                    transaction.end = end;
                    transaction.span = transaction.span.map(|(began, _)| (began, moment));
                    transactions.extend(open.remove(&word.id));
                }
                None => transaction.ops.push(word.op(&versions)?),
            }
        }
        match open.keys().next() {
            Some(id) => Err(format!("T{id} has no end: write c{id}, a{id} or u{id}")),
            None => Ok(History { transactions, unresolved: 0 }),
        }
    }

    /// A report with the transactions each anomaly is about.
    pub fn explain(&self, report: &Report) -> String {
        let mut text = report.to_string().lines().next().unwrap_or_default().to_owned();
        for found in &report.anomalies {
            text += &format!("\n{found}");
            for id in &found.transactions {
                let named = self.transactions.iter().filter(|transaction| transaction.id == *id);
                for transaction in named {
                    text += &format!("\n    {transaction}    process {}", transaction.process);
                    if let Some((began, ended)) = transaction.span {
                        text += &format!(", {began} to {ended}");
                    }
                }
            }
        }
        text
    }
}

/// One operation, not yet understood.
struct Word<'t> {
    verb: &'t str,
    id: u64,
    /// What stands between the brackets.
    body: &'t str,
}

fn words(text: &str) -> Result<Vec<Word<'_>>, Fault> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '(' || c.is_whitespace()).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(end);
        let (body, after) = match tail.strip_prefix('(') {
            Some(tail) => tail.split_once(')').ok_or(format!("no bracket closes after {head}"))?,
            None => ("", tail),
        };
        let split = head.find(|c: char| c.is_ascii_digit()).unwrap_or(head.len());
        let (verb, id) = head.split_at(split);
        words.push(Word { verb, id: number(id, head)?, body });
        rest = after.trim_start();
    }
    Ok(words)
}

fn number<T: std::str::FromStr>(text: &str, place: &str) -> Result<T, Fault> {
    text.trim().parse().map_err(|_| format!("{text:?} of {place:?} is not a number"))
}

/// Values and versions told in one word: `x=5`, `x=5@3`, `x=5@?`, `x`.
struct Told<'t> {
    key: &'t str,
    value: Option<i64>,
    version: Version,
}

enum Version {
    Given(u64),
    Unknown,
    Implied,
}

fn told(text: &str) -> Result<Told<'_>, Fault> {
    let Some((key, what)) = text.split_once('=') else {
        return Ok(Told { key: text.trim(), value: None, version: Version::Implied });
    };
    let (value, version) = match what.split_once('@') {
        None => (what, Version::Implied),
        Some((value, "?")) => (value, Version::Unknown),
        Some((value, version)) => (value, Version::Given(number(version, text)?)),
    };
    Ok(Told { key: key.trim(), value: Some(number(value, text)?), version })
}

/// The version of each value, as written or as told by a reader.
struct Numbers<'t>(HashMap<(&'t str, i64), u64>);

impl<'t> Numbers<'t> {
    fn of(words: &[Word<'t>]) -> Result<Self, Fault> {
        let mut last: HashMap<&str, u64> = HashMap::new();
        let mut numbers = HashMap::new();
        for word in words.iter().filter(|word| word.verb == "w") {
            let told = told(word.body)?;
            let Some(value) = told.value else { continue };
            let last = last.entry(told.key).or_default();
            let version = match told.version {
                Version::Given(version) => version,
                Version::Implied => *last + 1,
                Version::Unknown => continue,
            };
            *last = version.max(*last);
            numbers.insert((told.key, value), version);
        }
        Ok(Numbers(numbers))
    }

    fn seen(&self, text: &str) -> Result<(String, Option<Seen>), Fault> {
        let Told { key, value, version } = told(text)?;
        let Some(value) = value else { return Ok((key.to_owned(), None)) };
        let version = match version {
            Version::Given(version) => version,
            _ => *self.0.get(&(key, value)).ok_or(format!("{text:?} needs a version"))?,
        };
        Ok((key.to_owned(), Some(Seen { value, version })))
    }

    fn seen_list(&self, text: &str) -> Result<Vec<(String, Seen)>, Fault> {
        let named = text.split(',').filter(|part| !part.trim().is_empty());
        let seen = named.map(|part| {
            let (key, seen) = self.seen(part)?;
            Ok((key, seen.ok_or(format!("{part:?} needs a value"))?))
        });
        seen.collect()
    }
}

impl Word<'_> {
    fn end(&self) -> Result<Option<End>, Fault> {
        match self.verb {
            "c" => Ok(Some(End::Committed)),
            "a" => Ok(Some(End::Aborted)),
            "u" => Ok(Some(End::Unknown)),
            "w" | "r" | "p" | "l" | "q" => Ok(None),
            other => Err(format!("{other:?} is no operation")),
        }
    }

    fn op(&self, numbers: &Numbers<'_>) -> Result<Op, Fault> {
        let body = self.body;
        let wrong = || format!("{}{}({body}) is not understood", self.verb, self.id);
        match self.verb {
            "w" => {
                let Told { key, value, version } = told(body)?;
                let value = value.ok_or_else(wrong)?;
                let known = numbers.0.get(&(key, value)).copied();
                let version = known.filter(|_| !matches!(version, Version::Unknown));
                Ok(Op::Write { key: key.to_owned(), value, version })
            }
            "r" => {
                let (key, seen) = numbers.seen(body)?;
                Ok(Op::Read { key, seen })
            }
            "p" => {
                let (key, element) = body.split_once('+').ok_or_else(wrong)?;
                Ok(Op::Append { key: key.to_owned(), element: number(element, body)? })
            }
            "l" => {
                let (key, list) = body.split_once('=').ok_or_else(wrong)?;
                let parts = list.split(',').filter(|part| !part.trim().is_empty());
                let elements = parts.map(|part| number(part, body)).collect::<Result<_, _>>()?;
                Ok(Op::ReadList { key: key.to_owned(), elements })
            }
            _ => {
                let (predicate, found) = body.split_once(':').ok_or_else(wrong)?;
                let (keys, values) = predicate.trim().split_once(' ').ok_or_else(wrong)?;
                let (from, to) = keys.split_once("..").ok_or_else(wrong)?;
                let (least, greatest) = values.split_once("..").ok_or_else(wrong)?;
                let (matched, unmatched) = found.split_once(';').unwrap_or((found, ""));
                Ok(Op::ReadWhere {
                    predicate: Predicate::values(
                        from,
                        to,
                        number(least, body)?,
                        number(greatest, body)?,
                    ),
                    matched: numbers.seen_list(matched)?,
                    unmatched: numbers.seen_list(unmatched)?,
                })
            }
        }
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id;
        for op in &self.ops {
            match op {
                Op::Write { key, value, version: Some(version) } => {
                    write!(f, "w{id}({key}={value}@{version}) ")?;
                }
                Op::Write { key, value, version: None } => write!(f, "w{id}({key}={value}@?) ")?,
                Op::Read { key, seen: None } => write!(f, "r{id}({key}) ")?,
                Op::Read { key, seen: Some(seen) } => write!(f, "r{id}({}) ", shown(key, seen))?,
                Op::Append { key, element } => write!(f, "p{id}({key}+{element}) ")?,
                Op::ReadList { key, elements } => {
                    let elements: Vec<String> = elements.iter().map(i64::to_string).collect();
                    write!(f, "l{id}({key}={}) ", elements.join(","))?;
                }
                Op::ReadWhere { predicate, matched, unmatched } => {
                    let what = predicate.description();
                    write!(f, "q{id}({what}: {}", shown_all(matched))?;
                    match unmatched.is_empty() {
                        true => write!(f, ") ")?,
                        false => write!(f, "; {}) ", shown_all(unmatched))?,
                    }
                }
            }
        }
        let end = match self.end {
            End::Committed => 'c',
            End::Aborted => 'a',
            End::Unknown => 'u',
        };
        write!(f, "{end}{id}")
    }
}

fn shown(key: &str, seen: &Seen) -> String {
    format!("{key}={}@{}", seen.value, seen.version)
}

fn shown_all(seen: &[(String, Seen)]) -> String {
    let shown: Vec<String> = seen.iter().map(|(key, seen)| shown(key, seen)).collect();
    shown.join(", ")
}
